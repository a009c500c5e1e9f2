//! A model of the transactor: which changes wait, how far the transaction is, and what follows from
//! an answer that says no, or does not come.

use super::kafka::{Kafka, Part, Process, Refusal, Request, Seat};
use super::pod::Term;
use std::collections::{BTreeMap, VecDeque};

/// What is stored together.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) id: u64,
    pub(crate) parts: Vec<Part>,
}

/// What became of one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Done {
    Committed(u64),
    Fenced(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begun,
    Sent,
    OffsetsSent,
}

/// What happens to a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Answered,
    AnswerLost,
    Lost,
    /// It arrives, but later.
    Late,
}

/// See the module's description.
#[derive(Default)]
pub(crate) struct Transactor {
    queue: VecDeque<Change>,
    epoch: Option<u64>,
    attempt: Option<(Seat, Stage)>,
    /// The first of the queue may be committed or not.
    lost: bool,
    forgets: VecDeque<u16>,
}

impl Transactor {
    pub(crate) fn submit(&mut self, change: Change) {
        self.queue.push_back(change);
    }

    pub(crate) fn forget(&mut self, slot: u16) {
        self.forgets.push_back(slot);
    }

    pub(crate) fn busy(&self) -> bool {
        !self.queue.is_empty() || !self.forgets.is_empty() || self.attempt.is_some()
    }

    /// Whether a transaction that is not over is about the slot.
    pub(crate) fn is_at(&self, slot: u16) -> bool {
        let about = |change: &Change| change.parts.iter().any(|part| part.slot == slot);
        (self.attempt.is_some() || self.lost) && self.queue.front().is_some_and(about)
    }

    /// One move of its thread. A late request is handed back.
    pub(crate) fn step(
        &mut self,
        now: u64,
        kafka: &mut Kafka,
        process: Process,
        seat: Option<Seat>,
        owned: &BTreeMap<u16, Term>,
        way: Way,
    ) -> (Option<Done>, Option<(u64, Request)>) {
        let Some(epoch) = self.epoch else {
            if way == Way::Answered {
                self.epoch = Some(kafka.init(process.0));
            }
            return (None, None);
        };
        if self.lost {
            // The new producer has ended it: the log has its word.
            self.lost = false;
            let part = &self.queue[0].parts[0];
            if kafka.chains[usize::from(part.slot)].contains(&part.version) {
                let change = self.queue.pop_front().unwrap();
                return (Some(Done::Committed(change.id)), None);
            }
            return (None, None);
        }
        let Some((used, stage)) = self.attempt else {
            return (self.begin(seat, owned), None);
        };
        let change = &self.queue[0];
        let slots = change.parts.iter().map(|part| part.slot).collect();
        let request = match stage {
            Stage::Begun => Request::Send(change.parts.clone()),
            Stage::Sent => Request::Offsets { seat: used, slots },
            Stage::OffsetsSent => Request::Commit,
        };
        let answer = match way {
            Way::Answered => kafka.request(now, process, epoch, &request).map_err(Some),
            Way::AnswerLost => {
                let _ = kafka.request(now, process, epoch, &request);
                Err(None)
            }
            Way::Lost | Way::Late => Err(None),
        };
        let late = (way == Way::Late).then_some((epoch, request));
        match (answer, stage) {
            (Ok(()), Stage::Begun) => self.attempt = Some((used, Stage::Sent)),
            (Ok(()), Stage::Sent) => self.attempt = Some((used, Stage::OffsetsSent)),
            (Ok(()), Stage::OffsetsSent) => {
                self.attempt = None;
                let change = self.queue.pop_front().unwrap();
                return (Some(Done::Committed(change.id)), late);
            }
            // Aborted by the next producer.
            (Err(Some(Refusal::Generation | Refusal::Fenced) | None), _) => {
                self.lost = stage == Stage::OffsetsSent;
                self.attempt = None;
                self.epoch = None;
            }
        }
        (None, late)
    }

    fn begin(&mut self, seat: Option<Seat>, owned: &BTreeMap<u16, Term>) -> Option<Done> {
        if let Some(slot) = self.forgets.front().copied() {
            let about = |change: &Change| change.parts.iter().any(|part| part.slot == slot);
            if let Some(at) = self.queue.iter().position(about) {
                return self.queue.remove(at).map(|change| Done::Fenced(change.id));
            }
            self.forgets.pop_front();
            return None;
        }
        let change = self.queue.front()?;
        let ours = |part: &Part| owned.get(&part.slot).is_some_and(|term| term.admitted);
        match seat.filter(|_| change.parts.iter().all(ours)) {
            Some(seat) => self.attempt = Some((seat, Stage::Begun)),
            None => return self.queue.pop_front().map(|change| Done::Fenced(change.id)),
        }
        None
    }
}
