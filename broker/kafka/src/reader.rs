//! Whole topics: warming a cache and following it, and restoring single partitions.
//!
//! "To the end" means to the high watermark seen at the start. Committed reads end at the last
//! stable offset, which an open transaction holds back, so it is waited for first; the end itself is
//! told by librdkafka, for the last offsets may be markers that no reader ever sees.

pub(crate) mod solo;
mod tip;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

pub(crate) use self::solo::{AWAY, Ends, Found, Solo};
pub use self::tip::Tip;
use crate::client::Connection;
pub use crate::record::Message;
use crate::support::join;

/// How long one question about a topic may take.
const ASK: Duration = Duration::from_secs(2);
/// Sleep of a thread that nothing wakes.
const IDLE: Duration = Duration::from_millis(500);
/// How long Kafka may hold back an answer to who follows a topic, and to who wants its end.
const FOLLOW_WAIT_MS: u32 = 500;
const END_WAIT_MS: u32 = 10;

/// Why a partition could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Kafka did not answer in time; the last complaint.
    #[error("Kafka did not answer in time: {0}")]
    Late(String),
    /// A setting is wrong, or librdkafka refuses a call.
    #[error(transparent)]
    Client(#[from] KafkaError),
}

/// What to read.
#[derive(Clone, Debug)]
pub struct ReaderConfig {
    /// Where Kafka is.
    pub connection: Connection,
    /// The client's name in logs and on the broker.
    pub name: String,
    /// Kafka topic.
    pub topic: String,
    /// Its partitions; absent: all that it has at the start.
    pub partitions: Option<Vec<i32>>,
    /// Further settings of librdkafka.
    pub extra: Vec<(String, String)>,
}

/// What a reader finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderEvent {
    /// A committed record; in order per partition.
    Record(Message),
    /// Once: everything that was in the topic at the start has been read; its partitions' ends then.
    CaughtUp(BTreeMap<i32, i64>),
}

/// Reads a topic from its beginning and follows it for ever, whatever becomes of Kafka meanwhile.
#[derive(Debug)]
pub struct Reader {
    stop: Arc<AtomicBool>,
    wake: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts it; events come from its own thread, and `on` must be quick.
    ///
    /// # Errors
    /// When a setting is wrong; not when Kafka is away or the topic not there yet.
    pub fn start(
        config: ReaderConfig,
        on: impl Fn(ReaderEvent) + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        let (solo, wake) = Solo::new(
            &config.connection,
            &config.name,
            FOLLOW_WAIT_MS,
            &config.extra,
        )?;
        let ends = Ends::new(&config.connection, &config.name, &config.extra)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("kafka-reader".to_owned())
            .spawn(move || follow(&config, solo, ends, &stopped, &on))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            stop,
            wake,
            thread: Some(thread),
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.wake.send(());
        if let Some(thread) = self.thread.take() {
            join(thread);
        }
    }
}

fn follow(
    config: &ReaderConfig,
    mut solo: Solo,
    ends: Ends,
    stop: &AtomicBool,
    on: &dyn Fn(ReaderEvent),
) {
    let going = || !stop.load(Ordering::Acquire);
    let mut partitions = config.partitions.clone();
    while going() && partitions.is_none() {
        match partitions_of(&solo, &config.topic) {
            Ok(found) => partitions = Some(found),
            Err(error) => {
                solo.warn(&error);
                solo.wait(AWAY);
            }
        }
    }
    let partitions = partitions.unwrap_or_default();
    let mut start = BTreeMap::new();
    while going() {
        let patience = Instant::now() + Duration::from_secs(5);
        match ends.settle(&solo, &config.topic, &partitions, || {
            going() && Instant::now() < patience
        }) {
            Ok(found) => {
                start = found;
                break;
            }
            Err(reason) => tracing::warn!(topic = %config.topic, %reason, "not warmed yet"),
        }
    }
    drop(ends);
    let mut left: BTreeSet<i32> = partitions.iter().copied().collect();
    let from = partitions
        .iter()
        .map(|partition| (*partition, Offset::Beginning));
    while going() && solo.assign(&config.topic, from.clone()).is_err() {
        solo.wait(AWAY);
    }
    let mut warming = true;
    while going() {
        while let Some(found) = solo.take() {
            match found {
                Found::Record(message) => on(ReaderEvent::Record(message)),
                Found::End(partition) => {
                    left.remove(&partition);
                }
                Found::Failure(error) => solo.warn(&error),
            }
            if !going() {
                return;
            }
        }
        if warming && left.is_empty() {
            warming = false;
            on(ReaderEvent::CaughtUp(std::mem::take(&mut start)));
        }
        solo.wait(IDLE);
    }
}

/// The partitions of a topic.
fn partitions_of(solo: &Solo, topic: &str) -> Result<Vec<i32>, KafkaError> {
    let metadata = solo.consumer.fetch_metadata(Some(topic), ASK)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or(KafkaError::Canceled)?;
    if let Some(error) = found.error() {
        return Err(KafkaError::MetadataFetch(error.into()));
    }
    if found.partitions().is_empty() {
        return Err(KafkaError::Canceled);
    }
    Ok(found
        .partitions()
        .iter()
        .map(rdkafka::metadata::MetadataPartition::id)
        .collect())
}

/// Reads partitions to their end, again and again with the same connections.
pub struct Restorer {
    solo: Solo,
    ends: Ends,
}

impl std::fmt::Debug for Restorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restorer").finish_non_exhaustive()
    }
}

impl Restorer {
    /// Connects lazily.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(
        connection: impl Into<Connection>,
        name: &str,
        extra: &[(String, String)],
    ) -> Result<Self, KafkaError> {
        let connection = &connection.into();
        let (solo, _) = Solo::new(connection, name, END_WAIT_MS, extra)?;
        Ok(Self {
            solo,
            ends: Ends::new(connection, name, extra)?,
        })
    }

    /// Everything that is in these partitions now, in order per partition, after the transactions
    /// that are open in them have ended.
    ///
    /// # Errors
    /// When it is not done by `deadline`; what was read so far may be incomplete.
    pub fn read_to_end(
        &mut self,
        topic: &str,
        partitions: &[i32],
        deadline: Instant,
        mut each: impl FnMut(Message),
    ) -> Result<(), ReadError> {
        let ends = self.settle(topic, partitions, deadline)?;
        let mut left: BTreeSet<i32> = ends
            .iter()
            .filter(|(_, end)| **end > 0)
            .map(|(partition, _)| *partition)
            .collect();
        let from: Vec<_> = left
            .iter()
            .map(|partition| (*partition, Offset::Beginning))
            .collect();
        self.solo.assign(topic, from)?;
        let read = self.drain(deadline, |found| {
            match found {
                Found::Record(message) => {
                    // Behind the end: written since.
                    if left.contains(&message.partition) {
                        each(message);
                    }
                }
                Found::End(partition) => {
                    left.remove(&partition);
                }
                Found::Failure(_) => {}
            }
            !left.is_empty()
        });
        self.solo.unassign()?;
        read
    }

    /// Whether the record at `offset`, which a transaction wrote, is committed; waits until the
    /// transaction has ended.
    ///
    /// # Errors
    /// When Kafka did not say until `deadline`.
    pub fn is_committed(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        deadline: Instant,
    ) -> Result<bool, ReadError> {
        self.settle(topic, &[partition], deadline)?;
        self.solo
            .assign(topic, [(partition, Offset::Offset(offset))])?;
        let mut committed = None;
        let read = self.drain(deadline, |found| {
            match found {
                Found::Record(message) => committed = Some(message.offset == offset),
                Found::End(_) => committed = Some(false),
                Found::Failure(_) => {}
            }
            committed.is_none()
        });
        self.solo.unassign()?;
        read.map(|()| committed == Some(true))
    }

    fn settle(
        &self,
        topic: &str,
        partitions: &[i32],
        deadline: Instant,
    ) -> Result<BTreeMap<i32, i64>, ReadError> {
        self.ends
            .settle(&self.solo, topic, partitions, || Instant::now() < deadline)
            .map_err(ReadError::Late)
    }

    /// Hands over what comes until `more` says that it is enough.
    fn drain(
        &mut self,
        deadline: Instant,
        mut more: impl FnMut(Found) -> bool,
    ) -> Result<(), ReadError> {
        let mut complaint = String::new();
        if self.solo.idle() {
            return Ok(());
        }
        loop {
            while let Some(found) = self.solo.take() {
                if let Found::Failure(error) = &found {
                    complaint = error.to_string();
                }
                if !more(found) {
                    return Ok(());
                }
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(ReadError::Late(complaint));
            }
            self.solo.wait(IDLE.min(deadline - now));
        }
    }
}

/// Reads one partition to its end, with connections of its own: see [`Restorer`].
///
/// # Errors
/// When it is not done by `deadline`.
pub fn read_partition_to_end(
    connection: impl Into<Connection>,
    topic: &str,
    partition: i32,
    deadline: Instant,
    each: impl FnMut(Message),
) -> Result<(), ReadError> {
    Restorer::new(connection, topic, &[])?.read_to_end(topic, &[partition], deadline, each)
}

/// A list of one topic's partitions with their starts.
fn starts(
    topic: &str,
    from: impl IntoIterator<Item = (i32, Offset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in from {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}
