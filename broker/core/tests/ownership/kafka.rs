//! A Kafka as far as ownership sees it: one consumer group with generations and static members,
//! transactions with fencing by id and by generation, and what is stable of them.

use isthmus_core::record::OwnerRecord;
use std::collections::{BTreeMap, BTreeSet};

/// A member that is not heard of for so long is out, ms.
const SESSION: u64 = 6000;
/// A transaction that is open for so long is aborted, ms.
const TRANSACTION: u64 = 10_000;

/// What a slot's state is called: each is made by one commit.
pub(crate) type Version = u64;
/// A start of a pod.
pub(crate) type Process = (usize, u64);

/// A member of the group, by the id that it was given when it joined, in a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    member: u64,
    generation: u64,
}

/// What stands beside a committed offset.
pub(crate) type Mark = (Process, u64);

/// What a commit does to one slot.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) slot: u16,
    /// The state that it was made from.
    pub(crate) parent: Version,
    pub(crate) version: Version,
    /// `!owner`, where it is written.
    pub(crate) owner: Option<Option<OwnerRecord>>,
}

/// A request of a transactional producer.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Send(Vec<Part>),
    Offsets { seat: Seat, slots: Vec<u16> },
    Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A newer producer has the id.
    Fenced,
    /// The group does not know the member in this generation.
    Generation,
}

struct Open {
    parts: Vec<Part>,
    offsets: BTreeSet<u16>,
    since: u64,
}

#[derive(Default)]
struct Producer {
    epoch: u64,
    open: Option<Open>,
}

/// A static member.
struct Member {
    process: Process,
    id: u64,
    heard: u64,
    /// What it says is its own.
    claims: BTreeSet<u16>,
    joined: bool,
    /// What it will be told.
    sync: Option<Sync>,
}

/// A generation's word to a member.
#[derive(Clone, Debug)]
pub(crate) struct Sync {
    pub(crate) seat: Seat,
    pub(crate) added: Vec<u16>,
    pub(crate) revoked: Vec<u16>,
}

/// See the module's description.
pub(crate) struct Kafka {
    check_generation: bool,
    slots: u16,
    generation: u64,
    ids: u64,
    members: BTreeMap<usize, Member>,
    /// The members are joining anew.
    round: bool,
    producers: Vec<Producer>,
    /// The committed versions of each slot.
    pub(crate) chains: Vec<Vec<Version>>,
    /// Who committed last to each slot, and by which transaction.
    pub(crate) marks: Vec<Option<Mark>>,
    /// `!owner` records, in order.
    pub(crate) routes: Vec<(u16, Option<OwnerRecord>)>,
    pub(crate) commits: u64,
    /// A commit that did not follow from the state before it.
    pub(crate) wrong: Option<String>,
}

impl Kafka {
    pub(crate) fn new(pods: usize, slots: u16, check_generation: bool) -> Self {
        Self {
            check_generation,
            slots,
            generation: 0,
            ids: 0,
            members: BTreeMap::new(),
            round: false,
            producers: (0..pods).map(|_| Producer::default()).collect(),
            chains: vec![vec![0]; usize::from(slots)],
            marks: vec![None; usize::from(slots)],
            routes: Vec::new(),
            commits: 0,
            wrong: None,
        }
    }

    /// Time passes: members and transactions time out.
    pub(crate) fn tick(&mut self, now: u64) {
        let before = self.members.len();
        self.members
            .retain(|_, member| now < member.heard + SESSION);
        if self.members.len() != before {
            self.begin_round();
        }
        for producer in &mut self.producers {
            if producer
                .open
                .as_ref()
                .is_some_and(|open| open.since + TRANSACTION < now)
            {
                producer.open = None;
                producer.epoch += 1;
            }
        }
        self.finish_round();
    }

    pub(crate) fn begin_round(&mut self) {
        self.round = true;
        for member in self.members.values_mut() {
            member.joined = false;
        }
    }

    /// A process joins: the static member of its pod comes back to what it had.
    pub(crate) fn join(&mut self, now: u64, process: Process) {
        let known = self.members.get(&process.0);
        let claims = known.map(|member| member.claims.clone());
        self.ids += 1;
        let seat = Seat {
            member: self.ids,
            generation: self.generation,
        };
        let member = Member {
            process,
            id: self.ids,
            heard: now,
            claims: claims.clone().unwrap_or_default(),
            joined: false,
            sync: None,
        };
        self.members.insert(process.0, member);
        match claims {
            Some(claims) if !self.round => {
                let sync = Sync {
                    seat,
                    added: claims.into_iter().collect(),
                    revoked: Vec::new(),
                };
                self.members.get_mut(&process.0).unwrap().sync = Some(sync);
            }
            // Whatever it had, it does not say so.
            _ => {
                self.members.get_mut(&process.0).unwrap().claims.clear();
                self.begin_round();
            }
        }
    }

    pub(crate) fn knows(&self, process: Process) -> bool {
        self.members
            .get(&process.0)
            .is_some_and(|member| member.process == process)
    }

    /// A heartbeat of a member that is not ready to join a round.
    pub(crate) fn hear(&mut self, now: u64, process: Process) {
        let member = self.members.get_mut(&process.0);
        if let Some(member) = member.filter(|member| member.process == process) {
            member.heard = now;
        }
    }

    /// A heartbeat: joins a round with what it claims, or takes its word.
    pub(crate) fn heartbeat(
        &mut self,
        now: u64,
        process: Process,
        claims: &BTreeSet<u16>,
    ) -> Option<Sync> {
        let member = self
            .members
            .get_mut(&process.0)
            .filter(|member| member.process == process)?;
        member.heard = now;
        if let Some(sync) = member.sync.take() {
            return Some(sync);
        }
        if self.round && !member.joined {
            member.joined = true;
            member.claims.clone_from(claims);
        }
        self.finish_round();
        None
    }

    /// Has released what was revoked, or wants to be looked at anew: joins anew.
    pub(crate) fn rejoin(&mut self, process: Process) {
        if self.knows(process) {
            self.begin_round();
        }
    }

    pub(crate) fn leave(&mut self, process: Process) {
        if self.knows(process) {
            self.members.remove(&process.0);
            self.begin_round();
        }
    }

    /// Everybody has joined: a new generation. A slot goes to another only once nobody claims it.
    fn finish_round(&mut self) {
        let waiting = |member: &Member| !member.joined || member.sync.is_some();
        if !self.round || self.members.is_empty() || self.members.values().any(waiting) {
            return;
        }
        self.round = false;
        self.generation += 1;
        let pods: Vec<usize> = self.members.keys().copied().collect();
        let mut owned: BTreeMap<usize, BTreeSet<u16>> = self
            .members
            .iter()
            .map(|(pod, m)| (*pod, m.claims.clone()))
            .collect();
        let most = usize::from(self.slots).div_ceil(pods.len());
        let mut revoked: BTreeMap<usize, Vec<u16>> = BTreeMap::new();
        for (pod, slots) in &mut owned {
            while slots.len() > most {
                let slot = slots.pop_last().unwrap();
                revoked.entry(*pod).or_default().push(slot);
            }
        }
        let claimed: BTreeSet<u16> = self
            .members
            .values()
            .flat_map(|m| m.claims.iter().copied())
            .collect();
        let mut added: BTreeMap<usize, Vec<u16>> = BTreeMap::new();
        for slot in (0..self.slots).filter(|slot| !claimed.contains(slot)) {
            if let Some(pod) = pods.iter().min_by_key(|pod| owned[pod].len()) {
                owned.get_mut(pod).unwrap().insert(slot);
                added.entry(*pod).or_default().push(slot);
            }
        }
        for (pod, member) in &mut self.members {
            member.claims.clone_from(&owned[pod]);
            let seat = Seat {
                member: member.id,
                generation: self.generation,
            };
            member.sync = Some(Sync {
                seat,
                added: added.remove(pod).unwrap_or_default(),
                revoked: revoked.remove(pod).unwrap_or_default(),
            });
        }
    }

    /// Takes over a pod's transactional id: what is open ends.
    pub(crate) fn init(&mut self, pod: usize) -> u64 {
        let producer = &mut self.producers[pod];
        producer.open = None;
        producer.epoch += 1;
        producer.epoch
    }

    /// A request of a producer arrives, perhaps late.
    pub(crate) fn request(
        &mut self,
        now: u64,
        process: Process,
        epoch: u64,
        request: &Request,
    ) -> Result<(), Refusal> {
        if self.producers[process.0].epoch != epoch {
            return Err(Refusal::Fenced);
        }
        match request {
            Request::Send(parts) => {
                let open = Open {
                    parts: parts.clone(),
                    offsets: BTreeSet::new(),
                    since: now,
                };
                self.producers[process.0].open = Some(open);
            }
            Request::Offsets { seat, slots } => {
                let member = self.members.get(&process.0);
                let known = member.is_some_and(|member| member.id == seat.member)
                    && seat.generation == self.generation;
                if self.check_generation && !known {
                    return Err(Refusal::Generation);
                }
                if let Some(open) = &mut self.producers[process.0].open {
                    open.offsets.extend(slots);
                }
            }
            Request::Commit => {
                if let Some(open) = self.producers[process.0].open.take() {
                    self.commits += 1;
                    for part in open.parts {
                        let slot = usize::from(part.slot);
                        self.chains[slot].push(part.version);
                        self.marks[slot] = Some((process, self.commits));
                        if let Some(owner) = part.owner {
                            self.routes.push((part.slot, owner));
                        }
                        let chain = &self.chains[slot];
                        if chain[chain.len() - 2] != part.parent {
                            self.wrong = Some(format!(
                                "slot {slot}: {} by {process:?} does not follow from {}: {chain:?}",
                                part.version, part.parent
                            ));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The version that a slot's committed offset stands for, once no transaction may move it.
    pub(crate) fn stable(&self, slot: u16) -> Option<Version> {
        let mut open = self
            .producers
            .iter()
            .filter_map(|producer| producer.open.as_ref());
        let pending = open.any(|open| open.offsets.contains(&slot));
        (!pending).then(|| *self.chains[usize::from(slot)].last().unwrap())
    }

    /// The version of a slot's state, once no transaction is open in it.
    pub(crate) fn state(&self, slot: u16) -> Option<Version> {
        let mut open = self
            .producers
            .iter()
            .filter_map(|producer| producer.open.as_ref());
        let pending = open.any(|open| open.parts.iter().any(|part| part.slot == slot));
        (!pending).then(|| *self.chains[usize::from(slot)].last().unwrap())
    }
}
