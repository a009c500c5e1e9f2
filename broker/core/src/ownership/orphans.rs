//! Slots that nobody serves. A member that ends between giving a slot up and joining again comes back
//! as the static member it was, without a word to the group, and the slot would stay nobody's: so
//! whoever sees one for too long has the group divide them anew.

use super::{Effect, Ownership, State};
use std::collections::BTreeSet;

/// A slot may be nobody's for so long, ms: others are restoring it.
const PATIENCE: u64 = 5000;
/// The most between two times that the group is asked, ms.
const MOST: u64 = 60_000;

#[derive(Debug)]
pub(super) struct Orphans {
    /// Slots that no other pod is known to serve, those of this pod's own included.
    nobodys: BTreeSet<u16>,
    /// When the group is asked, if one of them is still not ours.
    at: Option<u64>,
    wait: u64,
}

impl Orphans {
    pub(super) fn new(slots: u16, now: u64) -> Self {
        Self {
            nobodys: (0..slots).collect(),
            at: Some(now + PATIENCE),
            wait: PATIENCE,
        }
    }

    pub(super) fn due(&self) -> Option<u64> {
        self.at
    }
}

impl Ownership {
    /// A slot has another owner, or none.
    pub(super) fn served_elsewhere(&mut self, slot: u16, elsewhere: bool) {
        if elsewhere {
            self.orphans.nobodys.remove(&slot);
        } else {
            self.orphans.nobodys.insert(slot);
        }
    }

    pub(super) fn is_served_elsewhere(&self, slot: u16) -> bool {
        !self.orphans.nobodys.contains(&slot)
    }

    /// Looks for orphans, and has the group asked when they have been that for too long.
    pub(super) fn adopt(&mut self, now: u64, fx: &mut Vec<Effect>) {
        let ours = |slot: &u16| match self.slots.get(slot) {
            None | Some(State::Suspended) => false,
            Some(_) => true,
        };
        if self.orphans.nobodys.iter().all(ours) || self.leaving.is_some() {
            self.orphans.at = None;
            self.orphans.wait = PATIENCE;
            return;
        }
        let at = *self.orphans.at.get_or_insert(now + PATIENCE);
        if self.joined && at <= now {
            fx.push(Effect::Rebalance);
            self.orphans.at = Some(now + self.orphans.wait);
            self.orphans.wait = (self.orphans.wait * 2).min(MOST);
        }
    }
}
