//! What all threads of the process share: the clock, the routing table, the retained messages, and
//! the ways to the shards.

use crate::directory::Directory;
use crate::fresh::Fresh;
use crate::handshake::{Accepted, Handshake, Incoming};
use crate::kafka::Kafka;
use crate::links::{Gather, Links};
use crate::owners::Owners;
use crate::ownership::Work;
use crate::telemetry::{Metrics, Readiness};
use isthmus_core::hash;
use isthmus_core::ownership;
use isthmus_core::retained::Retained;
use isthmus_core::routes::Routes;
use isthmus_core::shard::{Downlink, Live, Token};
use isthmus_kafka::client::Connection;
use isthmus_kafka::group::GroupHandle;
use isthmus_kafka::record::Message;
use isthmus_mqtt::ReasonCode;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Bytes of live messages that may wait between shards before publishers are slowed.
const MAX_LIVE_BYTES: u64 = 64 << 20;

/// Epoch milliseconds that never go backwards within a process.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    epoch: Duration,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            epoch,
        }
    }

    /// Epoch milliseconds at the start of the process.
    #[must_use]
    pub fn start(&self) -> u64 {
        millis(self.epoch)
    }

    /// Epoch milliseconds now.
    #[must_use]
    pub fn now(&self) -> u64 {
        millis(self.epoch + self.started.elapsed())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A connection that comes in, with what its handshake needs.
pub struct Door {
    /// The connection.
    pub incoming: Incoming,
    /// The way in.
    pub handshake: Arc<Handshake>,
    /// The process stops.
    pub closing: watch::Receiver<bool>,
}

/// Who wants to know how many a live message has reached.
pub enum From {
    /// A shard of this process, where the message asks for an answer.
    Shard(u16, Option<Token>),
    /// Another pod, if it does.
    Peer(Option<Arc<Gather>>),
}

impl From {
    /// It has reached so many.
    pub fn answer(self, shared: &Shared, reached: usize) {
        match self {
            Self::Shard(shard, Some(token)) => {
                shared.tell(usize::from(shard), Event::LiveAnswer(token, reached));
            }
            Self::Peer(Some(gather)) => gather.done(reached),
            Self::Shard(_, None) | Self::Peer(None) => {}
        }
    }
}

/// What reaches a shard from outside its connections.
pub enum Event {
    /// A connection whose handshake this shard makes.
    Incoming(Box<Door>),
    /// A client that may have its session.
    Accepted(Box<Accepted>),
    /// A record is stored, or refused for good.
    Confirmed(Token, Result<(), ReasonCode>),
    /// A commit of the shard is visible.
    Committed(u64),
    /// A commit was refused: the group is lost.
    Fenced(u64),
    /// A live message from another shard or pod.
    Live(From, Box<Live>),
    /// All linked pods have applied the routes of this shard up to where it asked.
    Synced(Token),
    /// The answer to one of ours.
    LiveAnswer(Token, usize),
    /// Records of the shard's inboxes.
    Inbox(Vec<Message>),
    /// Bodies of a slot that were fetched.
    Bodies(u16, Vec<(i64, Option<Arc<Message>>)>),
    /// A slot is ours: its state and the committed offset of its inbox.
    Restore {
        /// The slot.
        slot: u16,
        /// The first inbox record that the state does not know.
        position: i64,
        /// The state's records.
        records: Vec<(Vec<u8>, Vec<u8>)>,
        /// The assignment that it was read in.
        term: u64,
    },
    /// Ours again by this assignment without having been another's: go on from memory.
    Resume(u16, u64),
    /// The group is lost; the slot's clients stay.
    Suspend(u16),
    /// The routes name this process as a slot's owner: all that earlier ones wrote has been read.
    Named(u16),
    /// The slot is wanted by another: end its clients, commit, and tell the owner's life.
    Close(u16),
    /// The slot is another's.
    Drop(u16),
    /// A record of `mq2mqtt`.
    Downlink(Box<Downlink>),
    /// The retained messages are read as far as they went when this was asked for.
    Refreshed(Token),
    /// Users, rights or parents changed.
    Directory,
    /// End all connections, settle, and answer.
    Stop(oneshot::Sender<()>),
}

/// Shared by all threads.
pub struct Shared {
    /// The configuration.
    pub config: isthmus_config::BrokerConfig,
    /// Where Kafka is, with what its files said at the start.
    pub connection: Connection,
    /// The clock.
    pub clock: Clock,
    /// The routing table.
    pub routes: RwLock<Routes>,
    /// Whose the slots are.
    pub owners: Owners,
    /// The retained messages.
    pub retained: RwLock<Retained>,
    /// How far they have been read.
    pub fresh: Fresh,
    /// Users, rights, parents.
    pub directory: Arc<Directory>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// What stands against readiness.
    pub readiness: Readiness,
    /// Ways to the shards.
    pub shards: Vec<mpsc::UnboundedSender<Event>>,
    /// The membership that assigns slots.
    pub slots_group: OnceLock<GroupHandle>,
    /// The thread that decides about slots.
    pub ownership: OnceLock<Sender<Work>>,
    /// Whether the group has assigned, and all that is ours is open.
    pub slots_serving: watch::Sender<bool>,
    /// Set once, before the first connection.
    pub kafka: OnceLock<Kafka>,
    /// The bridge of `mq2mqtt`.
    pub bridge: OnceLock<Arc<crate::bridge::Bridge>>,
    /// Bytes of live messages between shards, handed over and not yet delivered.
    pub live_bytes: AtomicU64,
    /// There is room again for live bytes.
    pub live_room: Notify,
    /// The slots whose clients a shard of this process takes.
    pub slots_here: Vec<AtomicBool>,
    /// The other pods.
    pub links: Links,
    /// Numbers our retained messages.
    pub retained_seq: AtomicU64,
    /// Numbers connections.
    pub next_conn: AtomicU64,
}

impl Shared {
    /// The shard that has a slot.
    #[must_use]
    pub fn shard_of(&self, slot: u16) -> usize {
        usize::from(slot) % self.shards.len().max(1)
    }

    /// Hands an event to a shard; one that has ended takes none.
    pub fn tell(&self, shard: usize, event: Event) {
        if let Some(to) = self.shards.get(shard) {
            let _ = to.send(event);
        }
    }

    /// Hands an event to the shard of a slot.
    pub fn tell_slot(&self, slot: u16, event: Event) {
        self.tell(self.shard_of(slot), event);
    }

    /// Tells the thread that decides about slots.
    pub fn tell_ownership(&self, event: ownership::Event) {
        if let Some(to) = self.ownership.get() {
            let _ = to.send(Work::Event(event));
        }
    }

    /// The group has assigned, possibly nothing, and all that is ours is open; or not.
    pub fn serving(&self, serving: bool) {
        match serving {
            true => self.readiness.set_ready("slots"),
            false => self.readiness.set_not_ready(
                "slots",
                "slots wait for the consumer group or are being restored",
            ),
        }
        self.slots_serving
            .send_if_modified(|now| std::mem::replace(now, serving) != serving);
    }

    /// Whether this process takes a slot's clients.
    #[must_use]
    pub fn serves(&self, slot: u16) -> bool {
        let here = self.slots_here.get(usize::from(slot));
        here.is_some_and(|here| here.load(Ordering::Acquire))
    }

    /// Whether the client is to be brought to another pod, or waits until one has its slot.
    #[must_use]
    pub fn is_elsewhere(&self, client_id: &str) -> bool {
        self.links.enabled() && !self.serves(hash::slot(client_id, self.config.slots))
    }

    /// A shard takes a slot's clients from now on, or does no longer.
    pub fn set_here(&self, slot: u16, here: bool) {
        if let Some(known) = self.slots_here.get(usize::from(slot))
            && known.swap(here, Ordering::AcqRel) != here
        {
            self.owners.moved();
        }
    }

    /// Live bytes have reached where they were to go.
    pub fn live_gone(&self, bytes: u64) {
        let before = self.live_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before > MAX_LIVE_BYTES && before.saturating_sub(bytes) <= MAX_LIVE_BYTES {
            self.live_room.notify_waiters();
        }
    }

    /// Waits while too many live bytes are on their way: another pod is not read meanwhile.
    pub async fn live_room(&self) {
        while self.live_bytes.load(Ordering::Relaxed) > MAX_LIVE_BYTES {
            let room = self.live_room.notified();
            if self.live_bytes.load(Ordering::Relaxed) > MAX_LIVE_BYTES {
                room.await;
            }
        }
    }

    /// Whether publishers are to be read more slowly: too much waits for Kafka or for other shards.
    #[must_use]
    pub fn congested(&self) -> bool {
        self.live_bytes.load(Ordering::Relaxed) > MAX_LIVE_BYTES || self.backlogged()
    }

    /// Whether more waits for Kafka than the pod may hold.
    #[must_use]
    pub fn backlogged(&self) -> bool {
        let bound = self.config.limits.max_kafka_backlog_bytes;
        self.kafka
            .get()
            .is_none_or(|kafka| kafka.backlog_bytes() > bound)
    }
}
