//! A model of a pod's shard: of each slot only which committed state its memory follows from, and
//! what is not committed yet. One commit at a time, as the real one.

use super::kafka::{Part, Version};
use super::transactor::Change;
use isthmus_core::record::OwnerRecord;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Restoring,
    Open,
    Suspended,
    Closing,
}

#[derive(Debug)]
struct Memory {
    base: Version,
    phase: Phase,
    dirty: bool,
    /// `!owner` is to be written.
    owner: Option<Option<OwnerRecord>>,
    released: bool,
}

struct Running {
    id: u64,
    /// Nothing where the slot was dropped.
    parts: Vec<Option<Part>>,
}

/// See the module's description.
#[derive(Default)]
pub(crate) struct Shard {
    slots: BTreeMap<u16, Memory>,
    running: Option<Running>,
    next: u64,
}

impl Shard {
    pub(crate) fn restore(&mut self, slot: u16, base: Version) {
        let phase = Phase::Restoring;
        let memory = Memory {
            base,
            phase,
            dirty: false,
            owner: None,
            released: false,
        };
        self.slots.insert(slot, memory);
    }

    /// The inbox has been read.
    pub(crate) fn open(&mut self, slot: u16, ours: &OwnerRecord) -> bool {
        let found = self
            .slots
            .get_mut(&slot)
            .filter(|m| m.phase == Phase::Restoring);
        if let Some(memory) = found {
            memory.phase = Phase::Open;
            memory.dirty = true;
            memory.owner = Some(Some(ours.clone()));
            return true;
        }
        false
    }

    pub(crate) fn restoring(&self) -> Vec<u16> {
        self.in_phase(Phase::Restoring)
    }

    pub(crate) fn open_slots(&self) -> Vec<u16> {
        self.in_phase(Phase::Open)
    }

    fn in_phase(&self, phase: Phase) -> Vec<u16> {
        self.slots
            .iter()
            .filter(|(_, m)| m.phase == phase)
            .map(|(slot, _)| *slot)
            .collect()
    }

    pub(crate) fn phase(&self, slot: u16) -> Option<Phase> {
        self.slots.get(&slot).map(|memory| memory.phase)
    }

    /// A client does something that is to be committed.
    pub(crate) fn touch(&mut self, slot: u16) {
        if let Some(memory) = self.slots.get_mut(&slot) {
            memory.dirty = true;
        }
    }

    pub(crate) fn suspend(&mut self, slot: u16) {
        if let Some(memory) = self.slots.get_mut(&slot).filter(|m| m.phase == Phase::Open) {
            memory.phase = Phase::Suspended;
        }
    }

    pub(crate) fn resume(&mut self, slot: u16) -> bool {
        let found = self
            .slots
            .get_mut(&slot)
            .filter(|m| m.phase == Phase::Suspended);
        found.map(|memory| memory.phase = Phase::Open).is_some()
    }

    pub(crate) fn close(&mut self, slot: u16) {
        if let Some(memory) = self.slots.get_mut(&slot) {
            if memory.phase == Phase::Open {
                memory.phase = Phase::Closing;
                memory.dirty = true;
            } else {
                memory.released = true;
            }
        }
    }

    /// Slots that are closed and committed.
    pub(crate) fn closed(&mut self) -> Vec<u16> {
        let running: Vec<u16> = self
            .running
            .iter()
            .flat_map(|r| r.parts.iter().flatten().map(|part| part.slot))
            .collect();
        let mut done = Vec::new();
        for (slot, memory) in &mut self.slots {
            if memory.phase != Phase::Closing {
                if memory.released {
                    done.push(*slot);
                }
            } else if !memory.dirty && !running.contains(slot) {
                if memory.released {
                    done.push(*slot);
                } else {
                    memory.released = true;
                    memory.dirty = true;
                    memory.owner = Some(None);
                }
            }
        }
        done
    }

    pub(crate) fn drop_slot(&mut self, slot: u16) {
        self.slots.remove(&slot);
        if let Some(running) = &mut self.running {
            for part in &mut running.parts {
                part.take_if(|part| part.slot == slot);
            }
        }
    }

    /// The next commit, if one is due.
    pub(crate) fn flush(&mut self, version: &mut Version) -> Option<Change> {
        if self.running.is_some() {
            return None;
        }
        let mut parts = Vec::new();
        for (slot, memory) in &mut self.slots {
            let may = matches!(memory.phase, Phase::Open | Phase::Closing);
            if may && std::mem::take(&mut memory.dirty) {
                *version += 1;
                let owner = memory.owner.take();
                parts.push(Part {
                    slot: *slot,
                    parent: memory.base,
                    version: *version,
                    owner,
                });
            }
        }
        if parts.is_empty() {
            return None;
        }
        self.next += 1;
        let id = self.next;
        self.running = Some(Running {
            id,
            parts: parts.iter().cloned().map(Some).collect(),
        });
        Some(Change { id, parts })
    }

    /// What clients are told now.
    pub(crate) fn committed(&mut self, id: u64) -> Vec<(u16, Version)> {
        let Some(running) = self.running.take_if(|running| running.id == id) else {
            return Vec::new();
        };
        let mut told = Vec::new();
        for part in running.parts.into_iter().flatten() {
            if let Some(memory) = self.slots.get_mut(&part.slot) {
                memory.base = part.version;
                told.push((part.slot, part.version));
            }
        }
        told
    }

    pub(crate) fn fenced(&mut self, id: u64) {
        let Some(running) = self.running.take_if(|running| running.id == id) else {
            return;
        };
        for part in running.parts.into_iter().flatten() {
            if let Some(memory) = self.slots.get_mut(&part.slot) {
                memory.dirty = true;
                memory.owner = memory.owner.take().or(part.owner);
            }
        }
    }
}
