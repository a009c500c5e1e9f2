//! An orderly end: every slot is given to another pod, and the process stays until they serve.

use super::{Effect, Ownership, State};
use std::collections::BTreeSet;

/// How long the others may take at most, ms.
const MOST: u64 = 5000;
/// Nobody has taken anything for so long, ms: nobody is there.
const NOBODY: u64 = 3000;

#[derive(Debug)]
pub(super) struct Leaving {
    since: u64,
    alone: bool,
    /// Given away, and not known to be served by another.
    given: BTreeSet<u16>,
    last_given: u64,
    anyone: bool,
    done: bool,
}

impl Leaving {
    pub(super) fn gave(&mut self, now: u64, slot: u16) {
        self.given.insert(slot);
        self.last_given = now;
    }

    /// Another serves the slot.
    pub(super) fn taken(&mut self, slot: u16) {
        self.anyone |= self.given.remove(&slot);
    }

    pub(super) fn due(&self) -> Option<u64> {
        let soon = self.last_given + NOBODY;
        let most = self.since + MOST;
        (!self.done).then(|| {
            if self.anyone {
                most
            } else {
                soon.min(most).max(self.since + 1)
            }
        })
    }
}

impl Ownership {
    pub(super) fn leave(&mut self, now: u64, alone: bool, fx: &mut Vec<Effect>) {
        self.leaving = Some(Leaving {
            since: now,
            alone,
            given: BTreeSet::new(),
            last_given: now,
            anyone: false,
            done: false,
        });
        if !alone {
            return;
        }
        // Nobody waits for them: what is owed is committed, and that is all.
        for slot in self.slots.keys().copied().collect::<Vec<_>>() {
            if self.slots.get(&slot) == Some(&State::Open) {
                self.slots.insert(slot, State::Closing);
                fx.push(Effect::Close(slot));
            } else {
                self.forget(now, slot, fx);
            }
        }
    }

    /// Whoever was to take the slots ends as well.
    pub(super) fn stay_alone(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.alone = true;
        }
    }

    pub(super) fn leave_if_done(&mut self, now: u64, fx: &mut Vec<Effect>) {
        let held = self.slots.values().any(|state| *state != State::Suspended);
        let Some(leaving) = self.leaving.as_mut().filter(|leaving| !leaving.done) else {
            return;
        };
        let nobody = leaving.alone || !leaving.anyone && now >= leaving.last_given + NOBODY;
        let given = !held && (leaving.given.is_empty() || nobody);
        if given || now >= leaving.since + MOST {
            leaving.done = true;
            fx.push(Effect::Left);
        }
    }
}
