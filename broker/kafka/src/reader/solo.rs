//! Consumers without a group: what [`super`] and the fetcher read with.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use isthmus_kafka_ffi::waiting;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::client::Connection;
use crate::record::{Copier, Message};
use crate::support::{Voice, consumer_config};

/// How long one question to Kafka may take.
const ASK: Duration = Duration::from_secs(2);
/// How long to wait before asking again.
const AGAIN: Duration = Duration::from_millis(10);
/// The same, when Kafka did not answer.
pub(crate) const AWAY: Duration = Duration::from_millis(250);
/// librdkafka answers "nothing" for events that are not records, too; so many are passed over.
const EVENTS: u32 = 10_000;

/// A consumer without a group: positions are given, and waking is ours.
pub(crate) struct Solo {
    pub(crate) consumer: BaseConsumer<Quiet>,
    woken: Receiver<()>,
    copier: Copier,
    assigned: usize,
    known: Vec<String>,
}

/// What a [`Solo`] found.
pub(crate) enum Found {
    Record(Message),
    /// The end of a partition, as far as it is committed.
    End(i32),
    Failure(KafkaError),
}

/// The context of consumers without a group.
pub(crate) struct Quiet(Voice);

impl Quiet {
    /// Complaints are said in this name.
    pub(crate) fn new(name: &str) -> Self {
        Self(Voice::new(name))
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ConsumerContext for Quiet {}

impl Solo {
    /// `wait_ms` is how long Kafka may hold an answer back for want of records.
    pub(crate) fn new(
        connection: &Connection,
        name: &str,
        wait_ms: u32,
        extra: &[(String, String)],
    ) -> Result<(Self, Sender<()>), KafkaError> {
        let mut config = consumer_config(connection, extra);
        config
            // librdkafka assigns nothing without one; nothing is ever committed to it.
            .set("group.id", format!("{name}.reader"))
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", wait_ms.to_string());
        let mut consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet::new(name))?;
        let (wake, woken) = channel();
        let ready = wake.clone();
        consumer.set_nonempty_callback(move || {
            let _ = ready.send(());
        });
        Ok((
            Self {
                consumer,
                woken,
                copier: Copier::default(),
                assigned: 0,
                known: Vec::new(),
            },
            wake,
        ))
    }

    /// Reads these partitions, and nothing else, from these places.
    pub(crate) fn assign(
        &mut self,
        topic: &str,
        from: impl IntoIterator<Item = (i32, Offset)>,
    ) -> Result<(), KafkaError> {
        let list = super::starts(topic, from)?;
        self.assigned = list.count();
        self.look_up(topic);
        self.consumer.assign(&list)
    }

    /// Makes the topic's leaders known: librdkafka looks for a leader that it does not know only
    /// every half second.
    pub(crate) fn look_up(&mut self, topic: &str) {
        if self.known.iter().any(|known| known == topic) {
            return;
        }
        match self.consumer.fetch_metadata(Some(topic), ASK) {
            Ok(_) => self.known.push(topic.to_owned()),
            Err(error) => self.warn(&error),
        }
    }

    /// Reads nothing until partitions are assigned again, which may be long after.
    pub(crate) fn unassign(&mut self) -> Result<(), KafkaError> {
        self.known.clear();
        self.consumer.unassign()
    }

    /// Nothing is read.
    pub(crate) fn idle(&self) -> bool {
        self.assigned == 0
    }

    /// Waits until something may be there, or `timeout` has passed.
    pub(crate) fn wait(&self, timeout: Duration) {
        if self.woken.recv_timeout(timeout).is_ok() {
            while self.woken.try_recv().is_ok() {}
        }
    }

    /// What is there now.
    pub(crate) fn take(&mut self) -> Option<Found> {
        for _ in 0..EVENTS {
            match self.consumer.poll(Duration::ZERO) {
                None if waiting(self.consumer.client()) == 0 => return None,
                None => {}
                Some(Ok(message)) => return Some(Found::Record(self.copier.copy(&message))),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    return Some(Found::End(partition));
                }
                Some(Err(error)) => return Some(Found::Failure(error)),
            }
        }
        None
    }

    pub(crate) fn warn(&self, error: &KafkaError) {
        let text = error.to_string();
        self.consumer.context().0.warn(&text, &text);
    }
}

/// Asks for the ends of partitions, on connections of its own: behind a long poll it would wait.
pub(crate) struct Ends {
    /// Every record counts: the high watermark.
    written: BaseConsumer<Quiet>,
}

impl Ends {
    pub(crate) fn new(
        connection: &Connection,
        name: &str,
        extra: &[(String, String)],
    ) -> Result<Self, KafkaError> {
        let written = Self::client(connection, name, extra, "read_uncommitted")?;
        Ok(Self { written })
    }

    /// A client for questions only.
    pub(super) fn client(
        connection: &Connection,
        name: &str,
        extra: &[(String, String)],
        level: &str,
    ) -> Result<BaseConsumer<Quiet>, KafkaError> {
        let mut config = consumer_config(connection, extra);
        config.set("isolation.level", level);
        config.create_with_context(Quiet::new(name))
    }

    pub(super) fn ask(
        of: &BaseConsumer<Quiet>,
        topic: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let mut list = TopicPartitionList::new();
        of.poll(Duration::ZERO); // logs and errors
        for partition in partitions {
            // As a time, the end means the end: one question for all partitions of a node.
            list.add_partition_offset(topic, *partition, Offset::End)?;
        }
        if list.count() == 0 {
            return Ok(BTreeMap::new());
        }
        let list = of.offsets_for_times(list, ASK)?;
        let elements = list.elements();
        elements
            .iter()
            .map(|element| {
                element.error()?;
                match element.offset() {
                    Offset::Offset(offset) => Ok((element.partition(), offset)),
                    _ => Err(KafkaError::Canceled),
                }
            })
            .collect()
    }

    /// Waits until everything that is written now is stable, as `solo` sees it, which reads nothing
    /// yet; gives those ends.
    pub(crate) fn settle(
        &self,
        solo: &Solo,
        topic: &str,
        partitions: &[i32],
        going: impl Fn() -> bool,
    ) -> Result<BTreeMap<i32, i64>, String> {
        let mut reason = "nothing was asked".to_owned();
        let mut written = None;
        while going() {
            match self.settled(solo, topic, partitions, &mut written) {
                Ok(true) => return Ok(written.unwrap_or_default()),
                Ok(false) => {
                    reason = format!("a transaction is open in {topic}");
                    thread::sleep(AGAIN);
                }
                Err(error) => {
                    reason = error.to_string();
                    tracing::debug!(%reason, topic, "the ends are asked for again");
                    // A Kafka that starts may have named only some of the partitions.
                    for client in [&self.written, &solo.consumer] {
                        let _ = client.fetch_metadata(Some(topic), ASK);
                    }
                    thread::sleep(AWAY);
                }
            }
        }
        Err(reason)
    }

    fn settled(
        &self,
        solo: &Solo,
        topic: &str,
        partitions: &[i32],
        written: &mut Option<BTreeMap<i32, i64>>,
    ) -> Result<bool, KafkaError> {
        let written = match written {
            Some(written) => written,
            None => written.insert(Self::ask(&self.written, topic, partitions)?),
        };
        // Only what no open transaction may still change: the last stable offset.
        let stable = Self::ask(&solo.consumer, topic, partitions)?;
        Ok(written
            .iter()
            .all(|(partition, end)| stable.get(partition).is_some_and(|s| s >= end)))
    }
}
