//! One transactional producer: librdkafka's client, and the delivery reports of the transaction
//! that is open.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};

use super::calls::{Calls, Client};
use super::{LOOK, OwnedRecord, Shared, TransactorSettings};
use crate::client::Connection;
use crate::record;
use crate::support::{code, lock};

/// How soon an end is noticed.
const STEP: Duration = Duration::from_millis(250);
/// How long the reports of one batch may take to be read.
const BATCH: Duration = Duration::from_millis(20);
/// How long one try to take over the transactional id may last; it goes on with the next.
const INIT: Duration = Duration::from_secs(2);
/// How long the same client tries.
const INITS: Duration = Duration::from_secs(20);
/// A call that should have returned by itself is left behind so much later.
const SLACK: Duration = Duration::from_secs(2);

/// Makes sessions.
pub(super) struct Maker {
    pub(super) connection: Connection,
    pub(super) transactional_id: String,
    pub(super) settings: TransactorSettings,
    pub(super) shared: Arc<Shared>,
}

impl Maker {
    fn config(&self) -> ClientConfig {
        let mut config = self.connection.config();
        config
            .set("client.id", &self.transactional_id)
            .set("transactional.id", &self.transactional_id)
            .set("transaction.timeout.ms", "10000")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .set("retry.backoff.ms", "5")
            .set("retry.backoff.max.ms", "100")
            .set("batch.size", self.settings.batch_bytes.to_string())
            .set(
                "message.max.bytes",
                self.settings.max_record_bytes.to_string(),
            )
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "4194304")
            .set("topic.metadata.propagation.max.ms", "2000")
            // A call that waits without end goes on when a connection closes.
            .set("connections.max.idle.ms", "60000");
        for (name, value) in &self.settings.extra {
            config.set(name, value);
        }
        config
    }

    /// Finds wrong settings early.
    pub(super) fn check(&self) -> Result<(), KafkaError> {
        self.config().create_native_config().map(drop)
    }

    /// A session that owns the transactional id: transactions left open by an older one have ended.
    pub(super) fn make(&self) -> Result<Session, KafkaError> {
        let reports = Reports {
            shared: Arc::clone(&self.shared),
            state: Arc::default(),
        };
        let state = Arc::clone(&reports.state);
        let session = Session {
            calls: Calls::new(self.config().create_with_context(reports)?)?,
            state,
            shared: Arc::clone(&self.shared),
        };
        session.call("taking over the transactional id", INITS, |client| {
            client.init_transactions(INIT)
        })?;
        Ok(session)
    }
}

/// See the module's description.
pub(super) struct Session {
    calls: Calls,
    state: Arc<(Mutex<Reported>, Condvar)>,
    shared: Arc<Shared>,
}

/// What is known of the records of the open transaction.
#[derive(Default)]
pub(super) struct Reported {
    pending: usize,
    /// The change, the code and the topic of each that failed.
    pub(super) failed: Vec<Failed>,
    /// Where one of them stands in the log, to find out later what became of the transaction.
    pub(super) place: Option<(String, i32, i64)>,
}

/// A record that was not taken.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) change: usize,
    pub(super) code: Code,
    pub(super) topic: String,
}

impl Session {
    /// The transactor is not to end.
    pub(super) fn going(&self) -> bool {
        self.shared.going()
    }

    /// The client, for what does not wait.
    pub(super) fn client(&self) -> &Client {
        self.calls.client()
    }

    /// Calls, and repeats what librdkafka goes on with for as long as `limit`; an error when it is
    /// not done by then. `call` is told to take a fraction of that.
    pub(super) fn call(
        &self,
        stage: &'static str,
        limit: Duration,
        call: impl Fn(&Client) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), KafkaError> {
        self.shared.progress.at(stage);
        let shared = Arc::clone(&self.shared);
        let until = Instant::now() + limit;
        let going = || self.going();
        let answer = self.calls.call(limit + SLACK, going, move |client| {
            repeat(&shared, until, || call(client))
        });
        if answer.is_none() && self.going() {
            let text = format!("librdkafka does not return while {stage}; it is left behind");
            self.shared.voice.warn(stage, &text);
        }
        answer.unwrap_or(Err(KafkaError::Global(Code::OperationTimedOut)))
    }

    /// Forgets the last transaction's reports.
    pub(super) fn begin(&self) -> Result<(), KafkaError> {
        *lock(&self.state.0) = Reported::default();
        self.call("beginning", Duration::ZERO, Client::begin_transaction)
    }

    /// Hands over a record of the `change`th change.
    pub(super) fn send(&self, change: usize, record: &OwnedRecord) -> Result<(), Code> {
        let headers = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()));
        lock(&self.state.0).pending += 1;
        let sent = self.client().send(BaseRecord::<[u8], [u8], usize> {
            topic: &record.topic,
            partition: record.partition,
            payload: record.value.as_deref(),
            key: record.key.as_deref(),
            timestamp: record.timestamp,
            headers: record::headers(headers),
            delivery_opaque: change,
        });
        sent.map_err(|(error, _)| {
            lock(&self.state.0).pending -= 1;
            match error {
                KafkaError::Nul(_) => Code::InvalidTopic,
                error => code(&error),
            }
        })
    }

    /// Waits until every record was taken or one failed; false when that took too long.
    pub(super) fn reported(&self, mut deadline: Instant) -> bool {
        self.shared.progress.at("writing records");
        let mut state = lock(&self.state.0);
        let mut failed = false;
        while state.pending > 0 {
            if !failed && !state.failed.is_empty() {
                // Time for the reports of its batch, but not for records that wait for a topic.
                failed = true;
                deadline = deadline.min(Instant::now() + BATCH);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if failed && left.is_zero() {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            if !self.going() {
                return false;
            }
            state = match self.state.1.wait_timeout(state, left.min(STEP)) {
                Ok((state, _)) => state,
                Err(error) => PoisonError::into_inner(error).0,
            };
        }
        true
    }

    /// What failed, and the place of one that did not.
    pub(super) fn outcome(&self) -> (Vec<Failed>, Option<(String, i32, i64)>) {
        let mut state = lock(&self.state.0);
        (std::mem::take(&mut state.failed), state.place.take())
    }
}

/// Repeats a call that librdkafka goes on with.
fn repeat(
    shared: &Shared,
    until: Instant,
    call: impl Fn() -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    loop {
        let error = match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {
                KafkaError::Transaction(error)
            }
            Err(error @ KafkaError::Flush(Code::OperationTimedOut)) => error,
            other => return other,
        };
        shared.progress.failed(&error);
        if !shared.going() || Instant::now() >= until {
            return Err(error);
        }
        // Some of these come at once.
        shared.pause(LOOK);
    }
}

/// Librdkafka's reports.
pub(super) struct Reports {
    shared: Arc<Shared>,
    state: Arc<(Mutex<Reported>, Condvar)>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.shared.voice.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.shared.voice.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, change: usize) {
        let mut state = lock(&self.state.0);
        match result {
            Ok(message) => {
                if state.place.is_none() && message.offset() >= 0 {
                    let topic = message.topic().to_owned();
                    state.place = Some((topic, message.partition(), message.offset()));
                }
            }
            Err((error, message)) => state.failed.push(Failed {
                change,
                code: code(error),
                topic: message.topic().to_owned(),
            }),
        }
        state.pending = state.pending.saturating_sub(1);
        if state.pending == 0 || state.failed.len() == 1 {
            self.state.1.notify_all();
        }
    }
}
