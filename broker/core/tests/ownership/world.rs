//! Pods and Kafka together: what happens next, what goes wrong, and what must hold all the same.

use super::kafka::{Kafka, Version};
use super::pod::{Around, Pod};
use super::random::Random;
use super::shard::Phase as InShard;
use isthmus_core::ownership::Phase;
use std::collections::{BTreeSet, VecDeque};

/// What protects the slots; each can be taken out to see that it is missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guards {
    /// Kafka refuses offsets of a stale generation.
    pub(crate) generation: bool,
    /// What was submitted before a slot was dropped is taken back.
    pub(crate) forgetting: bool,
    /// Memory is proved against Kafka before it is used again.
    pub(crate) proof: bool,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            generation: true,
            forgetting: true,
            proof: true,
        }
    }
}

struct Place {
    pod: Option<Pod>,
    stopped: bool,
    starts: u64,
    /// Requests of this pod that are still on their way, also of processes that are dead.
    late: Vec<((usize, u64), u64, super::kafka::Request)>,
}

/// See the module's description.
pub(crate) struct World {
    now: u64,
    pub(crate) kafka: Kafka,
    places: Vec<Place>,
    slots: u16,
    version: Version,
    coordinator: bool,
    guards: Guards,
    checked: Vec<usize>,
    pub(crate) steps: u64,
    pub(crate) resumed: u64,
    pub(crate) story: VecDeque<String>,
}

impl World {
    pub(crate) fn new(pods: usize, slots: u16, guards: Guards) -> Self {
        let mut world = Self {
            now: 1,
            kafka: Kafka::new(pods, slots, guards.generation),
            places: (0..pods)
                .map(|_| Place {
                    pod: None,
                    stopped: false,
                    starts: 0,
                    late: Vec::new(),
                })
                .collect(),
            slots,
            version: 0,
            coordinator: true,
            guards,
            checked: vec![1; usize::from(slots)],
            steps: 0,
            resumed: 0,
            story: VecDeque::new(),
        };
        for at in 0..pods {
            world.launch(at);
        }
        world
    }

    fn tell(&mut self, line: impl std::fmt::Display) {
        if self.story.len() > 400 {
            self.story.pop_front();
        }
        self.story.push_back(format!("{:>8} {line}", self.now));
    }

    fn launch(&mut self, at: usize) {
        let place = &mut self.places[at];
        place.starts += 1;
        place.stopped = false;
        place.pod = Some(Pod::new((at, place.starts), self.slots, self.now));
        self.tell(format!("pod {at} starts"));
        // It initialises its transactional ids before it joins.
        self.kafka.init(at);
    }

    /// Something happens.
    pub(crate) fn step(&mut self, random: &mut Random) -> Result<(), String> {
        if random.often(15) {
            self.fault(random);
        }
        self.go_on(random, true)
    }

    fn go_on(&mut self, random: &mut Random, faults: bool) -> Result<(), String> {
        self.steps += 1;
        self.now += random.below(12) as u64;
        self.kafka.tick(self.now);
        let at = random.below(self.places.len());
        self.arrive_late(random, at);
        let place = &mut self.places[at];
        if let Some(pod) = place.pod.as_mut().filter(|_| !place.stopped) {
            let mut around = Around {
                now: self.now,
                kafka: &mut self.kafka,
                version: &mut self.version,
                coordinator: self.coordinator,
                faults,
                guards: self.guards,
            };
            pod.act(random, &mut around);
            if random.often(60) {
                pod.serve(random);
            }
            self.resumed += std::mem::take(&mut pod.resumed);
            let process = pod.process;
            let late = std::mem::take(&mut pod.late).into_iter();
            place
                .late
                .extend(late.map(|(epoch, request)| (process, epoch, request)));
            let told = std::mem::take(&mut pod.told);
            let story = std::mem::take(&mut pod.story);
            if pod.ended {
                self.kafka.leave(process);
                place.pod = None;
                self.tell(format!("pod {at} has ended"));
            }
            story.into_iter().for_each(|line| self.tell(line));
            for (slot, version) in told {
                if !self.kafka.chains[usize::from(slot)].contains(&version) {
                    return Err(format!(
                        "slot {slot}: {version} was acknowledged and is not there"
                    ));
                }
            }
        }
        self.check()
    }

    fn arrive_late(&mut self, random: &mut Random, at: usize) {
        let place = &mut self.places[at];
        if place.late.is_empty() || !random.often(100) {
            return;
        }
        let (process, epoch, request) = place.late.swap_remove(0);
        let answer = self.kafka.request(self.now, process, epoch, &request);
        self.tell(format!("late from {process:?}: {request:?}: {answer:?}"));
    }

    /// Each commit must follow from exactly the state that was committed before it.
    fn check(&mut self) -> Result<(), String> {
        for slot in 0..usize::from(self.slots) {
            let chain = &self.kafka.chains[slot];
            let (from, last) = (self.checked[slot], chain.len());
            if from < last {
                let news = format!(
                    "slot {slot}: {:?} by {:?}",
                    &chain[from - 1..],
                    self.kafka.marks[slot]
                );
                self.checked[slot] = last;
                self.tell(news);
            }
        }
        self.kafka.wrong.take().map_or(Ok(()), Err)
    }

    fn fault(&mut self, random: &mut Random) {
        let at = random.below(self.places.len());
        let running = self.places[at].pod.is_some();
        match random.below(16) {
            0..=2 if running => {
                self.places[at].stopped = true;
                self.tell(format!("pod {at} is stopped"));
            }
            3..=6 => self.places[at].stopped = false,
            7 if running => {
                self.places[at].pod = None;
                self.tell(format!("pod {at} is killed"));
            }
            8 | 9 if !running => self.launch(at),
            10 => {
                self.coordinator = false;
                self.tell("the coordinator is away");
            }
            11 => self.coordinator = true,
            12 if running && random.often(300) => self.leave(at),
            13 if running && random.often(200) => {
                self.tell(format!("pod {at} is fenced from the group"));
                if let Some(pod) = &mut self.places[at].pod {
                    pod.fence();
                }
            }
            14 | 15 if running => {
                let stalled =
                    Some([3, 3, 6, 6, 5, 0][random.below(6)]).filter(|_| random.often(700));
                if let Some(pod) = &mut self.places[at].pod {
                    pod.stalled = stalled;
                }
            }
            // Time for whatever waits: sessions, transactions, graces.
            _ if random.often(300) => self.now += [500, 2500, 7000][random.below(3)],
            _ => {}
        }
    }

    fn leave(&mut self, at: usize) {
        let alone = self
            .places
            .iter()
            .filter(|place| place.pod.is_some())
            .count()
            == 1;
        self.tell(format!("pod {at} leaves in order"));
        if let Some(pod) = &mut self.places[at].pod {
            pod.leave(alone);
        }
    }

    /// Nothing goes wrong any more: every slot comes to be served, by one pod.
    pub(crate) fn calm(&mut self, random: &mut Random) -> Result<(), String> {
        self.tell("calm");
        self.coordinator = true;
        for place in &mut self.places {
            place.stopped = false;
        }
        let mut fault = String::new();
        for _ in 0..60 {
            for at in 0..self.places.len() {
                if self.places[at].pod.is_none() {
                    self.launch(at);
                }
            }
            for _ in 0..2000 {
                self.go_on(random, false)?;
            }
            match self.unserved() {
                None => return Ok(()),
                Some(found) => fault = found,
            }
        }
        Err(fault)
    }

    /// What is not as it should be when all is calm.
    fn unserved(&self) -> Option<String> {
        let pods: Vec<&Pod> = self
            .places
            .iter()
            .filter_map(|place| place.pod.as_ref())
            .collect();
        for slot in 0..self.slots {
            let owner = self.kafka.routes.iter().rev().find(|(of, _)| *of == slot);
            let open: BTreeSet<usize> = pods
                .iter()
                .filter(|pod| {
                    pod.machine.phase(slot) == Phase::Open
                        && pod.shard.phase(slot) == Some(InShard::Open)
                })
                .map(|pod| pod.process.0)
                .collect();
            let by = open
                .first()
                .and_then(|at| pods.iter().find(|pod| pod.process.0 == *at));
            let named = owner.and_then(|(_, owner)| owner.as_ref());
            if open.len() != 1 || by.map(|pod| &pod.ours) != named {
                let phases: Vec<_> = pods
                    .iter()
                    .map(|pod| (pod.process, pod.machine.phase(slot), pod.shard.phase(slot)))
                    .collect();
                return Some(format!(
                    "slot {slot} is not served by one pod: open at {open:?}, {owner:?}, {phases:?}"
                ));
            }
            let waits = |pod: &&&Pod| {
                !open.contains(&pod.process.0) && pod.machine.phase(slot) != Phase::Unowned
            };
            if let Some(pod) = pods.iter().find(waits) {
                let phase = pod.machine.phase(slot);
                return Some(format!(
                    "slot {slot} is {phase:?} for ever at {:?}",
                    pod.process
                ));
            }
        }
        None
    }
}
