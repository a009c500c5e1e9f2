//! What is under way between shards and log, and the steps that move it.

use super::{World, with_shard};
use isthmus_core::Message;
use isthmus_core::retained::Word;
use isthmus_core::shard::{Effect, Live, Position, Taken, Token, Topic, Transact, Uplink, Write};
use isthmus_mqtt::ReasonCode;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What the producers are asked to store.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Uplink(Token, Uplink),
    Write(Token, Write),
    Retain(Option<Token>, u64, Option<Word>, Arc<Message>),
    Transact(Transact),
}

/// A pipeline whose order Kafka keeps: a partition of the idempotent producer, or all
/// transactions of the second one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pipe {
    Parent(String),
    Inbox(u16),
    State(u16),
    Retained,
    Exact,
}

#[derive(Clone, Debug)]
pub(super) struct Committing {
    pub(super) shard: usize,
    pub(super) id: u64,
    pub(super) positions: Vec<Position>,
    pub(super) writes: Arc<Vec<Write>>,
    pub(super) landed: bool,
}

#[derive(Default)]
pub(super) struct Flights {
    /// Not in the log.
    pub(super) unlanded: BTreeMap<Pipe, VecDeque<(usize, Item)>>,
    /// In the log, the shard does not know.
    unconfirmed: BTreeMap<Pipe, VecDeque<(usize, Item)>>,
    pub(super) commits: Vec<Committing>,
    pub(super) lives: VecDeque<(usize, usize, Live)>,
    /// Who waits for the answer to a live message that went on: by shard and token.
    pub(super) asked: BTreeMap<(usize, Token), (usize, Token)>,
    pub(super) fetches: VecDeque<(u16, Vec<i64>)>,
    pub(super) refreshes: VecDeque<(usize, Token)>,
}

/// One thing that can happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The head of a pipe enters the log.
    Land(Pipe),
    /// The shard is told.
    Confirm(Pipe),
    /// A commit enters the log.
    LandCommit(usize),
    /// The shard is told.
    Commit(usize),
    /// A shard gets a live message of another.
    Live,
    /// A slot's reader hands in one record.
    Read(u16),
    /// Bodies are handed in.
    Fetch,
    /// A shard hears that the retained messages have been read.
    Refresh,
    /// The server reads a packet of a client.
    Receive(isthmus_core::shard::ConnId),
}

/// What does not move until it is let go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds {
    pub(crate) parents: bool,
    pub(crate) inboxes: bool,
    pub(crate) retained: bool,
    pub(crate) exact: bool,
    /// In the log, but the shard is not told.
    pub(crate) confirms: bool,
    pub(crate) commits: bool,
    pub(crate) reads: bool,
    pub(crate) fetches: bool,
    pub(crate) refreshes: bool,
    pub(crate) lives: bool,
    /// Payloads that Kafka refuses for good.
    pub(crate) refused: BTreeSet<String>,
}

impl World {
    /// Everything that can happen next, of what is not held.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let ready = self
            .conns
            .iter()
            .filter(|(_, l)| l.reads && l.wait_until <= self.now && !l.unread.is_empty());
        steps.extend(ready.map(|(id, _)| Step::Receive(*id)));
        let held = |pipe: &Pipe| match pipe {
            Pipe::Parent(_) => self.holds.parents,
            Pipe::Inbox(_) | Pipe::State(_) => self.holds.inboxes,
            Pipe::Retained => self.holds.retained,
            Pipe::Exact => self.holds.exact,
        };
        let flights = &self.flights;
        steps.extend(
            flights
                .unlanded
                .keys()
                .filter(|p| !held(p))
                .cloned()
                .map(Step::Land),
        );
        if !self.holds.confirms {
            steps.extend(flights.unconfirmed.keys().cloned().map(Step::Confirm));
        }
        if !self.holds.commits {
            let next = |c: &Committing| {
                if c.landed {
                    Step::Commit(c.shard)
                } else {
                    Step::LandCommit(c.shard)
                }
            };
            steps.extend(flights.commits.iter().map(next));
        }
        if !flights.lives.is_empty() && !self.holds.lives {
            steps.push(Step::Live);
        }
        if !self.holds.reads {
            let unread = (0..self.slots)
                .filter(|s| self.log.next(*s, self.reading[usize::from(*s)]).is_some());
            steps.extend(unread.map(Step::Read));
        }
        if !flights.fetches.is_empty() && !self.holds.fetches {
            steps.push(Step::Fetch);
        }
        if !flights.refreshes.is_empty() && !self.holds.refreshes {
            steps.push(Step::Refresh);
        }
        steps
    }

    /// Takes a step.
    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Land(pipe) => self.land(pipe),
            Step::Confirm(pipe) => self.confirm(pipe),
            Step::LandCommit(shard) => {
                let commit = self
                    .flights
                    .commits
                    .iter_mut()
                    .find(|c| c.shard == *shard)
                    .unwrap();
                commit.landed = true;
                self.log.transaction(&commit.writes, &commit.positions);
            }
            Step::Commit(at) => {
                let n = self
                    .flights
                    .commits
                    .iter()
                    .position(|c| c.shard == *at)
                    .unwrap();
                let id = self.flights.commits.remove(n).id;
                with_shard!(self, *at, |shard, view, fx| shard.committed(view, id, fx));
            }
            Step::Live => {
                let (from, to, live) = self.flights.lives.pop_front().unwrap();
                match with_shard!(self, to, |shard, view, fx| shard.live(view, &live, fx)) {
                    Taken::Now(reached) => {
                        if let Some(token) = live.answer {
                            self.answer((from, token), reached);
                        }
                    }
                    Taken::Later(token) => {
                        if let Some(answer) = live.answer {
                            self.flights.asked.insert((to, token), (from, answer));
                        }
                    }
                }
            }
            Step::Read(slot) => drop(self.read_one(*slot)),
            Step::Fetch => {
                let (slot, offsets) = self.flights.fetches.pop_front().unwrap();
                self.fetched += offsets.len();
                let inbox = &self.log.inbox[usize::from(slot)];
                let found: Vec<_> = offsets
                    .into_iter()
                    .map(|o| (o, inbox.get(&o).cloned()))
                    .collect();
                with_shard!(self, self.shard_of(slot), |shard, view, fx| {
                    shard.bodies(view, slot, &found, fx).unwrap();
                });
            }
            Step::Refresh => {
                let (at, token) = self.flights.refreshes.pop_front().unwrap();
                with_shard!(self, at, |shard, view, fx| shard.refreshed(view, token, fx));
            }
            Step::Receive(conn) => self.receive(*conn),
        }
    }

    pub(super) fn answer(&mut self, (at, token): (usize, Token), reached: usize) {
        with_shard!(self, at, |shard, view, fx| shard
            .live_answered(view, token, reached, fx));
    }

    pub(crate) fn read_one(&mut self, slot: u16) -> bool {
        let at = usize::from(slot);
        let Some((offset, value)) = self.log.next(slot, self.reading[at]) else {
            return false;
        };
        self.reading[at] = offset + 1;
        with_shard!(self, self.shard_of(slot), |shard, view, fx| {
            shard.inbox(view, slot, offset, &value, fx).unwrap();
        });
        true
    }

    /// Takes steps until nothing is left that is not held.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let Some(step) = self.steps().first().cloned() else {
                return;
            };
            self.take(&step);
        }
        panic!("it never settles: {:?}", self.steps());
    }

    fn land(&mut self, pipe: &Pipe) {
        let (at, item) = pop(&mut self.flights.unlanded, pipe);
        if !self.is_refused(&item) {
            self.enter(&item);
        }
        self.flights
            .unconfirmed
            .entry(pipe.clone())
            .or_default()
            .push_back((at, item));
    }

    fn enter(&mut self, item: &Item) {
        match item {
            Item::Uplink(_, uplink) => self.log.store(uplink),
            Item::Write(_, write) => self.log.write(write),
            Item::Retain(_, _, _, message) => self.log.retain(message),
            Item::Transact(transact) => {
                for uplink in &transact.uplinks {
                    self.log.store(uplink);
                }
                self.log.transaction(&transact.writes, &[]);
            }
        }
    }

    fn is_refused(&self, item: &Item) -> bool {
        let payload = |m: &Message| String::from_utf8_lossy(m.payload()).into_owned();
        let refused = |uplink: &Uplink| self.holds.refused.contains(&payload(&uplink.message));
        match item {
            Item::Uplink(_, uplink) => refused(uplink),
            Item::Transact(transact) => transact.uplinks.iter().any(refused),
            Item::Write(..) | Item::Retain(..) => false,
        }
    }

    fn confirm(&mut self, pipe: &Pipe) {
        let (at, item) = pop(&mut self.flights.unconfirmed, pipe);
        let outcome = if self.is_refused(&item) {
            Err(ReasonCode::QUOTA_EXCEEDED)
        } else {
            Ok(())
        };
        let token = match item {
            Item::Uplink(token, _) | Item::Write(token, _) => Some(token),
            Item::Transact(transact) => Some(transact.token),
            Item::Retain(token, seq, word, message) => {
                let kept = Some(message.clone()).filter(|m| !m.payload().is_empty());
                let stands = self.retained.logged(message.topic(), Some(seq), word, kept);
                assert_eq!(stands, None, "one pod has nothing late");
                token
            }
        };
        if let Some(token) = token {
            with_shard!(self, at, |shard, view, fx| shard
                .confirmed(view, token, outcome, fx));
        }
    }

    /// At a crash: some of what was under way is in the log all the same, in the order of its pipe.
    pub(super) fn land_some(&mut self, lands: &mut impl FnMut(usize) -> bool) {
        let mut n = 0;
        let mut flights = std::mem::take(&mut self.flights);
        for commit in flights.commits.iter().filter(|c| !c.landed) {
            n += 1;
            if lands(n) {
                self.log.transaction(&commit.writes, &commit.positions);
            }
        }
        for (pipe, items) in &mut flights.unlanded {
            for (_, item) in items {
                n += 1;
                let may = pipe != &Pipe::Exact || matches!(item, Item::Transact(_));
                if !(may && lands(n)) {
                    break;
                }
                if !self.is_refused(item) {
                    self.enter(item);
                }
            }
        }
    }

    /// Whether nothing at all is under way.
    pub(crate) fn is_idle(&self) -> bool {
        let flights = &self.flights;
        flights.unlanded.is_empty()
            && flights.unconfirmed.is_empty()
            && flights.commits.is_empty()
            && flights.lives.is_empty()
            && flights.fetches.is_empty()
            && flights.refreshes.is_empty()
    }

    /// The running commit of every shard comes back: the group was lost.
    pub(crate) fn fence_commits(&mut self) {
        for commit in std::mem::take(&mut self.flights.commits) {
            assert!(!commit.landed);
            self.shards[commit.shard].fenced(commit.id);
        }
    }
}

fn pop(pipes: &mut BTreeMap<Pipe, VecDeque<(usize, Item)>>, pipe: &Pipe) -> (usize, Item) {
    let items = pipes.get_mut(pipe).unwrap();
    let item = items.pop_front().unwrap();
    if items.is_empty() {
        pipes.remove(pipe);
    }
    item
}
