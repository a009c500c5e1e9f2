//! One slot: how far its inbox has been read, what its changelog must still be told, and the
//! bodies of messages that are soon needed.

use super::effect::Write;
use crate::message::Message;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Bytes of bodies that a slot keeps at hand behind its position.
const RECENT_BYTES: usize = 4 << 20;

/// A message of the inbox with what decides how it is delivered.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) message: Arc<Message>,
    pub(super) by_filter: bool,
    /// The shared subscriptions that it is for: ShareName and filter.
    pub(super) shared: Vec<(Box<str>, Box<str>)>,
}

/// The latest bodies of a slot's inbox, bounded in bytes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    bodies: VecDeque<(i64, Body)>,
    bytes: usize,
}

impl Recent {
    pub(super) fn push(&mut self, offset: i64, body: Body) {
        self.bytes += body.message.size() + 128;
        self.bodies.push_back((offset, body));
        while self.bytes > RECENT_BYTES && self.bodies.len() > 1 {
            if let Some((_, old)) = self.bodies.pop_front() {
                self.bytes = self.bytes.saturating_sub(old.message.size() + 128);
            }
        }
    }

    pub(super) fn get(&self, offset: i64) -> Option<&Body> {
        let at = self
            .bodies
            .binary_search_by_key(&offset, |(o, _)| *o)
            .ok()?;
        self.bodies.get(at).map(|(_, body)| body)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// How many sessions of the slot want a filter, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) live: u32,
    pub(super) durable: u32,
    pub(super) durable_online: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// State is in memory; the inbox is being read up to where it stood.
    Restoring,
    /// Clients are served.
    Open,
    /// The group is lost, not the clients: nothing durable moves.
    Suspended,
    /// On its way to another pod: its clients are gone, what is under way is finished.
    Closing,
}

/// A slot that this shard owns.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) phase: Phase,
    /// Which restore of this process it came by.
    pub(super) restore: u64,
    /// The offset of the inbox record that opened it: greater with every owner.
    pub(super) life: i64,
    /// When it closes: from then on what is not under way is left to the next owner, ms.
    pub(super) hurry_at: u64,
    /// The number of its last route change.
    pub(super) route_number: u64,
    /// The next inbox offset to be looked at.
    pub(super) position: i64,
    /// The position that the last commit named.
    pub(super) reported: i64,
    /// Records for the next commit, in order.
    pub(super) writes: Vec<Write>,
    /// Sessions whose records must be written anew.
    pub(super) dirty: FxHashSet<usize>,
    pub(super) wanted: FxHashMap<Box<str>, Wanted>,
    pub(super) recent: Recent,
    /// Bodies fetched for sessions that wait for them; `None`: no longer in Kafka.
    pub(super) fetched: BTreeMap<i64, Option<Body>>,
    pub(super) fetching: bool,
    pub(super) wants: BTreeSet<i64>,
    pub(super) waiting_for_bodies: FxHashSet<usize>,
    /// Messages that an ended session leaves to others of its shared subscriptions, until their
    /// bodies are at hand: the position does not pass them.
    pub(super) orphans: BTreeMap<i64, BTreeSet<Box<str>>>,
    /// Sessions whose connection was the last owner's.
    pub(super) lost: Vec<usize>,
    /// The last commit, which says that nobody owns the slot, has been asked for.
    pub(super) released: bool,
}

impl Slot {
    pub(super) fn new(position: i64) -> Self {
        Self {
            phase: Phase::Restoring,
            restore: 0,
            life: 0,
            hurry_at: 0,
            route_number: 0,
            position,
            reported: -1,
            writes: Vec::new(),
            dirty: FxHashSet::default(),
            wanted: FxHashMap::default(),
            recent: Recent::default(),
            fetched: BTreeMap::new(),
            fetching: false,
            wants: BTreeSet::new(),
            waiting_for_bodies: FxHashSet::default(),
            orphans: BTreeMap::new(),
            lost: Vec::new(),
            released: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether its changes may be committed.
    pub(super) fn may_commit(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Closing)
    }

    /// Whether anything of it may be begun that takes more than a commit.
    pub(super) fn may_begin(&self, now: u64) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Closing => now < self.hurry_at,
            Phase::Restoring | Phase::Suspended => false,
        }
    }

    /// Every inbox record before it has had its effect.
    pub(super) fn safe_position(&self) -> i64 {
        self.orphans
            .first_key_value()
            .map_or(self.position, |(offset, _)| *offset)
    }

    pub(super) fn body(&self, offset: i64) -> Option<Option<&Body>> {
        if let Some(body) = self.recent.get(offset) {
            return Some(Some(body));
        }
        self.fetched.get(&offset).map(Option::as_ref)
    }
}
