//! The client of the consumer group: what the group says, and what its own clock says.

use super::super::kafka::Kafka;
use super::{Around, GRACE, Leaving, Pod, SESSION, Term};
use isthmus_core::ownership::Event;
use std::collections::BTreeSet;

impl Pod {
    pub(super) fn lose_all(&mut self) {
        self.group.in_group = false;
        self.group.seat = None;
        self.group.revoking = None;
        self.group.ignored.clear();
        let owned = std::mem::take(&mut self.group.owned);
        if !owned.is_empty() {
            self.events
                .push_back(Event::Lost(owned.into_keys().collect()));
        }
    }

    pub(super) fn poll_group(&mut self, around: &mut Around<'_>) {
        let Around {
            now,
            ref mut kafka,
            coordinator,
            ..
        } = *around;
        if self.group.closed {
            return;
        }
        let known = kafka.knows(self.process);
        if !coordinator {
            if self.group.in_group && now >= self.group.heard + SESSION {
                self.lose_all();
            }
            return;
        }
        self.group.heard = now;
        if self.group.in_group && !known {
            self.lose_all();
        }
        if !self.group.in_group {
            kafka.join(now, self.process);
            self.group.in_group = true;
            return;
        }
        let mut over = false;
        if let Some((left, until)) = &self.group.revoking {
            if !left.is_empty() && now < *until {
                // Heartbeats go on, the round waits for it.
                kafka.hear(now, self.process);
                return;
            }
            over = true;
        }
        if over {
            let (left, _) = self.group.revoking.take().unwrap();
            for slot in &left {
                self.group.owned.remove(slot);
            }
            if !left.is_empty() {
                self.events
                    .push_back(Event::Lost(left.into_iter().collect()));
            }
            kafka.rejoin(self.process);
        }
        if self.leave_group(now, kafka) {
            return;
        }
        if std::mem::take(&mut self.group.rebalance) {
            kafka.rejoin(self.process);
        }
        let claims = self.claims();
        if let Some(sync) = kafka.heartbeat(now, self.process, &claims) {
            self.group.seat = Some(sync.seat);
            if self.group.leaving.is_some() {
                self.group.ignored.extend(sync.added);
                self.group
                    .ignored
                    .retain(|slot| !sync.revoked.contains(slot));
                let owned = &self.group.owned;
                let left = sync.revoked.into_iter();
                let left: BTreeSet<u16> = left.filter(|slot| owned.contains_key(slot)).collect();
                self.group.revoking = Some((left, now + GRACE));
                return;
            }
            self.group.terms += 1;
            let number = self.group.terms;
            for slot in &sync.added {
                let term = Term {
                    number,
                    admitted: false,
                };
                self.group.owned.entry(*slot).or_insert(term);
            }
            let terms = sync
                .added
                .iter()
                .map(|slot| (*slot, self.group.owned[slot].number));
            self.assigned.push_back(terms.collect());
            self.events.push_back(Event::Assigned(sync.added));
            if !sync.revoked.is_empty() {
                let left = sync.revoked.iter().copied().collect();
                self.group.revoking = Some((left, now + GRACE));
                self.events.push_back(Event::Revoked(sync.revoked));
            }
        }
    }

    /// An orderly leave: whether it is done.
    fn leave_group(&mut self, now: u64, kafka: &mut Kafka) -> bool {
        match self.group.leaving {
            None => false,
            Some(Leaving::Asked) => {
                self.group.leaving = Some(Leaving::Until(now + GRACE));
                let owned = self.claims().into_iter().collect();
                self.events.push_back(Event::Revoked(owned));
                false
            }
            Some(Leaving::Until(until)) => {
                let done = self.group.owned.is_empty() || now >= until;
                if done {
                    self.lose_all();
                    kafka.leave(self.process);
                    self.group.closed = true;
                }
                done
            }
        }
    }

    pub(super) fn claims(&self) -> BTreeSet<u16> {
        let owned = self.group.owned.keys();
        owned.chain(&self.group.ignored).copied().collect()
    }
}
