//! The life of a pod's slots: which are assigned, restored, open, suspended or on their way to
//! another pod (architecture section 3; `docs/ownership.md` has the picture).
//!
//! Owns the decision, not the deed: [`Ownership::step`] takes what the consumer group, the routes,
//! the restoring threads and the shards say, and answers with [`Effect`]s in the order in which the
//! driver must do them. The invariant it keeps (architecture section 6, number 4): a slot is served
//! from memory only as long as nobody else has changed its committed state since that memory was
//! made; whatever was lost meanwhile is proved against Kafka before it goes on.

mod leave;
mod orphans;
mod step;

use crate::record::OwnerRecord;
use leave::Leaving;
use orphans::Orphans;
use std::collections::BTreeMap;

/// How long to wait before Kafka is asked again, ms.
const AGAIN: u64 = 200;
/// How long a shard may need to read what an inbox holds behind its committed position, which is
/// written every second, ms. Its reader may have been taken away at the wrong moment.
const OPENING: u64 = 15_000;
/// How long a pod that has joined waits for its share, ms: others give it up first.
const SHARE: u64 = 3000;
/// How long another process may need to write its name as a slot's owner, ms.
const SUCCESSOR: u64 = 1000;
/// So often within this time, ms, is no accident: two processes have one name.
const FENCES: (usize, u64) = (3, 60_000);

/// What happens to a pod's slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The producers are there: what is assigned may be restored.
    Begin,
    /// The group has given these to us besides those that were ours; may be none.
    Assigned(Vec<u16>),
    /// The group wants these back, and waits a little for [`Effect::Release`].
    Revoked(Vec<u16>),
    /// These are no longer ours; others may have them already.
    Lost(Vec<u16>),
    /// Somebody has taken our membership. [`Event::Lost`] was said of everything before.
    Fenced(String),
    /// `!owner` of a slot, as it is read from the routes; late, like everything that is read.
    Owner(u16, Option<OwnerRecord>),
    /// The slot's state has been read.
    Restored {
        /// The slot.
        slot: u16,
        /// Of this attempt.
        attempt: u64,
    },
    /// Kafka has said whether someone else committed to the slot since our memory of it was made.
    Proved {
        /// The slot.
        slot: u16,
        /// Of this attempt.
        attempt: u64,
        /// Nobody did.
        unchanged: bool,
    },
    /// Restoring or proving failed.
    Failed {
        /// The slots.
        slots: Vec<u16>,
        /// Of this attempt.
        attempt: u64,
    },
    /// The shard goes on with the slot from memory, or has none of it.
    Resumed {
        /// The slot.
        slot: u16,
        /// The memory was there.
        in_memory: bool,
    },
    /// The slot's inbox has been read: its clients are served.
    Opened(u16),
    /// The slot's clients are gone, and everything of it is committed.
    Closed(u16),
    /// The process ends in order.
    Leave {
        /// Nobody else is in the group.
        alone: bool,
    },
    /// Nobody is left who would take a slot.
    Alone,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read the state of these slots; one that goes meanwhile is simply not installed.
    Restore {
        /// The slots.
        slots: Vec<u16>,
        /// To be named in the answer.
        attempt: u64,
    },
    /// Hand the state that was read to the shard; writing about the slot is allowed from here on.
    Install(u16),
    /// Ask Kafka whether anyone else has committed to these slots.
    Prove {
        /// The slots.
        slots: Vec<u16>,
        /// To be named in the answer.
        attempt: u64,
    },
    /// Go on from memory; writing about the slot is allowed from here on.
    Resume(u16),
    /// The group is lost, the clients stay.
    Suspend(u16),
    /// End the slot's clients, finish what is under way, commit; then [`Event::Closed`].
    Close(u16),
    /// Forget the slot, its clients, and whatever of it still waits to be written.
    Drop(u16),
    /// Others may have these.
    Release(Vec<u16>),
    /// Have the group divide the slots anew: one has been nobody's for too long.
    Rebalance,
    /// Join the group again.
    Rejoin,
    /// End the process: going on could only answer with stale state.
    Exit(String),
    /// Nothing is left to hand over.
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Ours, not in memory; to be restored at this time.
    Waiting(u64),
    /// Ours; its state is being read.
    Restoring(u64),
    /// Ours; the shard reads its inbox, until this time: then it is restored once more.
    Opening(u64),
    /// Ours, and served.
    Open,
    /// In memory; not ours as far as we know.
    Suspended,
    /// In memory and ours again; to be proved at this time.
    Unproved(u64),
    /// In memory and ours again; Kafka is asked who has committed meanwhile.
    Proving(u64),
    /// In memory, ours, proved; the shard has been told.
    Resuming,
    /// Ours until its clients are gone and its last commit is done.
    Closing,
}

/// What a slot is doing, for who asks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not ours, not in memory.
    Unowned,
    /// Ours and not yet served.
    Opening,
    /// Served.
    Open,
    /// In memory, its group lost or not yet proved.
    Suspended,
    /// On its way to another pod.
    Closing,
}

/// See the module's description.
#[derive(Debug)]
pub struct Ownership {
    ours: OwnerRecord,
    /// The slots that are ours or in memory.
    slots: BTreeMap<u16, State>,
    begun: bool,
    /// The group has assigned, possibly nothing, and was not lost since.
    joined: bool,
    /// Until then a pod that has joined, and has nothing, is still to get its share.
    share: Option<u64>,
    attempt: u64,
    /// When the membership was last taken.
    fences: Vec<u64>,
    /// Fenced: when to join again.
    rejoin: Option<u64>,
    leaving: Option<Leaving>,
    orphans: Orphans,
}

impl Ownership {
    /// Nothing is ours of the instance's so many slots; `ours` is this start of this pod.
    #[must_use]
    pub fn new(ours: OwnerRecord, slots: u16, now: u64) -> Self {
        Self {
            ours,
            slots: BTreeMap::new(),
            begun: false,
            joined: false,
            share: None,
            attempt: 0,
            fences: Vec::new(),
            rejoin: None,
            leaving: None,
            orphans: Orphans::new(slots, now),
        }
    }

    /// What a slot is doing.
    #[must_use]
    pub fn phase(&self, slot: u16) -> Phase {
        match self.slots.get(&slot) {
            None => Phase::Unowned,
            Some(State::Waiting(_) | State::Restoring(_) | State::Opening(_)) => Phase::Opening,
            Some(State::Open) => Phase::Open,
            Some(State::Suspended | State::Unproved(_) | State::Proving(_) | State::Resuming) => {
                Phase::Suspended
            }
            Some(State::Closing) => Phase::Closing,
        }
    }

    /// Slots that are ours, or were, and are not served.
    #[must_use]
    pub fn unserved(&self) -> usize {
        let served = |state: &&State| !matches!(state, State::Open | State::Closing);
        self.slots.values().filter(served).count()
    }

    /// The group has assigned, possibly nothing, and all that is ours is open.
    #[must_use]
    pub fn serving(&self) -> bool {
        self.joined && self.share.is_none() && self.unserved() == 0
    }

    /// When [`Event::Tick`] is due, epoch ms.
    #[must_use]
    pub fn next_tick(&self) -> Option<u64> {
        let due = self.slots.values().filter_map(|state| match state {
            State::Waiting(at) if self.begun => Some(*at),
            State::Unproved(at) | State::Opening(at) => Some(*at),
            _ => None,
        });
        let leaving = self.leaving.as_ref().and_then(Leaving::due);
        let orphans = self.joined.then(|| self.orphans.due()).flatten();
        let others = [self.rejoin, self.share, leaving, orphans];
        due.chain(others.into_iter().flatten()).min()
    }

    /// Whether an attempt at a slot still counts: what it yields is of use.
    #[must_use]
    pub fn wants(&self, slot: u16, attempt: u64) -> bool {
        matches!(self.slots.get(&slot),
            Some(State::Restoring(of) | State::Proving(of)) if *of == attempt)
    }
}
