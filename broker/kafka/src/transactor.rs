//! Group commit: changes of state, and the input offsets that they follow from, in transactions that
//! the consumer group fences.
//!
//! One thread per `transactional.id`. A transaction takes all changes that gathered while the last
//! one committed, in the order of [`Transactor::submit`]; they are visible together or not at all.
//! What passes by itself (Kafka away, a rebalance, a fence by whoever ended our open transaction) is
//! waited out and the same changes go into the next transaction. Where the answer to a commit was
//! lost, the log is read before anything is sent again.
//!
//! No stage lasts for ever: a producer that does not go on is left behind for a new one.
//!
//! A record that Kafka refuses for good takes only its own change with it. The transaction is not
//! aborted, which takes long: a new producer with the same id ends it.

mod attempt;
mod calls;
mod predecessor;
mod progress;
mod session;
mod under;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;

pub use self::predecessor::end_open;
use self::progress::Progress;
use self::under::Under;
use self::worker::Worker;
use crate::client::Connection;
use crate::group::GroupHandle;
pub use crate::record::OwnedRecord;
use crate::support::{Voice, join};

/// How often a wait looks.
const LOOK: Duration = Duration::from_millis(5);

/// How a transactor is tuned.
#[derive(Clone, Debug)]
pub struct TransactorSettings {
    /// The most that goes into one transaction.
    pub transaction_bytes: u64,
    /// The most records that go into one transaction.
    pub transaction_records: usize,
    /// The largest record that is sent at all.
    pub max_record_bytes: u32,
    /// The largest batch of several records; the smaller, the surer a refused one is known.
    pub batch_bytes: u32,
    /// Changes about partitions that are not ours wait in their order until they are, and never come
    /// back as [`Done::Fenced`].
    pub hold: bool,
    /// Where [`crate::failpoint`] places its transactions.
    pub place: &'static str,
    /// Further settings of librdkafka (TLS, SASL).
    pub extra: Vec<(String, String)>,
}

impl Default for TransactorSettings {
    fn default() -> Self {
        Self {
            transaction_bytes: 8 * 1024 * 1024,
            transaction_records: 10_000,
            max_record_bytes: 20 * 1024 * 1024,
            batch_bytes: 256 * 1024,
            hold: false,
            place: "commit",
            extra: Vec::new(),
        }
    }
}

/// An input offset: the next record that is to be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOffset {
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The topic whose partition of this number must be ours for the offset to be committed;
    /// absent: the topic itself.
    pub owned_as: Option<Arc<str>>,
}

impl TopicOffset {
    /// The topic whose partition of this number must be ours.
    pub(crate) fn owner_topic(&self) -> &Arc<str> {
        self.owned_as.as_ref().unwrap_or(&self.topic)
    }
}

/// What is stored together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Named in the answer.
    pub token: u64,
    /// Records, in order.
    pub records: Vec<OwnedRecord>,
    /// The offsets of every partition that the change is about: these fence it. At least one.
    pub offsets: Vec<TopicOffset>,
}

impl Change {
    fn weight(&self) -> u64 {
        64 + self.records.iter().map(OwnedRecord::weight).sum::<u64>()
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is visible to everyone who reads committed records.
    Committed,
    /// Kafka refuses one of its records for good; nothing of it is visible.
    Refused {
        /// In Kafka's words.
        error: String,
        /// The record is too large for its topic.
        too_large: bool,
    },
    /// One of its partitions is not ours any more; nothing of it is visible. The change comes
    /// back, for whoever owns the partition again.
    Fenced(Change),
}

/// See the module's description.
#[derive(Debug)]
pub struct Transactor {
    shared: Arc<Shared>,
    changes: Option<Sender<Ask>>,
    mark: String,
    thread: Option<JoinHandle<()>>,
}

impl Transactor {
    /// Starts it. `done` is told of every change once, in the order of submission except for those
    /// refused or fenced; it is called from the transactor's thread and must be quick.
    ///
    /// # Errors
    /// When a setting is wrong; not when Kafka is away.
    pub fn new(
        connection: impl Into<Connection>,
        transactional_id: &str,
        group: GroupHandle,
        settings: TransactorSettings,
        done: impl Fn(u64, Done) + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        let shared = Arc::new(Shared {
            bytes: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            give_up: AtomicBool::new(false),
            voice: Voice::new(transactional_id),
            progress: Progress::new(transactional_id),
            under: Under::default(),
        });
        let (changes, received) = channel();
        let maker = session::Maker {
            connection: connection.into(),
            transactional_id: transactional_id.to_owned(),
            settings,
            shared: Arc::clone(&shared),
        };
        maker.check()?;
        let worker = Worker::new(maker, group, Box::new(done));
        let mark = worker.mark_stem();
        let thread = thread::Builder::new()
            .name("kafka-transactor".to_owned())
            .spawn(move || worker.run(&received))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            shared,
            changes: Some(changes),
            mark,
            thread: Some(thread),
        })
    }

    /// Takes a change. Never blocks and never fails: whatever becomes of it comes by `done`. A
    /// change about a partition that is not ours, or not yet, comes back as [`Done::Fenced`].
    pub fn submit(&self, change: Change) {
        self.shared
            .bytes
            .fetch_add(change.weight(), Ordering::Relaxed);
        self.shared.changes.fetch_add(1, Ordering::Relaxed);
        if let Some(changes) = &self.changes {
            let _ = changes.send(Ask::Store(change));
        }
    }

    /// A partition has been given away for good: what was submitted about it before, held or not,
    /// comes back as [`Done::Fenced`] unless it is committed already. Nothing of it is written when
    /// the partition is ours again.
    pub fn forget(&self, topic: &Arc<str>, partition: i32) {
        if let Some(changes) = &self.changes {
            let _ = changes.send(Ask::Forget(topic.clone(), partition));
        }
    }

    /// Waits until nothing about a partition that is not ours to write about ([`GroupHandle::withdraw`])
    /// can be committed any more; false when that took until `deadline`.
    #[must_use]
    pub fn settled(&self, topic: &Arc<str>, partition: i32, deadline: Instant) -> bool {
        self.shared.under.wait(topic, partition, deadline)
    }

    /// What the metadata of every offset that this transactor commits begins with, and of none that
    /// another does.
    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// The transactional id is ours, and whatever an older owner left open has ended.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire)
    }

    /// Waits until [`Transactor::ready`], or `deadline`.
    #[must_use]
    pub fn wait_ready(&self, deadline: Instant) -> bool {
        while !self.ready() && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        self.ready()
    }

    /// Bytes submitted and not yet answered.
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Changes submitted and not yet answered.
    #[must_use]
    pub fn backlog_changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Relaxed)
    }

    /// Transactions committed so far.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    /// Why nothing goes on though something waits, once that has lasted for ten seconds. It is
    /// logged as well, once; ask often.
    #[must_use]
    pub fn stalled(&self) -> Option<String> {
        self.shared.progress.stalled()
    }

    /// Waits until everything is answered or `deadline` has passed, then ends. Gives the number of
    /// changes that were not answered: some of them may be committed.
    #[must_use = "changes may have been given up"]
    pub fn close(mut self, deadline: Instant) -> u64 {
        while self.backlog_changes() > 0 && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        let left = self.backlog_changes();
        self.end();
        left
    }

    fn end(&mut self) {
        self.shared.give_up.store(true, Ordering::Release);
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            join(thread);
        }
    }
}

/// What the thread is asked.
#[derive(Debug)]
enum Ask {
    Store(Change),
    Forget(Arc<str>, i32),
}

impl Drop for Transactor {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the handle and the thread share.
#[derive(Debug)]
struct Shared {
    bytes: AtomicU64,
    changes: AtomicU64,
    transactions: AtomicU64,
    ready: AtomicBool,
    give_up: AtomicBool,
    voice: Voice,
    progress: Progress,
    under: Under,
}

impl Shared {
    fn going(&self) -> bool {
        !self.give_up.load(Ordering::Acquire)
    }

    /// Sleeps, unless it is to end.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while self.going() && Instant::now() < until {
            thread::sleep(LOOK.min(time));
        }
    }
}
