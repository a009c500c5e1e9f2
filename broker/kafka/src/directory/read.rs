//! Reads the whole directory once. A broker, which follows it for ever, has a reader of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::{DirectoryError, Entry};
use crate::admin::{AdminError, PAUSE, left};
use crate::client::{Connection, base_config};
use crate::support::Voice;

/// Why the directory could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Kafka did not answer in time, or refused.
    #[error(transparent)]
    Kafka(#[from] AdminError),
    /// A record that this release cannot read. Nothing is skipped.
    #[error(transparent)]
    Record(#[from] DirectoryError),
}

struct Quiet(Voice);

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ConsumerContext for Quiet {}

impl ReadError {
    /// Whether the same call may succeed later without anybody's doing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Kafka(error) => error.is_retryable(),
            Self::Record(_) => false,
        }
    }
}

/// The entries of the directory by key, deleted ones left out: everything that was committed
/// before this call, and perhaps more.
///
/// # Errors
/// Kafka does not answer by `deadline`, refuses (no such topic), or holds a record that this
/// release cannot read.
pub fn read_all(
    connection: impl Into<Connection>,
    topic: &str,
    deadline: Instant,
) -> Result<BTreeMap<String, Entry>, ReadError> {
    read_all_from(&base_config(connection), topic, deadline)
}

/// As [`read_all`] with more settings on top of [`base_config`].
///
/// # Errors
/// As [`read_all`].
pub fn read_all_from(
    config: &ClientConfig,
    topic: &str,
    deadline: Instant,
) -> Result<BTreeMap<String, Entry>, ReadError> {
    // The group is never joined: partitions are assigned by hand and nothing is committed.
    let consumer: BaseConsumer<Quiet> = config
        .clone()
        .set("group.id", topic)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50")
        .create_with_context(Quiet(Voice::new("directory reader")))
        .map_err(|error| AdminError::Configuration(error.to_string()))?;
    // A topic that was just made has no leader for a moment.
    let mut unread = loop {
        match ends(&consumer, topic, deadline) {
            Ok(ends) => break ends,
            Err(error) if error.is_retryable() && Instant::now() + PAUSE < deadline => {
                tracing::debug!(%error, topic, "asking for the directory's end again");
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    };
    let mut entries = BTreeMap::new();
    if unread.is_empty() {
        return Ok(entries);
    }
    let mut assignment = TopicPartitionList::new();
    for &partition in unread.keys() {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .map_err(AdminError::from)?;
    }
    consumer.assign(&assignment).map_err(AdminError::from)?;
    while !unread.is_empty() {
        match consumer.poll(left(deadline)?.min(PAUSE)) {
            None => {}
            Some(Ok(message)) => {
                let (key, value) = (message.key().unwrap_or_default(), message.payload());
                let entry = Entry::decode(key, value)?;
                let name = entry.encode().0;
                if value.is_some_and(|value| !value.is_empty()) {
                    entries.insert(name, entry);
                } else {
                    entries.remove(&name);
                }
                let next = message.offset() + 1;
                if unread
                    .get(&message.partition())
                    .is_some_and(|&end| next >= end)
                {
                    unread.remove(&message.partition());
                }
            }
            // Transaction markers and compacted records have offsets that are never delivered.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
            }
            Some(Err(error)) => {
                let error = AdminError::from(error);
                if !error.is_retryable() {
                    return Err(error.into());
                }
                tracing::debug!(%error, topic, "reading the directory goes on");
            }
        }
    }
    Ok(entries)
}

/// The end of each partition that has records, as a reader of committed records sees it.
fn ends(
    consumer: &BaseConsumer<Quiet>,
    topic: &str,
    deadline: Instant,
) -> Result<BTreeMap<i32, i64>, AdminError> {
    let metadata = consumer.fetch_metadata(Some(topic), left(deadline)?)?;
    let mut partitions = BTreeSet::new();
    for found in metadata
        .topics()
        .iter()
        .filter(|found| found.name() == topic)
    {
        if let Some(code) = found.error() {
            let code = RDKafkaErrorCode::from(code);
            return Err(AdminError::from_code(
                code,
                format!("topic {topic}: {code}"),
            ));
        }
        partitions.extend(found.partitions().iter().map(|partition| partition.id()));
    }
    let mut ends = BTreeMap::new();
    for partition in partitions {
        let (start, end) = consumer.fetch_watermarks(topic, partition, left(deadline)?)?;
        if end > start {
            ends.insert(partition, end);
        }
    }
    Ok(ends)
}
