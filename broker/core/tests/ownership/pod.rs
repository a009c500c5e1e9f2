//! A pod: the real machine, with models of its group's client, its reading threads, its shard and
//! its transactor. All of them are separate threads: what one tells another waits its turn.

mod group;
mod read;

use super::kafka::{Kafka, Mark, Process, Seat, Version};
use super::random::Random;
use super::shard::Shard;
use super::transactor::{Done, Transactor, Way};
use super::world::Guards;
use isthmus_core::ownership::{Effect, Event, Ownership};
use isthmus_core::record::OwnerRecord;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Out of the group by its own clock after so long without an answer, ms.
const SESSION: u64 = 6000;
/// How long revoked slots may stay, ms.
const GRACE: u64 = 2000;

enum ToShard {
    Install(u16, Version, u64),
    Resume(u16, u64),
    Suspend(u16),
    Close(u16),
    Drop(u16),
    Done(Done),
}

enum Reading {
    Restore {
        slots: Vec<u16>,
        attempt: u64,
        stable: Option<BTreeMap<u16, Version>>,
        ended: bool,
    },
    Prove {
        slots: Vec<u16>,
        attempt: u64,
    },
}

/// A slot's assignment.
#[derive(Clone, Copy)]
pub(crate) struct Term {
    number: u64,
    pub(crate) admitted: bool,
}

/// How far an orderly leave is.
#[derive(Clone, Copy)]
enum Leaving {
    Asked,
    Until(u64),
}

#[derive(Default)]
struct Membership {
    in_group: bool,
    seat: Option<Seat>,
    /// What is assigned, by which assignment, and whether it may be written about.
    owned: BTreeMap<u16, Term>,
    terms: u64,
    revoking: Option<(BTreeSet<u16>, u64)>,
    leaving: Option<Leaving>,
    /// Assigned while it leaves.
    ignored: BTreeSet<u16>,
    heard: u64,
    closed: bool,
    rebalance: bool,
}

/// See the module's description.
pub(crate) struct Pod {
    pub(crate) process: Process,
    pub(crate) ours: OwnerRecord,
    pub(crate) machine: Ownership,
    pub(crate) shard: Shard,
    transactor: Transactor,
    group: Membership,
    events: VecDeque<Event>,
    /// Of the assignments that the machine is still to hear of.
    assigned: VecDeque<Vec<(u16, u64)>>,
    terms: BTreeMap<u16, u64>,
    to_shard: VecDeque<ToShard>,
    reads: Vec<Reading>,
    found: BTreeMap<u16, (Version, Option<Mark>)>,
    marks: BTreeMap<u16, Option<Mark>>,
    routes_read: usize,
    owners: BTreeMap<u16, OwnerRecord>,
    pub(crate) late: Vec<(u64, super::kafka::Request)>,
    pub(crate) told: Vec<(u16, Version)>,
    pub(crate) resumed: u64,
    /// What the machine was told and answered, for whom it interests.
    pub(crate) story: Vec<String>,
    pub(crate) leaving: bool,
    /// One of its threads is in a call that takes long.
    pub(crate) stalled: Option<usize>,
    pub(crate) ended: bool,
}

/// What surrounds a pod in a step.
pub(crate) struct Around<'a> {
    pub(crate) now: u64,
    pub(crate) kafka: &'a mut Kafka,
    pub(crate) version: &'a mut Version,
    /// The group's coordinator answers.
    pub(crate) coordinator: bool,
    /// Requests may be lost or late.
    pub(crate) faults: bool,
    pub(crate) guards: Guards,
}

impl Pod {
    pub(crate) fn new(process: Process, slots: u16, now: u64) -> Self {
        let ours = OwnerRecord {
            node: process.0.to_string(),
            start: process.1,
        };
        Self {
            process,
            machine: Ownership::new(ours.clone(), slots, now),
            ours,
            shard: Shard::default(),
            transactor: Transactor::default(),
            group: Membership {
                heard: now,
                ..Membership::default()
            },
            events: VecDeque::from([Event::Begin]),
            assigned: VecDeque::new(),
            terms: BTreeMap::new(),
            to_shard: VecDeque::new(),
            reads: Vec::new(),
            found: BTreeMap::new(),
            marks: BTreeMap::new(),
            routes_read: 0,
            owners: BTreeMap::new(),
            late: Vec::new(),
            told: Vec::new(),
            resumed: 0,
            story: Vec::new(),
            leaving: false,
            stalled: None,
            ended: false,
        }
    }

    /// One thread of the pod does one thing.
    pub(crate) fn act(&mut self, random: &mut Random, around: &mut Around<'_>) {
        let thread = random.below(8);
        if around.faults && self.stalled == Some(thread) {
            return;
        }
        match thread {
            0 => self.poll_group(around),
            1 | 2 => self.step_machine(around),
            3 => self.step_shard(around),
            4 => self.flush(around),
            5 => self.read(random, around),
            6 => self.transact(random, around),
            _ => self.follow_routes(around.kafka),
        }
    }

    /// A client of an open slot does something.
    pub(crate) fn serve(&mut self, random: &mut Random) {
        let open = self.shard.open_slots();
        if let Some(slot) = open.get(random.below(open.len())) {
            self.shard.touch(*slot);
        }
    }

    /// SIGTERM.
    pub(crate) fn leave(&mut self, alone: bool) {
        if !std::mem::replace(&mut self.leaving, true) {
            self.events.push_back(Event::Leave { alone });
            if !alone {
                self.group.leaving = Some(Leaving::Asked);
            }
        }
    }

    /// The membership is taken, as by a request of its own that was frozen.
    pub(crate) fn fence(&mut self) {
        self.lose_all();
        self.group.closed = true;
        self.events.push_back(Event::Fenced("fenced".to_owned()));
    }

    fn step_machine(&mut self, around: &mut Around<'_>) {
        let due = self.machine.next_tick().is_some_and(|at| at <= around.now);
        let event = match self.events.pop_front() {
            Some(event) => event,
            None if due => Event::Tick,
            None => return,
        };
        if let Event::Assigned(_) = event {
            self.terms.extend(self.assigned.pop_front().unwrap());
        }
        let mut effects = Vec::new();
        let heard = format!("{event:?}");
        self.machine.step(around.now, event, &mut effects);
        if heard != "Tick" || !effects.is_empty() {
            self.story
                .push(format!("{:?} {heard} -> {effects:?}", self.process));
        }
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Restore { slots, attempt } => {
                for slot in &slots {
                    if let Some(term) = self.group.owned.get_mut(slot) {
                        term.admitted = false;
                    }
                }
                self.reads.push(Reading::Restore {
                    slots,
                    attempt,
                    stable: None,
                    ended: false,
                });
            }
            Effect::Prove { slots, attempt } => self.reads.push(Reading::Prove { slots, attempt }),
            Effect::Install(slot) => {
                if let Some((version, mark)) = self.found.remove(&slot) {
                    self.marks.insert(slot, mark);
                    let install = ToShard::Install(slot, version, self.terms[&slot]);
                    self.to_shard.push_back(install);
                }
            }
            Effect::Resume(slot) => {
                self.to_shard
                    .push_back(ToShard::Resume(slot, self.terms[&slot]));
            }
            Effect::Suspend(slot) => self.to_shard.push_back(ToShard::Suspend(slot)),
            Effect::Close(slot) => self.to_shard.push_back(ToShard::Close(slot)),
            Effect::Drop(slot) => {
                self.marks.remove(&slot);
                self.to_shard.push_back(ToShard::Drop(slot));
            }
            Effect::Release(slots) => {
                let Membership {
                    revoking,
                    leaving,
                    owned,
                    ..
                } = &mut self.group;
                for slot in slots {
                    let revoked = revoking
                        .as_mut()
                        .is_some_and(|(left, _)| left.remove(&slot));
                    if revoked || leaving.is_some() {
                        owned.remove(&slot);
                    }
                }
            }
            Effect::Rebalance => self.group.rebalance = true,
            Effect::Rejoin => self.group.closed = false,
            Effect::Exit(_) | Effect::Left => self.ended = true,
        }
    }

    fn step_shard(&mut self, around: &mut Around<'_>) {
        if let Some(told) = self.to_shard.pop_front() {
            match told {
                ToShard::Install(slot, version, term) => {
                    self.drop_slot(slot, around.guards);
                    self.shard.restore(slot, version);
                    self.admit(slot, term);
                }
                ToShard::Resume(slot, term) => {
                    let in_memory = self.shard.resume(slot);
                    if in_memory {
                        self.admit(slot, term);
                        self.resumed += 1;
                    }
                    self.events.push_back(Event::Resumed { slot, in_memory });
                }
                ToShard::Suspend(slot) => self.shard.suspend(slot),
                ToShard::Close(slot) => self.shard.close(slot),
                ToShard::Drop(slot) => self.drop_slot(slot, around.guards),
                ToShard::Done(Done::Committed(id)) => {
                    self.told.extend(self.shard.committed(id));
                }
                ToShard::Done(Done::Fenced(id)) => self.shard.fenced(id),
            }
            return;
        }
        // The inbox has been read up to where it stood; nothing is read that is not ours.
        for slot in self.shard.restoring() {
            if self
                .group
                .owned
                .get(&slot)
                .is_some_and(|term| term.admitted)
                && self.shard.open(slot, &self.ours)
            {
                self.events.push_back(Event::Opened(slot));
                return;
            }
        }
    }

    fn admit(&mut self, slot: u16, number: u64) {
        if let Some(term) = self.group.owned.get_mut(&slot) {
            term.admitted |= term.number == number;
        }
    }

    fn drop_slot(&mut self, slot: u16, guards: Guards) {
        self.shard.drop_slot(slot);
        if guards.forgetting {
            self.transactor.forget(slot);
        }
    }

    fn flush(&mut self, around: &mut Around<'_>) {
        if let Some(change) = self.shard.flush(around.version) {
            self.transactor.submit(change);
        }
        for slot in self.shard.closed() {
            self.drop_slot(slot, around.guards);
            self.events.push_back(Event::Closed(slot));
        }
    }

    fn transact(&mut self, random: &mut Random, around: &mut Around<'_>) {
        if !self.transactor.busy() || !around.coordinator {
            return;
        }
        let way = match random.below(40) {
            0 if around.faults => Way::AnswerLost,
            1 if around.faults => Way::Lost,
            2 if around.faults => Way::Late,
            _ => Way::Answered,
        };
        let (now, seat) = (around.now, self.group.seat);
        let owned = &self.group.owned;
        let (done, late) = self
            .transactor
            .step(now, around.kafka, self.process, seat, owned, way);
        self.late.extend(late);
        if let Some(done) = done {
            self.to_shard.push_back(ToShard::Done(done));
        }
    }
}
