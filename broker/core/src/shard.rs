//! One shard: the sessions of its slots and the connections that they have. Single-threaded; the
//! driver hands in events with the time and does what [`Effect`]s say, in their order.
//!
//! Bytes for clients gather in each connection's outbox; [`Shard::take_touched`] says whose.
//!
//! - **events**: [`Shard::connect`], [`Shard::received`], [`Shard::lost`], [`Shard::confirmed`],
//!   [`Shard::committed`], [`Shard::live`], [`Shard::inbox`], [`Shard::bodies`],
//!   [`Shard::downlink`], [`Shard::refreshed`], [`Shard::directory_changed`], [`Shard::tick`]
//! - **slots**: [`Shard::restore`], [`Shard::suspend_slot`], [`Shard::resume_slot`],
//!   [`Shard::close_slot`], [`Shard::closed`], [`Shard::drop_slot`]

mod acks;
mod commit;
mod confirm;
mod connect;
mod connection;
mod deliver;
mod disconnect;
mod downlink;
mod effect;
pub mod envelope;
mod handover;
mod inbox;
mod interest;
mod lane;
mod limits;
mod live;
mod publish;
mod pump;
mod replay;
mod restore;
mod route;
mod session;
mod shared;
mod slot;
mod subscribe;
mod sync;
mod uplink;
mod will;

pub use connect::Connecting;
pub use connection::{Ended, Flow};
pub use downlink::Downlink;
pub use effect::*;
pub use replay::REFRESH_PATIENCE;

use crate::acl::Acl;
use crate::message::Message;
use crate::retained::Retained;
use crate::routes::{Hits, Routes};
use confirm::Pending;
use connection::Conn;
use rustc_hash::FxHashMap;
use session::{Index, Session};
use slab::Slab;
use slot::Slot;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Users, rights and parent topics, as the directory tells them now.
pub trait Directory {
    /// The parent topic of a first level, when it has been created.
    fn parent(&self, first_level: &str) -> Option<Arc<Parent>>;
    /// What a client may do; `None` for the username: anonymous.
    fn acl(&self, username: Option<&str>, client_id: &str) -> Acl;
    /// Whether the account exists and is enabled.
    fn is_user(&self, username: &str) -> bool;
}

/// What an event may read besides the shard itself.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Epoch ms; never goes backwards.
    pub now: u64,
    /// The routing table of the process.
    pub routes: &'a Routes,
    /// The retained messages of the process.
    pub retained: &'a Retained,
    /// Users, rights and parents.
    pub directory: &'a dyn Directory,
    /// Past its bound: what is waiting for Kafka.
    pub backlogged: bool,
    /// No other pod is linked: nobody else retains messages.
    pub alone: bool,
}

/// What a shard is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which shard of the process.
    pub shard: u16,
    /// How many shards the process has.
    pub shards: u16,
    /// Slots of the instance.
    pub slots: u16,
    /// The pod.
    pub node: Arc<str>,
    /// The start of this process, epoch ms: tells its connections and tokens from earlier ones.
    pub start: u64,
    /// Session bounds.
    pub session: isthmus_config::Session,
    /// Limits.
    pub limits: isthmus_config::Limits,
}

/// What a shard has counted since it began, in plain integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// PUBLISH received, by QoS.
    pub received: [u64; 3],
    /// PUBLISH sent, by QoS.
    pub sent: [u64; 3],
    /// Dropped: a session's queue was full.
    pub dropped_queue_full: u64,
    /// Dropped: QoS 0 past the bound of what waits for Kafka.
    pub dropped_backlog: u64,
    /// Dropped: QoS 0 to a client that does not read.
    pub dropped_outgoing: u64,
    /// Dropped: expired.
    pub dropped_expired: u64,
    /// Dropped: larger than the client's Maximum Packet Size.
    pub dropped_too_large: u64,
    /// Dropped: its body is no longer in the inbox.
    pub dropped_gone: u64,
    /// Not kept: past a retained limit.
    pub dropped_retained: u64,
    /// Publishes refused for want of a right.
    pub refused_acl: u64,
    /// Publishes refused for their size.
    pub refused_size: u64,
    /// Publishes that Kafka refused.
    pub refused_kafka: u64,
    /// Wildcard downlinks skipped for a subscription that leaves the name undecided.
    pub undecided: u64,
    /// Inbox records that nobody was due.
    pub inbox_unclaimed: u64,
}

/// A shard.
pub struct Shard {
    config: Config,
    slots: FxHashMap<u16, Slot>,
    sessions: Slab<Session>,
    by_client: FxHashMap<Arc<str>, usize>,
    conns: FxHashMap<ConnId, Conn>,
    index: Index,
    pending: FxHashMap<Token, Pending>,
    refreshes: replay::Refreshes,
    wills: will::Wills,
    expiries: BTreeSet<(u64, usize, u64)>,
    next_token: Token,
    next_incarnation: u64,
    next_seq: u64,
    touched: Vec<ConnId>,
    commits: commit::Commits,
    syncs: sync::Syncs,
    hits: Hits,
    /// Kept from message to message for its room.
    matched: Vec<deliver::Match>,
    turn: usize,
    /// CONNECTs that came before their slot was open, with their deadline.
    parked: Vec<(u64, u16, Connecting)>,
    lanes: FxHashMap<Arc<str>, lane::Lane>,
    last_presence: FxHashMap<Arc<str>, u64>,
    last_sweep: u64,
    counters: Counters,
}

impl Shard {
    /// A shard without slots.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            next_incarnation: config.start << 8,
            config,
            slots: FxHashMap::default(),
            sessions: Slab::new(),
            by_client: FxHashMap::default(),
            conns: FxHashMap::default(),
            index: Index::default(),
            pending: FxHashMap::default(),
            refreshes: replay::Refreshes::default(),
            wills: will::Wills::default(),
            expiries: BTreeSet::new(),
            next_token: 0,
            next_seq: 0,
            touched: Vec::new(),
            commits: commit::Commits::default(),
            syncs: sync::Syncs::default(),
            hits: Hits::default(),
            matched: Vec::new(),
            turn: 0,
            parked: Vec::new(),
            lanes: FxHashMap::default(),
            last_presence: FxHashMap::default(),
            last_sweep: 0,
            counters: Counters::default(),
        }
    }

    /// Counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Connections, sessions kept without one, subscriptions, and messages in durable queues.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let mut gauges = Gauges {
            connections: self.conns.len(),
            ..Gauges::default()
        };
        for (_, session) in &self.sessions {
            gauges.sessions_online += usize::from(session.durable && session.conn.is_some());
            gauges.sessions_offline += usize::from(session.durable && session.conn.is_none());
            gauges.sessions_clean += usize::from(!session.durable);
            gauges.subscriptions += session.subs.len();
            gauges.queued_messages += session.queue.len() + session.live.len();
            gauges.queued_bytes += session.queue.bytes();
        }
        for slot in self.slots.values() {
            gauges.slots_open += usize::from(slot.is_open());
            gauges.slots_restoring += usize::from(slot.phase == slot::Phase::Restoring);
            gauges.recent_bytes += slot.recent.bytes();
        }
        gauges
    }

    /// Every second or so: expiries, wills that are due, keep-alives, CONNECTs that waited too
    /// long, and the commit of what may wait.
    pub fn tick(&mut self, view: View<'_>, fx: &mut Vec<Effect>) {
        self.end_expired_sessions(view, fx);
        self.publish_due_wills(view, fx);
        self.refuse_late_connects(view, fx);
        self.end_late_refreshes(view, fx);
        self.end_late_syncs(view, fx);
        if view.now >= self.last_sweep + 1000 {
            self.last_sweep = view.now;
            self.end_silent_connections(view, fx);
            self.release_idle_buffers(view.now);
            self.last_presence.retain(|_, ts| *ts >= view.now);
            self.flush(fx, true);
        }
    }

    /// Sizes of what is empty when nobody is connected and no session is left, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn leftovers(&self) -> Vec<(&'static str, usize)> {
        let (waiting, noted) = self.commits.sizes();
        let slots = self.slots.values();
        let of_slots = slots.map(|s| {
            s.writes.len() + s.dirty.len() + s.wanted.len() + s.wants.len() + s.orphans.len()
        });
        vec![
            ("sessions", self.sessions.len()),
            ("by_client", self.by_client.len()),
            ("conns", self.conns.len()),
            ("plain subscriptions", self.index.plain.len()),
            ("shared subscriptions", self.index.shared.len()),
            ("pending", self.pending.len()),
            ("lanes", self.lanes.len()),
            ("refreshes", self.refreshes.len()),
            ("wills", self.wills.len()),
            ("expiries", self.expiries.len()),
            ("parked", self.parked.len()),
            ("waiting for a commit", waiting),
            ("noted for a commit", noted),
            ("connacks", self.commits.connacks.len()),
            ("waiting for other pods", self.syncs.len()),
            ("slots", of_slots.sum()),
        ]
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        self.next_token
    }

    fn incarnation(&mut self) -> u64 {
        self.next_incarnation += 1;
        // Two shards never share a clientId; the shard's number only makes logs readable.
        self.next_incarnation
    }

    /// Which shard of this process has a slot.
    fn shard_of(&self, slot: u16) -> u16 {
        slot % self.config.shards.max(1)
    }

    fn slot_of(&self, client_id: &str) -> u16 {
        crate::hash::slot(client_id, self.config.slots)
    }

    /// Strictly increasing for each clientId over both presence topics (ruling 18).
    fn presence_ts(&mut self, client_id: &Arc<str>, now: u64) -> u64 {
        let last = self.last_presence.entry(client_id.clone()).or_insert(0);
        *last = now.max(*last + 1);
        *last
    }
}

/// What a shard holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Network connections past CONNECT.
    pub connections: usize,
    /// Sessions that outlive their connection, and have one.
    pub sessions_online: usize,
    /// Sessions that outlived their connection.
    pub sessions_offline: usize,
    /// Sessions that do not.
    pub sessions_clean: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Messages queued or in flight towards clients.
    pub queued_messages: usize,
    /// Bytes of the durable ones.
    pub queued_bytes: u64,
    /// Slots that are served.
    pub slots_open: usize,
    /// Slots whose state is being read back.
    pub slots_restoring: usize,
    /// Bytes of message bodies kept at hand.
    pub recent_bytes: usize,
}

/// The first level of a Topic Name: the parent topic that it is under (ruling 1).
fn first_level(topic: &str) -> &str {
    topic.split('/').next().unwrap_or_default()
}

/// Whether a Topic Name may be stored at all: not `$…`, not a leading slash.
fn storable(message: &Message) -> bool {
    let topic = message.topic();
    message.origin == crate::Origin::Device && !topic.starts_with(['$', '/'])
}
