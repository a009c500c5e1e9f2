//! Each event's meaning for each state. What is not ours any more is answered at once; what is
//! ours and not in memory is restored in one pass with everything else that waits.

use super::{AGAIN, Effect, Event, FENCES, OPENING, Ownership, SHARE, SUCCESSOR, State};
use crate::record::OwnerRecord;

impl Ownership {
    /// Takes an event; effects are to be done in their order.
    pub fn step(&mut self, now: u64, event: Event, fx: &mut Vec<Effect>) {
        match event {
            Event::Begin => self.begun = true,
            Event::Assigned(slots) => self.assigned(now, &slots),
            Event::Revoked(slots) => self.revoked(now, &slots, fx),
            Event::Lost(slots) => self.lost(now, &slots, fx),
            Event::Fenced(reason) => self.fenced(now, &reason, fx),
            Event::Owner(slot, owner) => self.owner(now, slot, owner, fx),
            Event::Restored { slot, attempt } => {
                if self.wants(slot, attempt) {
                    self.slots.insert(slot, State::Opening(now + OPENING));
                    fx.push(Effect::Install(slot));
                }
            }
            Event::Proved {
                slot,
                attempt,
                unchanged,
            } => {
                if !self.wants(slot, attempt) {
                } else if unchanged {
                    self.slots.insert(slot, State::Resuming);
                    fx.push(Effect::Resume(slot));
                } else {
                    fx.push(Effect::Drop(slot));
                    self.slots.insert(slot, State::Waiting(now));
                }
            }
            Event::Failed { slots, attempt } => {
                for slot in slots
                    .into_iter()
                    .filter(|slot| self.wants(*slot, attempt))
                    .collect::<Vec<_>>()
                {
                    let later = match self.slots.get(&slot) {
                        Some(State::Proving(_)) => State::Unproved(now + AGAIN),
                        _ => State::Waiting(now + AGAIN),
                    };
                    self.slots.insert(slot, later);
                }
            }
            Event::Resumed { slot, in_memory } => {
                if self.slots.get(&slot) == Some(&State::Resuming) {
                    let next = if in_memory {
                        State::Open
                    } else {
                        State::Waiting(now)
                    };
                    self.slots.insert(slot, next);
                }
            }
            Event::Opened(slot) => {
                if matches!(self.slots.get(&slot), Some(State::Opening(_))) {
                    self.slots.insert(slot, State::Open);
                }
            }
            Event::Closed(slot) => {
                if self.slots.get(&slot) == Some(&State::Closing) {
                    self.forget(now, slot, fx);
                    fx.push(Effect::Release(vec![slot]));
                }
            }
            Event::Leave { alone } => self.leave(now, alone, fx),
            Event::Alone => self.stay_alone(),
            Event::Tick => {}
        }
        self.share.take_if(|at| *at <= now);
        self.attempts(now, fx);
        self.join_again(now, fx);
        self.adopt(now, fx);
        self.leave_if_done(now, fx);
    }

    fn assigned(&mut self, now: u64, slots: &[u16]) {
        if !std::mem::replace(&mut self.joined, true) {
            self.share = Some(now + SHARE);
        }
        for slot in slots {
            match self.slots.get(slot) {
                None => drop(self.slots.insert(*slot, State::Waiting(now))),
                Some(State::Suspended) => drop(self.slots.insert(*slot, State::Unproved(now))),
                // Ours already.
                Some(_) => {}
            }
        }
        if !self.slots.is_empty() {
            self.share = None;
        }
    }

    fn revoked(&mut self, now: u64, slots: &[u16], fx: &mut Vec<Effect>) {
        let mut released = Vec::new();
        for slot in slots {
            match self.slots.get(slot) {
                Some(State::Open) => {
                    self.slots.insert(*slot, State::Closing);
                    fx.push(Effect::Close(*slot));
                }
                Some(State::Closing) => {}
                Some(_) => {
                    self.forget(now, *slot, fx);
                    released.push(*slot);
                }
                None => released.push(*slot),
            }
        }
        if !released.is_empty() {
            fx.push(Effect::Release(released));
        }
    }

    fn lost(&mut self, now: u64, slots: &[u16], fx: &mut Vec<Effect>) {
        for slot in slots {
            let Some(state) = self.slots.get(slot) else {
                continue;
            };
            match state {
                // Who froze may have read of its successor before it hears of its own loss, and
                // would not be told again.
                State::Open | State::Resuming if self.is_served_elsewhere(*slot) => {
                    self.forget(now, *slot, fx);
                }
                State::Open | State::Resuming => {
                    self.slots.insert(*slot, State::Suspended);
                    fx.push(Effect::Suspend(*slot));
                }
                State::Unproved(_) | State::Proving(_) => {
                    self.slots.insert(*slot, State::Suspended);
                }
                State::Suspended => {}
                // Its clients are gone, or were never here: nothing is worth keeping.
                State::Waiting(_) | State::Restoring(_) | State::Opening(_) | State::Closing => {
                    self.forget(now, *slot, fx);
                }
            }
        }
    }

    /// Out of memory, and no longer ours.
    pub(super) fn forget(&mut self, now: u64, slot: u16, fx: &mut Vec<Effect>) {
        let Some(state) = self.slots.remove(&slot) else {
            return;
        };
        if !matches!(state, State::Waiting(_) | State::Restoring(_)) {
            fx.push(Effect::Drop(slot));
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.gave(now, slot);
        }
    }

    /// Somebody has our membership. Another process would write its name as a slot's owner by and
    /// by; else it was an earlier request of our own, which a frozen Kafka took late.
    fn fenced(&mut self, now: u64, reason: &str, fx: &mut Vec<Effect>) {
        self.joined = false;
        self.fences.retain(|at| now < at + FENCES.1);
        self.fences.push(now);
        if self.fences.len() > FENCES.0 {
            fx.push(Effect::Exit(reason.to_owned()));
        } else {
            self.rejoin = Some(now + SUCCESSOR);
        }
    }

    fn join_again(&mut self, now: u64, fx: &mut Vec<Effect>) {
        if self.rejoin.take_if(|at| *at <= now).is_some() && self.leaving.is_none() {
            fx.push(Effect::Rejoin);
        }
    }

    fn owner(&mut self, now: u64, slot: u16, owner: Option<OwnerRecord>, fx: &mut Vec<Effect>) {
        let elsewhere = owner
            .as_ref()
            .is_some_and(|owner| owner.node != self.ours.node);
        self.served_elsewhere(slot, elsewhere);
        let Some(owner) = owner.filter(|owner| *owner != self.ours) else {
            return;
        };
        if let Some(leaving) = &mut self.leaving {
            leaving.taken(slot);
        }
        if self.rejoin.is_some() && owner.node == self.ours.node && owner.start > self.ours.start {
            self.rejoin = None;
            fx.push(Effect::Exit(format!(
                "another process has this pod's name, it opened slot {slot}"
            )));
        }
        match self.slots.get(&slot) {
            Some(State::Suspended) => self.forget(now, slot, fx),
            Some(State::Unproved(_) | State::Proving(_)) => {
                fx.push(Effect::Drop(slot));
                self.slots.insert(slot, State::Waiting(now));
            }
            // Read late: it was written before the slot became ours.
            _ => {}
        }
    }

    /// Begins what is due.
    fn attempts(&mut self, now: u64, fx: &mut Vec<Effect>) {
        let (mut restore, mut prove) = (Vec::new(), Vec::new());
        let attempt = self.attempt + 1;
        for (slot, state) in &mut self.slots {
            match state {
                // What the shard has of it must be gone before it is read again.
                State::Opening(at) if *at <= now => {
                    fx.push(Effect::Drop(*slot));
                    *state = State::Waiting(now + AGAIN);
                }
                State::Waiting(at) if self.begun && *at <= now => {
                    restore.push(*slot);
                    *state = State::Restoring(attempt);
                }
                State::Unproved(at) if *at <= now => {
                    prove.push(*slot);
                    *state = State::Proving(attempt);
                }
                _ => {}
            }
        }
        if !(restore.is_empty() && prove.is_empty()) {
            self.attempt = attempt;
        }
        if !restore.is_empty() {
            fx.push(Effect::Restore {
                slots: restore,
                attempt,
            });
        }
        if !prove.is_empty() {
            fx.push(Effect::Prove {
                slots: prove,
                attempt,
            });
        }
    }
}
