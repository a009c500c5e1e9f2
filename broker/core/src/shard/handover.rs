//! A slot pauses, closes and goes (architecture section 3). Whoever gave it away in order has
//! committed everything before and says so in its last commit; whoever lost it says nothing more,
//! and nothing of it is left to be written later.

use super::commit::owner_write;
use super::confirm::{Kind, Pending};
use super::connection::Ended;
use super::effect::{Effect, Token};
use super::slot::Phase;
use super::{Shard, View};
use std::collections::BTreeSet;

/// How long a slot that closes goes on with what its clients have sent and Kafka has not seen, ms:
/// enough for a Kafka that is not busy; then its clients have waited long enough.
const PATIENCE: u64 = 300;

impl Shard {
    /// The group is lost, not the clients: nothing durable moves until [`Shard::resume_slot`] or
    /// [`Shard::drop_slot`].
    pub fn suspend_slot(&mut self, slot_no: u16) {
        if let Some(slot) = self.slots.get_mut(&slot_no).filter(|slot| slot.is_open()) {
            slot.phase = Phase::Suspended;
        }
    }

    /// Assigned again, and nobody else had it meanwhile: goes on from memory. Yields the inbox
    /// offset to read from; `None` where the slot must be restored.
    pub fn resume_slot(
        &mut self,
        view: View<'_>,
        slot_no: u16,
        fx: &mut Vec<Effect>,
    ) -> Option<i64> {
        let slot = self
            .slots
            .get_mut(&slot_no)
            .filter(|slot| slot.phase == Phase::Suspended)?;
        slot.phase = Phase::Open;
        let (position, lags) = (slot.position, slot.lags());
        if lags {
            self.commits.note(slot_no);
        }
        self.publish_due_wills(view, fx);
        self.flush(fx, true);
        Some(position)
    }

    /// The slot is about to be given away: its clients go, what is under way is finished, and
    /// everything is committed. [`Shard::closed`] tells when; then comes [`Shard::drop_slot`].
    pub fn close_slot(&mut self, view: View<'_>, slot_no: u16, fx: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return;
        };
        if slot.phase != Phase::Open {
            // Nothing of it was ever told to anyone, or may be told now.
            slot.released = true;
            return;
        }
        slot.phase = Phase::Closing;
        slot.hurry_at = view.now + PATIENCE;
        let of_slot = self.sessions.iter().filter(|(_, s)| s.slot == slot_no);
        for id in of_slot.filter_map(|(_, s)| s.conn).collect::<Vec<_>>() {
            self.end(view, id, Ended::ServerShutdown, fx);
        }
    }

    /// Goes on with the slots that close; yields those that are done. The driver asks when
    /// something of the shard has moved.
    pub fn closed(&mut self, view: View<'_>, fx: &mut Vec<Effect>) -> Vec<u16> {
        let closing: Vec<u16> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.phase == Phase::Closing || slot.released)
            .map(|(slot_no, _)| *slot_no)
            .collect();
        if closing.is_empty() {
            return closing;
        }
        for slot_no in &closing {
            let slot = self.slots.get_mut(slot_no);
            if slot.is_some_and(|slot| !slot.may_begin(view.now)) {
                self.drop_held(*slot_no);
            }
        }
        let busy: BTreeSet<u16> = self
            .pending
            .values()
            .filter_map(|p| self.concerned(p))
            .collect();
        let mut done = Vec::new();
        for slot_no in closing {
            let Some(slot) = self.slots.get_mut(&slot_no) else {
                continue;
            };
            if slot.phase != Phase::Closing {
                done.push(slot_no);
            } else if !std::mem::replace(&mut slot.released, true) {
                // Together with all that is left to be written, and beside what is under way to
                // other topics: each takes its time.
                let write = owner_write(slot_no, None, slot.route_number);
                slot.writes.push(write);
                self.commits.note_urgent(slot_no);
            } else if busy.contains(&slot_no) {
            } else if slot.lags() {
                self.commits.note_urgent(slot_no);
            } else if self.commits.concerns(slot_no) {
                // Nobody is left who would not wait for it.
                self.commits.hurry(slot_no);
            } else {
                done.push(slot_no);
            }
        }
        self.flush(fx, false);
        done
    }

    /// Another has the slot: its clients go, its sessions are no longer here. Nothing is said
    /// about them any more; their wills and disconnect events are the next owner's.
    pub fn drop_slot(&mut self, view: View<'_>, slot_no: u16, fx: &mut Vec<Effect>) {
        self.slots.remove(&slot_no);
        self.commits.forget(slot_no);
        self.abandon_pending(slot_no);
        let slots = self.config.slots;
        self.wills
            .retain(|client| crate::hash::slot(client, slots) != slot_no);
        self.lanes
            .retain(|client, _| crate::hash::slot(client, slots) != slot_no);
        let keys: Vec<usize> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.slot == slot_no)
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            if let Some(id) = self.sessions.get(key).and_then(|s| s.conn) {
                self.end(view, id, Ended::ServerShutdown, fx);
            }
            self.forget_expiry(key);
            let Some(session) = self.sessions.try_remove(key) else {
                continue;
            };
            self.by_client.remove(&session.client_id);
            for filter in session.subs.keys() {
                self.index.set(filter, key, None);
            }
        }
        // What the ends noted is not of this slot's next life here.
        self.commits.forget(slot_no);
    }

    /// What clients of the slot wait for is told to nobody, whenever it comes: a lane or a packet
    /// id of the slot's next life here must not be mistaken for it.
    fn abandon_pending(&mut self, slot_no: u16) {
        let tokens: Vec<Token> = self
            .pending
            .iter()
            .filter(|(_, pending)| self.concerned(pending) == Some(slot_no))
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.pending.remove(&token);
        }
    }

    /// The slot whose client something is waited for.
    fn concerned(&self, pending: &Pending) -> Option<u16> {
        if let Some(slot) = pending.slot {
            return Some(slot);
        }
        let client = match &pending.kind {
            Kind::Will(client, _) | Kind::Void(client, _) => Some(client),
            _ => pending.lane.as_ref(),
        };
        client.map(|client| self.slot_of(client))
    }
}
