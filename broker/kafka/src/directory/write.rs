//! Writes entries of the directory and says when Kafka has them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig,
};
use rdkafka::types::RDKafkaErrorCode;

use super::Entry;
use crate::admin::{AdminError, left};
use crate::client::{Connection, base_config};
use crate::support::Voice;

/// How long a wait for confirmations lasts before the deadline is looked at again.
const POLL: Duration = Duration::from_millis(50);

/// Writes entries with `acks=all` from an idempotent producer. May be shared by threads.
pub struct DirectoryWriter {
    config: ClientConfig,
    topic: String,
    producer: Mutex<Arc<BaseProducer<Confirmations>>>,
}

impl std::fmt::Debug for DirectoryWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectoryWriter")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// The records of one call that Kafka has not answered for yet, and the first refusal.
#[derive(Debug, Default)]
struct Batch {
    waiting: AtomicUsize,
    refused: Mutex<Option<AdminError>>,
}

struct Confirmations(Voice);

impl ClientContext for Confirmations {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Confirmations {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        if let Err((error, _)) = result {
            batch.refuse(AdminError::from(error.clone()));
        }
        batch.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Batch {
    fn refuse(&self, error: AdminError) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get_or_insert(error);
    }

    fn result(&self) -> Result<(), AdminError> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.clone().map_or(Ok(()), Err)
    }
}

impl DirectoryWriter {
    /// Does not connect yet.
    ///
    /// # Errors
    /// [`AdminError::Configuration`].
    pub fn new(connection: impl Into<Connection>, topic: &str) -> Result<Self, AdminError> {
        Self::from_config(&base_config(connection), topic)
    }

    /// As [`Self::new`] with more settings on top of [`base_config`].
    ///
    /// # Errors
    /// [`AdminError::Configuration`].
    pub fn from_config(config: &ClientConfig, topic: &str) -> Result<Self, AdminError> {
        let mut config = config.clone();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "1")
            // The topic's own limit decides.
            .set("message.max.bytes", "67108864")
            .set("message.timeout.ms", "30000");
        let producer = Mutex::new(Arc::new(create(&config)?));
        Ok(Self {
            config,
            topic: topic.to_owned(),
            producer,
        })
    }

    /// Writes entries, in order, and returns when Kafka has confirmed every one.
    ///
    /// # Errors
    /// An entry of a kind that this release does not know (nothing is written then), the first
    /// refusal, or [`AdminError::Unavailable`] at the deadline. Any of the entries may
    /// then have been written or not: write them again.
    pub fn write(&self, entries: &[Entry], deadline: Instant) -> Result<(), AdminError> {
        if let Some(Entry::Other(key)) = entries.iter().find(|e| matches!(e, Entry::Other(_))) {
            let message = format!("{key}: this release knows no such kind and cannot write it");
            return Err(AdminError::Rejected {
                code: RDKafkaErrorCode::InvalidArgument,
                message,
            });
        }
        let producer = self.producer()?;
        let batch = Arc::new(Batch::default());
        for entry in entries {
            if let Err(error) = self.send(&producer, entry, &batch, deadline) {
                batch.refuse(error);
                break;
            }
        }
        while batch.waiting.load(Ordering::Acquire) > 0 {
            match left(deadline) {
                Ok(left) => producer.poll(left.min(POLL)),
                Err(late) => {
                    // What was not sent is dropped; what is under way keeps its order and at last
                    // times out.
                    producer.purge(PurgeConfig::default().queue());
                    producer.poll(Duration::ZERO);
                    batch.refuse(late);
                    break;
                }
            }
        }
        batch.result()
    }

    fn send(
        &self,
        producer: &BaseProducer<Confirmations>,
        entry: &Entry,
        batch: &Arc<Batch>,
        deadline: Instant,
    ) -> Result<(), AdminError> {
        let (key, value) = entry.encode();
        loop {
            let mut record =
                BaseRecord::with_opaque_to(&self.topic, Arc::clone(batch)).key(key.as_bytes());
            if let Some(value) = &value {
                record = record.payload(value.as_slice());
            }
            batch.waiting.fetch_add(1, Ordering::AcqRel);
            let Err((error, _)) = producer.send(record) else {
                return Ok(());
            };
            batch.waiting.fetch_sub(1, Ordering::AcqRel);
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    producer.poll(left(deadline)?.min(POLL));
                }
                error => return Err(error.into()),
            }
        }
    }

    /// The producer, made anew after a fault that it cannot recover from by itself.
    fn producer(&self) -> Result<Arc<BaseProducer<Confirmations>>, AdminError> {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, message)) = producer.client().fatal_error() {
            tracing::warn!(%code, message, topic = self.topic, "the producer is made anew");
            *producer = Arc::new(create(&self.config)?);
        }
        Ok(Arc::clone(&producer))
    }
}

fn create(config: &ClientConfig) -> Result<BaseProducer<Confirmations>, AdminError> {
    config
        .create_with_context(Confirmations(Voice::new("directory writer")))
        .map_err(|error| AdminError::Configuration(error.to_string()))
}
