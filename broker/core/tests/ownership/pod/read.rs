//! The threads that read: the routes, and for the machine what Kafka knows of slots.

use super::super::kafka::{Kafka, Version};
use super::super::random::Random;
use super::{Around, Pod, Reading};
use isthmus_core::ownership::Event;
use std::collections::{BTreeMap, BTreeSet};

impl Pod {
    pub(super) fn follow_routes(&mut self, kafka: &Kafka) {
        if let Some((slot, owner)) = kafka.routes.get(self.routes_read) {
            self.routes_read += 1;
            match owner {
                Some(owner) => drop(self.owners.insert(*slot, owner.clone())),
                None => drop(self.owners.remove(slot)),
            }
            self.events.push_back(Event::Owner(*slot, owner.clone()));
        }
    }

    pub(super) fn read(&mut self, random: &mut Random, around: &mut Around<'_>) {
        if self.reads.is_empty() || !around.coordinator {
            return;
        }
        let at = random.below(self.reads.len());
        let kafka = &mut *around.kafka;
        let in_group = self.group.in_group;
        match &mut self.reads[at] {
            Reading::Prove { slots, attempt } => {
                let (slots, attempt) = (slots.clone(), *attempt);
                let stable = slots.iter().all(|slot| kafka.stable(*slot).is_some());
                if !in_group || !stable {
                    if random.often(100) {
                        self.reads.swap_remove(at);
                        self.events.push_back(Event::Failed { slots, attempt });
                    }
                    return;
                }
                self.reads.swap_remove(at);
                for slot in slots {
                    let mark = kafka.marks[usize::from(slot)];
                    let known = self.marks.get(&slot).copied().flatten();
                    let unchanged = !around.guards.proof
                        || mark == known
                        || mark.is_some_and(|(by, _)| by == self.process);
                    self.events.push_back(Event::Proved {
                        slot,
                        attempt,
                        unchanged,
                    });
                }
            }
            Reading::Restore {
                slots,
                attempt,
                stable: stable @ None,
                ended,
            } => {
                let found: Option<BTreeMap<u16, Version>> = slots
                    .iter()
                    .map(|slot| Some((*slot, kafka.stable(*slot)?)))
                    .collect();
                let others = slots.iter().filter_map(|slot| self.owners.get(slot));
                let others: BTreeSet<usize> = others
                    .filter_map(|owner| owner.node.parse().ok())
                    .filter(|pod| *pod != self.process.0)
                    .collect();
                if slots.iter().any(|slot| self.transactor.is_at(*slot)) {
                    // What becomes of it is waited for.
                } else if !*ended && !others.is_empty() {
                    *ended = true;
                    for pod in others {
                        kafka.init(pod);
                    }
                } else if let (true, Some(found)) = (in_group, found) {
                    *stable = Some(found);
                } else if random.often(100) {
                    let (slots, attempt) = (slots.clone(), *attempt);
                    self.reads.swap_remove(at);
                    self.events.push_back(Event::Failed { slots, attempt });
                }
            }
            Reading::Restore {
                slots,
                attempt,
                stable: Some(stable),
                ..
            } => {
                if slots.iter().any(|slot| kafka.state(*slot).is_none()) {
                    return;
                }
                let wants = |slot: &&u16| self.machine.wants(**slot, *attempt);
                for slot in slots.iter().filter(wants) {
                    // The state belongs to the position, or the slot is another's by now.
                    let mark = kafka.marks[usize::from(*slot)];
                    self.found.insert(*slot, (stable[slot], mark));
                    self.events.push_back(Event::Restored {
                        slot: *slot,
                        attempt: *attempt,
                    });
                }
                self.reads.swap_remove(at);
            }
        }
    }
}
