//! Does what the machine asks for. Keeps what was read of a slot until it is installed, and who had
//! committed last when it was read.

use super::read::{Marks, Read, Reading};
use super::{Work, alone};
use crate::kafka::Topics;
use crate::shared::{Event as ToShard, Shared};
use isthmus_core::ownership::{Effect, Event, Ownership};
use isthmus_core::record::OwnerRecord;
use isthmus_kafka::failpoint::hit;
use isthmus_kafka::group::GroupHandle;
use isthmus_kafka::reader::Restorer;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

pub(super) struct Driver {
    shared: Arc<Shared>,
    group: GroupHandle,
    topics: Topics,
    machine: Ownership,
    work: Sender<Work>,
    /// Read, and installed in the same turn.
    read: HashMap<u16, Read>,
    /// Who had committed to a slot before it was installed.
    marks: HashMap<u16, Marks>,
    /// By which assignment a slot is ours, as far as the machine has heard.
    terms: HashMap<u16, u64>,
    left: Option<Sender<()>>,
    /// What has read states before, for the next time.
    restorer: Arc<Mutex<Option<Restorer>>>,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        group: GroupHandle,
        topics: Topics,
        work: Sender<Work>,
    ) -> Self {
        let ours = OwnerRecord {
            node: shared.config.node.clone(),
            start: shared.clock.start(),
        };
        let (slots, now) = (shared.config.slots, shared.clock.now());
        Self {
            shared,
            group,
            topics,
            machine: Ownership::new(ours, slots, now),
            work,
            read: HashMap::new(),
            marks: HashMap::new(),
            terms: HashMap::new(),
            left: None,
            restorer: Arc::default(),
        }
    }

    /// How long until the machine is to look at its clock.
    pub(super) fn next_tick(&self) -> Option<Duration> {
        let at = self.machine.next_tick()?;
        Some(Duration::from_millis(
            at.saturating_sub(self.shared.clock.now()),
        ))
    }

    pub(super) fn event(&mut self, event: Event) {
        match &event {
            Event::Assigned(slots) => tracing::info!(slots = slots.len(), "slots assigned"),
            Event::Revoked(slots) => tracing::info!(slots = slots.len(), "slots are wanted back"),
            Event::Lost(slots) => tracing::warn!(slots = slots.len(), "slots lost"),
            Event::Owner(_, Some(owner)) if self.opened(owner) => {
                hit("open", "owner");
            }
            Event::Fenced(error) => tracing::warn!(%error, "the membership was taken"),
            _ => {}
        }
        let mut effects = Vec::new();
        self.machine
            .step(self.shared.clock.now(), event, &mut effects);
        for effect in effects {
            self.perform(effect);
        }
        self.shared.serving(self.machine.serving());
    }

    /// The group has assigned: each slot with the number of its assignment.
    pub(super) fn assigned(&mut self, terms: Vec<(u16, u64)>) {
        let slots = terms.iter().map(|(slot, _)| *slot).collect();
        self.terms.extend(terms);
        self.event(Event::Assigned(slots));
    }

    pub(super) fn read(&mut self, read: Read) {
        let (slot, attempt) = (read.slot, read.attempt);
        self.read.insert(slot, read);
        self.event(Event::Restored { slot, attempt });
        self.read.remove(&slot);
    }

    pub(super) fn leave(&mut self, done: Sender<()>) {
        self.left = Some(done);
        let alone = alone(&self.shared, &self.group);
        if !alone {
            self.group.give_up();
        }
        self.event(Event::Leave { alone });
    }

    fn perform(&mut self, effect: Effect) {
        let tell = |slot, event| self.shared.tell_slot(slot, event);
        match effect {
            Effect::Restore { slots, attempt } => {
                // An earlier life of it here must not be committed behind what is read now.
                for slot in &slots {
                    self.group.withdraw(self.topics.inbox(), i32::from(*slot));
                }
                self.reading(attempt).restore(slots);
            }
            Effect::Prove { slots, attempt } => {
                let known = |slot: &u16| self.marks.get(slot).cloned().unwrap_or_default();
                let known = slots.iter().map(|slot| (*slot, known(slot))).collect();
                self.reading(attempt).prove(known);
            }
            Effect::Install(slot) => {
                if let Some(read) = self.read.remove(&slot) {
                    self.marks.insert(slot, read.marks);
                    let (position, records) = (read.position, read.records);
                    tell(
                        slot,
                        ToShard::Restore {
                            slot,
                            position,
                            records,
                            term: self.term(slot),
                        },
                    );
                }
            }
            Effect::Resume(slot) => tell(slot, ToShard::Resume(slot, self.term(slot))),
            Effect::Suspend(slot) => tell(slot, ToShard::Suspend(slot)),
            Effect::Close(slot) => tell(slot, ToShard::Close(slot)),
            Effect::Drop(slot) => {
                self.marks.remove(&slot);
                tell(slot, ToShard::Drop(slot));
            }
            Effect::Release(slots) => {
                tracing::debug!(slots = slots.len(), "slots given back");
                let inbox = self.topics.inbox();
                let partitions = slots.iter().map(|slot| (inbox.clone(), i32::from(*slot)));
                self.group.release(partitions.collect());
            }
            Effect::Rebalance => {
                tracing::info!("a slot is nobody's: asking the group to divide them anew");
                self.group.rebalance();
            }
            Effect::Rejoin => {
                tracing::warn!("the membership was lost to nobody else, joining again");
                self.group.rejoin();
            }
            Effect::Exit(error) => {
                tracing::error!(%error, "another process has this pod's membership: ending");
                // Whoever has it now serves the slots; going on could only answer with stale state.
                std::process::exit(1);
            }
            Effect::Left => {
                if let Some(left) = self.left.take() {
                    let _ = left.send(());
                }
            }
        }
    }

    /// Whether this process has said this.
    fn opened(&self, owner: &OwnerRecord) -> bool {
        *owner.node == *self.shared.config.node && owner.start == self.shared.clock.start()
    }

    fn term(&self, slot: u16) -> u64 {
        self.terms.get(&slot).copied().unwrap_or_default()
    }

    fn reading(&self, attempt: u64) -> Reading {
        Reading {
            shared: self.shared.clone(),
            group: self.group.clone(),
            topics: self.topics.clone(),
            work: self.work.clone(),
            attempt,
            restorer: self.restorer.clone(),
        }
    }
}
