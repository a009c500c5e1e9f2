//! Whether Kafka lets us in, and in words that say what to do if not.
//!
//! Every client of librdkafka tries for ever and tells of a wrong password only on the side; this
//! one asks once and listens for that.

use super::Connection;
use crate::support::{code, lock};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Why Kafka cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// Name, password or mechanism is wrong.
    #[error("Kafka refuses the user name or password (kafka.sasl): {0}")]
    Authentication(String),
    /// No TLS, or one side does not trust the other.
    #[error("no TLS with Kafka (kafka.tls): {0}")]
    Tls(String),
    /// Nothing answers there in time.
    #[error("Kafka does not answer: {0}")]
    Network(String),
    /// librdkafka does not take the settings.
    #[error("wrong settings for Kafka: {0}")]
    Settings(String),
}

/// Asks Kafka which nodes it has.
///
/// # Errors
/// When there is no answer within `timeout`; what librdkafka said most to the point meanwhile.
pub fn reach(connection: &Connection, timeout: Duration) -> Result<(), Unreachable> {
    let client: BaseConsumer<Listening> = connection
        .config()
        .create_with_context(Listening::default())
        .map_err(|error| Unreachable::Settings(error.to_string()))?;
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = client.fetch_metadata(None, left.min(STEP));
        // What went wrong is told as events.
        for _ in 0..EVENTS {
            client.poll(Duration::ZERO);
        }
        let Err(error) = answer else {
            return Ok(());
        };
        let heard = lock(&client.context().0).clone();
        match heard {
            Some(heard) if heard.is_final() || left <= STEP => return Err(heard),
            None if left <= STEP => {
                let servers = &connection.bootstrap_servers;
                return Err(Unreachable::Network(format!("{servers}: {error}")));
            }
            _ => {}
        }
    }
}

/// How soon a refusal is noticed.
const STEP: Duration = Duration::from_millis(500);
/// Events read at a time: each failed TLS handshake logs several, and the refusal is behind them.
const EVENTS: usize = 1024;

impl Unreachable {
    /// Trying again changes nothing unless someone does something.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Authentication(_) | Self::Tls(_) | Self::Settings(_) => true,
            Self::Network(_) => false,
        }
    }

    fn heard(error: &KafkaError, reason: &str) -> Option<Self> {
        let text = reason.to_owned();
        match code(error) {
            Code::Authentication | Code::SaslAuthenticationFailed => {
                Some(Self::Authentication(text))
            }
            Code::SSL => Some(Self::Tls(text)),
            // A certificate of ours that Kafka refuses is an alert to what we sent long after.
            Code::BrokerTransportFailure if text.contains("SSL routines") => Some(Self::Tls(text)),
            Code::AllBrokersDown => None,
            _ => Some(Self::Network(text)),
        }
    }
}

/// Keeps what was heard; a refusal outweighs a connection that failed.
#[derive(Default)]
struct Listening(Mutex<Option<Unreachable>>);

impl ClientContext for Listening {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", client = "reach", "{facility} {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(new) = Unreachable::heard(&error, reason) else {
            return;
        };
        let mut heard = lock(&self.0);
        if new.is_final() || !heard.as_ref().is_some_and(Unreachable::is_final) {
            *heard = Some(new);
        }
    }
}

impl ConsumerContext for Listening {}
