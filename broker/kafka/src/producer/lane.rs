//! The records of one topic.
//!
//! An open lane only counts what librdkafka has. A failure holds the lane: while older records are
//! still with librdkafka it is *draining* (their reports are gathered, newer records queue up),
//! afterwards it is *settled* and the supervisor sends *windows* of its queue: one record until the
//! first success, then all of it, and the lane is open again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::producer::BaseProducer;

use super::hold::{Hold, Item};
use super::{Core, HeldTopic, Outcome, Reports};
use crate::record::{self, Record};
use crate::support::{code, lock};

/// A topic that only takes small batches is tried without that limit again after this long.
const FORGET_LIMIT: Duration = Duration::from_secs(60);

/// One topic's records.
pub(super) struct Lane {
    topic: String,
    state: Mutex<State>,
}

struct State {
    /// Records with librdkafka.
    inflight: usize,
    /// Those of them that are not of a window, in the order in which they came.
    tokens: Tokens,
    /// The topic's records come with their partition, so a copy must stay in it.
    explicit: bool,
    held: Option<Box<Hold>>,
}

/// The tokens of records with librdkafka, under consecutive numbers: what is carried to the reports
/// and says in which order records came, for what a broken client gives back is not in order.
#[derive(Default)]
pub(super) struct Tokens {
    first: u64,
    tokens: VecDeque<Option<u64>>,
}

impl Tokens {
    /// The number of a record with this token.
    pub(super) fn add(&mut self, token: u64) -> u64 {
        self.tokens.push_back(Some(token));
        self.first + self.tokens.len() as u64 - 1
    }

    /// The token under this number, once.
    pub(super) fn take(&mut self, number: u64) -> Option<u64> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let token = self.tokens.get_mut(place)?.take();
        while self.tokens.front() == Some(&None) {
            self.tokens.pop_front();
            self.first += 1;
        }
        token
    }
}

/// A delivery report.
pub(super) struct Answer<'a, 'm> {
    pub(super) message: &'a BorrowedMessage<'m>,
    pub(super) error: Option<&'a KafkaError>,
}

impl Answer<'_, '_> {
    pub(super) fn stored(&self) -> Option<(i32, i64)> {
        self.error
            .is_none()
            .then(|| (self.message.partition(), self.message.offset()))
    }

    fn confirm(&self, core: &Core, token: u64) {
        let outcome = Outcome::Stored {
            partition: self.message.partition(),
            offset: self.message.offset(),
        };
        core.finish(token, record::reported_weight(self.message), outcome);
    }
}

/// What the supervisor is to do about a lane.
pub(super) enum Next {
    /// It is open again.
    Open,
    /// Reports are due first; they wake the supervisor.
    Wait,
    /// Nothing before then.
    At(Instant),
    /// Ask whether the topic is there, then [`Lane::found`].
    Ask,
}

impl Lane {
    pub(super) fn new(topic: &str) -> Self {
        let state = State {
            inflight: 0,
            tokens: Tokens::default(),
            explicit: false,
            held: None,
        };
        Self {
            topic: topic.to_owned(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn held(&self) -> Option<HeldTopic> {
        let state = lock(&self.state);
        let hold = state.held.as_ref()?;
        let draining = if hold.windowed() { 0 } else { state.inflight };
        Some(HeldTopic {
            topic: self.topic.clone(),
            records: draining + hold.len(),
            reason: hold.reason.clone(),
            since: hold.since,
        })
    }

    /// The number under which the record is to go to librdkafka, where it counts as being now; or it
    /// was queued.
    pub(super) fn enter(&self, core: &Core, token: u64, record: &Record<'_>) -> Option<u64> {
        let mut state = lock(&self.state);
        state.explicit |= record.partition.is_some();
        let idle = state.inflight == 0;
        let Some(hold) = &mut state.held else {
            state.inflight += 1;
            return Some(state.tokens.add(token));
        };
        hold.push(Item::of(token, record));
        if idle && hold.limited() {
            core.wake();
        }
        None
    }

    /// librdkafka did not take a record that entered. It is newer than all that librdkafka has.
    pub(super) fn bounce(
        self: &Arc<Self>,
        core: &Core,
        number: u64,
        item: Item,
        error: &KafkaError,
    ) {
        let mut state = lock(&self.state);
        state.tokens.take(number);
        state.inflight -= 1;
        let settled = state.inflight == 0;
        let hold = self.hold(core, &mut state.held, code(error));
        hold.push(item);
        hold.settled = settled;
        core.wake();
    }

    /// A delivery report. `number` is from [`Lane::enter`], or the place in the window.
    pub(super) fn report(self: &Arc<Self>, core: &Core, answer: &Answer<'_, '_>, number: usize) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.inflight = state.inflight.saturating_sub(1);
        if let Some(hold) = &mut state.held
            && hold.windowed()
        {
            hold.report(core, answer, number);
            if state.inflight == 0 {
                hold.close_window(core);
                core.wake();
            }
            return;
        }
        let number = number as u64;
        let Some(token) = state.tokens.take(number) else {
            return;
        };
        let partition = answer.message.partition();
        match (&mut state.held, answer.error) {
            (None, None) => {
                drop(guard);
                answer.confirm(core, token);
                return;
            }
            (None, Some(error)) => {
                let item = Item::returned(answer, token, number, state.explicit);
                self.hold(core, &mut state.held, code(error))
                    .take_back(partition, true, item);
            }
            // Nothing of its partition failed before it.
            (Some(hold), None) if !hold.covers(partition) => answer.confirm(core, token),
            (Some(hold), error) => {
                let item = Item::returned(answer, token, number, state.explicit);
                hold.take_back(partition, error.is_some(), item);
            }
        }
        if let (0, Some(hold)) = (state.inflight, &mut state.held) {
            hold.settled = true;
            core.wake();
        }
    }

    /// Holds the lane, if it is not.
    fn hold<'a>(
        self: &Arc<Self>,
        core: &Core,
        held: &'a mut Option<Box<Hold>>,
        why: Code,
    ) -> &'a mut Hold {
        held.get_or_insert_with(|| {
            core.voice.warn(
                &format!("{} {why:?}", self.topic),
                &format!("{}: {why}", self.topic),
            );
            lock(&core.held).push(Arc::clone(self));
            core.wake();
            Box::new(Hold::new(core, why))
        })
    }

    /// The supervisor asked for the topic: it is there, or why not.
    pub(super) fn found(&self, core: &Core, answer: Result<(), String>) {
        if let Some(hold) = &mut lock(&self.state).held {
            hold.found(core, answer);
        }
    }

    /// A new client is there: whatever waited for a retry is tried at once.
    pub(super) fn hurry(&self) {
        if let Some(hold) = &mut lock(&self.state).held {
            hold.retry_at = Instant::now();
        }
    }

    /// The supervisor's turn.
    pub(super) fn serve(&self, core: &Core, client: &BaseProducer<Reports>) -> Next {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        loop {
            let Some(hold) = &mut state.held else {
                return Next::Open;
            };
            if !hold.settled || state.inflight > 0 {
                return Next::Wait;
            }
            hold.settle(core);
            let now = Instant::now();
            if hold.len() == 0 && hold.limited() {
                if now.duration_since(hold.limited_since) < FORGET_LIMIT {
                    return Next::At(now + core.retry);
                }
                hold.forget_limit();
            }
            if hold.len() == 0 {
                state.held = None;
                return Next::Open;
            }
            if now < hold.retry_at {
                return Next::At(hold.retry_at);
            }
            if hold.doubt {
                return Next::Ask;
            }
            if hold.probe || hold.limited() {
                state.inflight += hold.open_window(core, &self.topic, client);
                continue;
            }
            let (sent, failure) = hold.release(&self.topic, client, &mut state.tokens);
            state.inflight += sent;
            match failure {
                None => {
                    tracing::info!(topic = %self.topic, "Kafka takes the topic's records again");
                    state.held = None;
                    return Next::Open;
                }
                Some(why) => {
                    hold.settled = state.inflight == 0;
                    hold.back_off(core, why);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_to_tokens_once_in_any_order() {
        let mut tokens = Tokens::default();
        let numbers: Vec<u64> = [7, 7, 9]
            .into_iter()
            .map(|token| tokens.add(token))
            .collect();
        assert_eq!(tokens.take(numbers[1]), Some(7));
        assert_eq!(tokens.take(numbers[1]), None);
        assert_eq!(tokens.take(numbers[0]), Some(7));
        assert_eq!((tokens.take(numbers[0]), tokens.take(99)), (None, None));
        let next = tokens.add(11);
        assert_eq!(
            (tokens.take(next), tokens.take(numbers[2])),
            (Some(11), Some(9))
        );
        assert!(tokens.tokens.is_empty());
    }
}
