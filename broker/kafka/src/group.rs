//! A member of a consumer group: which partitions are ours, and their records.
//!
//! One thread polls librdkafka and calls `on_event`. Partitions are paused at assignment until
//! [`GroupHandle::resume`] says from where to read. A partition that the group takes back in order
//! ([`GroupEvent::Revoked`]) stays ours, for reading offsets and for committing, until
//! [`GroupHandle::release`] or the end of the grace; one that is [`GroupEvent::Lost`] is gone, and
//! Kafka refuses whatever is still written in its name.
//!
//! librdkafka wakes the thread when something is ready, and so do commands: an idle group costs
//! nothing, and nothing waits behind a poll.

mod client;
mod commits;
mod kicks;
mod lists;
mod member;
mod offsets;
mod rebalance;
mod shared;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use isthmus_kafka_ffi::member_id;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;

use self::client::consumer;
use self::commits::Commits;
use self::member::Member;
use self::offsets::Asking;
pub(crate) use self::offsets::committed;
use self::rebalance::Rebalances;
use self::shared::{Command, Shared};
use crate::client::Connection;
pub use crate::record::Message;
use crate::support::{Voice, join, read};

/// A partition of a topic.
pub type TopicPartition = (Arc<str>, i32);

/// What a group is to do.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// Where Kafka is.
    pub connection: Connection,
    /// The group.
    pub group_id: String,
    /// Static membership: the pod. Without it Kafka cannot tell a member that is not in the group
    /// from an outsider, and a transaction of it would not be fenced: production always sets it.
    pub instance_id: Option<String>,
    /// Topics to own partitions of.
    pub topics: Vec<String>,
    /// A topic that is subscribed and ignored, so that there is another subscription to join again
    /// with. It exists: librdkafka 2.12 ends the process where a topic that it does not know is
    /// subscribed while it joins.
    pub park: Option<String>,
    /// Assigned partitions stand still until they are resumed; else they are read from the
    /// committed offset at once.
    pub wait_for_resume: bool,
    /// Assigned partitions may be written about only from [`GroupHandle::admit`] on: what was to be
    /// written when they were last ours must be out of the way first.
    pub wait_for_admission: bool,
    /// Bytes given out and not yet processed past which reading pauses.
    pub outstanding_bytes: u64,
    /// How long a revoked partition may stay ours.
    pub revoke_grace: Duration,
    /// Further settings of librdkafka (TLS, SASL).
    pub extra: Vec<(String, String)>,
}

impl GroupConfig {
    /// A static member of `group_id` with the usual bounds.
    #[must_use]
    pub fn new(
        connection: impl Into<Connection>,
        group_id: &str,
        instance_id: &str,
        topics: &[&str],
    ) -> Self {
        Self {
            connection: connection.into(),
            group_id: group_id.to_owned(),
            instance_id: Some(instance_id.to_owned()),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            park: None,
            wait_for_resume: true,
            wait_for_admission: false,
            outstanding_bytes: 32 * 1024 * 1024,
            revoke_grace: Duration::from_secs(2),
            extra: Vec::new(),
        }
    }
}

/// What the group says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// These are ours now, besides those that were; may be none.
    Assigned(Vec<TopicPartition>),
    /// The group wants these back: finish, then [`GroupHandle::release`] them.
    Revoked(Vec<TopicPartition>),
    /// These are no longer ours; others may own them already.
    Lost(Vec<TopicPartition>),
    /// Committed records of ours, in order per partition. Say [`GroupHandle::processed`] with
    /// their weight.
    Records(Vec<Message>),
    /// Something failed that librdkafka goes on trying.
    Error(String),
    /// Another member has taken this one's instance id, and nothing is ours any more. It may have
    /// been this member itself: a Kafka that was frozen may take a request to join that was given
    /// up after the one that took its place. [`GroupHandle::rejoin`] begins anew.
    Fatal(String),
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// The next record to process; `None` where nothing was ever committed.
    pub offset: Option<i64>,
    /// What was written beside it.
    pub metadata: String,
}

/// See the module's description.
#[derive(Debug)]
pub struct Group {
    handle: GroupHandle,
    thread: Option<JoinHandle<()>>,
}

impl Group {
    /// Joins. Events come from the group's own thread; `on_event` must be quick.
    ///
    /// # Errors
    /// When a setting is wrong; not when Kafka is away.
    pub fn start(
        config: GroupConfig,
        on_event: impl Fn(GroupEvent) + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        let (commands, received) = channel();
        let shared = Arc::new(Shared {
            owned: RwLock::new(HashMap::new()),
            terms: AtomicU64::new(0),
            outstanding: AtomicU64::new(0),
            bound: config.outstanding_bytes,
            choked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            on_event: Box::new(on_event),
            voice: Voice::new(&config.group_id),
            pending: Mutex::new(Vec::new()),
            asking: Asking::default(),
            commits: Commits::default(),
            config,
        });
        let consumer = Arc::new(consumer(&shared, &commands)?);
        let handle = GroupHandle {
            shared: Arc::clone(&shared),
            consumer: Arc::new(RwLock::new(Some(Arc::clone(&consumer)))),
            commands: commands.clone(),
        };
        let member = Member::new(shared, consumer, Arc::clone(&handle.consumer), commands);
        member.subscribe()?;
        let thread = thread::Builder::new()
            .name("kafka-group".to_owned())
            .spawn(move || member.run(&received))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }

    /// For everyone who works on the group's partitions.
    #[must_use]
    pub fn handle(&self) -> GroupHandle {
        self.handle.clone()
    }

    /// As [`GroupHandle::give_up`], and waits. True when we are gone: who ends before has its
    /// partitions reserved.
    #[must_use]
    pub fn give_up(&self, deadline: Instant) -> bool {
        self.handle.give_up();
        while !read(&self.handle.shared.owned).is_empty() || self.handle.is_member() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Ends the membership. A static member's partitions stay reserved for it for the session
    /// timeout, so an orderly leave calls [`Group::give_up`] first and waits until others serve.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.handle.send(Command::Close);
        if let Some(thread) = self.thread.take() {
            join(thread);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// What may be asked of a group from any thread.
#[derive(Clone)]
pub struct GroupHandle {
    shared: Arc<Shared>,
    consumer: Arc<RwLock<Option<Arc<BaseConsumer<Rebalances>>>>>,
    commands: Sender<Command>,
}

impl std::fmt::Debug for GroupHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupHandle")
            .field("group", &self.shared.config.group_id)
            .finish()
    }
}

impl GroupHandle {
    /// The group's id.
    #[must_use]
    pub fn group_id(&self) -> &str {
        &self.shared.config.group_id
    }

    /// Whether the partition is ours to write about as far as we know. Kafka knows better: only a
    /// transaction with [`GroupHandle::metadata`] taken *before* asking this is safe.
    #[must_use]
    pub fn owns(&self, topic: &str, partition: i32) -> bool {
        self.shared
            .term(topic, partition)
            .is_some_and(|term| term.admitted())
    }

    /// All that is ours to write about.
    #[must_use]
    pub fn owned(&self) -> Vec<TopicPartition> {
        let owned = read(&self.shared.owned);
        let admitted = owned.iter().filter(|(_, term)| term.admitted());
        admitted.map(|(partition, _)| partition.clone()).collect()
    }

    /// Which assignment the partition is ours by: each has a number of its own.
    #[must_use]
    pub fn term(&self, topic: &str, partition: i32) -> Option<u64> {
        self.shared.term(topic, partition).map(|term| term.number)
    }

    /// The partition may be written about from now on ([`GroupConfig::wait_for_admission`]), by
    /// this assignment and no later one; false where it has ended.
    pub fn admit(&self, topic: &str, partition: i32, term: u64) -> bool {
        self.shared.admit(topic, partition, term)
    }

    /// The partition may not be written about until it is admitted once more.
    pub fn withdraw(&self, topic: &str, partition: i32) {
        self.shared.withdraw(topic, partition);
    }

    /// Has the group divide its partitions anew.
    pub fn rebalance(&self) {
        self.send(Command::Rebalance);
    }

    /// The first half of an orderly leave: says [`GroupEvent::Revoked`] of all that is ours, and leaves
    /// when that is released; the group gives it to others then.
    pub fn give_up(&self) {
        self.send(Command::Leave);
    }

    /// How many members the group has now; `None` when Kafka does not say in time.
    #[must_use]
    pub fn members(&self, timeout: Duration) -> Option<usize> {
        let consumer = read(&self.consumer).clone()?;
        let listed = consumer
            .fetch_group_list(Some(self.group_id()), timeout)
            .ok()?;
        let group = listed.groups().first()?;
        Some(group.members().len())
    }

    /// Member and generation, for a transaction; `None` when the membership has ended, or just
    /// changes. What was assigned to an earlier member is not ours from here on: a pod that stood
    /// still for too long may be a new member of a new generation before librdkafka says what
    /// became of its partitions.
    #[must_use]
    pub fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        let consumer = read(&self.consumer).clone()?;
        let before = member_id(consumer.client())?;
        let metadata = consumer.group_metadata()?;
        if member_id(consumer.client())? != before {
            return None;
        }
        if !before.is_empty() {
            self.shared.void(&before);
        }
        Some(metadata)
    }

    fn is_member(&self) -> bool {
        let consumer = read(&self.consumer).clone();
        let id = consumer.and_then(|consumer| member_id(consumer.client()));
        id.is_some_and(|id| !id.is_empty())
    }

    /// Reads a partition from `offset` on. Without an offset it goes on where it was paused.
    pub fn resume(&self, topic: &str, partition: i32, offset: Option<i64>) {
        self.send(Command::Resume(Arc::from(topic), partition, offset));
    }

    /// Stops reading a partition until it is resumed.
    pub fn pause(&self, topic: &str, partition: i32) {
        self.send(Command::Pause(Arc::from(topic), partition));
    }

    /// Revoked partitions are finished: others may have them.
    pub fn release(&self, partitions: Vec<TopicPartition>) {
        self.send(Command::Release(partitions));
    }

    /// Joins again after [`GroupEvent::Fatal`], as a new member that takes the instance id back.
    pub fn rejoin(&self) {
        self.send(Command::Rejoin);
    }

    /// Records of this weight are processed.
    pub fn processed(&self, bytes: u64) {
        let less = |before: u64| Some(before.saturating_sub(bytes));
        let before =
            self.shared
                .outstanding
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        let low = before.is_ok_and(|before| before.saturating_sub(bytes) <= self.shared.bound / 2);
        if low && self.shared.choked.load(Ordering::Acquire) {
            self.send(Command::Ready);
        }
    }

    /// Bytes given out and not processed.
    #[must_use]
    pub fn outstanding_bytes(&self) -> u64 {
        self.shared.outstanding.load(Ordering::Relaxed)
    }

    /// The committed offsets, after every open transaction on them has ended.
    ///
    /// # Errors
    /// When Kafka did not say until `deadline`.
    pub fn committed(
        &self,
        partitions: &[(&str, i32)],
        deadline: Instant,
    ) -> Result<Vec<Committed>, KafkaError> {
        let Shared { asking, config, .. } = &*self.shared;
        asking.committed(config, partitions, deadline)
    }

    /// Commits offsets outside a transaction, and waits until Kafka has them. What was said to have
    /// [`GroupHandle::moved`] before about the same partitions is covered by it.
    ///
    /// # Errors
    /// When Kafka did not take them, or the membership has ended.
    pub fn commit(&self, offsets: &[(&str, i32, i64)]) -> Result<(), KafkaError> {
        let consumer = read(&self.consumer).clone().ok_or(KafkaError::Canceled)?;
        self.shared.commits.now(&consumer, offsets)
    }

    /// The next record to process of a partition of ours is this one: committed soon, together
    /// with what else has moved by then, unless the partition is lost before.
    pub fn moved(&self, topic: &Arc<str>, partition: i32, offset: i64) {
        if let Some(term) = self.term(topic, partition) {
            let partition = (Arc::clone(topic), partition);
            self.shared.commits.add(partition, (offset, term));
        }
    }

    fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}
