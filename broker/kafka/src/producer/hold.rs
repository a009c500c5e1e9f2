//! What waits in a lane that is held.
//!
//! A record that was stored although an older one of its partition failed is not confirmed at once:
//! if the older one is stored in the end, it is stored again behind it, so that the last copies
//! stand in order; if the older one is refused, it is confirmed as it is.
//!
//! A broker refuses a batch as a whole, so a permanent refusal counts only for a record that was
//! alone. Windows become smaller until the culprit is found; where there is none (the topic takes
//! less than a batch), they stay small.

use std::collections::VecDeque;
use std::time::Instant;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedHeaders, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord};

use super::lane::{Answer, Tokens};
use super::{Core, Outcome, Refusal, Reports, opaque};
use crate::record::{self, Record};
use crate::support::code;

/// Why a lane is held, and its records.
pub(super) struct Hold {
    pub(super) reason: String,
    pub(super) since: Instant,
    /// The topic itself is in doubt: ask for it before sending.
    pub(super) doubt: bool,
    pub(super) retry_at: Instant,
    /// Nothing older is with librdkafka.
    pub(super) settled: bool,
    /// Only one record at a time, until the first success.
    pub(super) probe: bool,
    pub(super) limited_since: Instant,
    /// The largest window in bytes, below the batch that was refused as a whole.
    limit: Option<u64>,
    /// Came back from librdkafka; older than all of `queue`.
    returned: Vec<Item>,
    queue: VecDeque<Item>,
    gap: Gap,
    window: Option<Window>,
}

/// The front of the queue is with librdkafka.
struct Window {
    records: usize,
    bytes: u64,
    /// Confirmed, and so no longer in the queue.
    taken: usize,
    failure: Option<Code>,
}

/// The partitions in which a record failed, so that later ones stand before their time.
#[derive(Default)]
struct Gap {
    all: bool,
    partitions: Vec<i32>,
}

/// A record that waits.
pub(super) struct Item {
    token: u64,
    /// Of those that came back, in which order they came.
    number: u64,
    weight: u64,
    partition: Option<i32>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Option<OwnedHeaders>,
    timestamp: Option<i64>,
    /// Where it was stored, if it was.
    stored: Option<(i32, i64)>,
}

impl Item {
    pub(super) fn of(token: u64, record: &Record<'_>) -> Self {
        Self {
            token,
            number: 0,
            weight: record.weight(),
            partition: record.partition,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record::headers(record.headers.iter().copied()),
            timestamp: record.timestamp,
            stored: None,
        }
    }

    pub(super) fn returned(
        answer: &Answer<'_, '_>,
        token: u64,
        number: u64,
        explicit: bool,
    ) -> Self {
        let message = answer.message;
        let partition = message.partition();
        Self {
            token,
            number,
            weight: record::reported_weight(message),
            // A hashed record is hashed again: the topic may have come back with other partitions.
            partition: (explicit && partition >= 0).then_some(partition),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(BorrowedHeaders::detach),
            timestamp: message.timestamp().to_millis(),
            stored: answer.stored(),
        }
    }

    fn send(&self, topic: &str, opaque: usize, to: &BaseProducer<Reports>) -> Result<(), Code> {
        to.send(BaseRecord::<[u8], [u8], usize> {
            topic,
            partition: self.partition,
            payload: self.value.as_deref(),
            key: self.key.as_deref(),
            timestamp: self.timestamp,
            headers: self.headers.clone(),
            delivery_opaque: opaque,
        })
        .map_err(|(error, _)| match error {
            KafkaError::Nul(_) => Code::InvalidTopic,
            error => code(&error),
        })
    }
}

impl Hold {
    pub(super) fn new(core: &Core, why: Code) -> Self {
        let now = Instant::now();
        let permanent = permanent(why);
        Self {
            reason: why.to_string(),
            since: now,
            doubt: !permanent,
            retry_at: if permanent { now } else { now + core.retry },
            settled: false,
            probe: true,
            limited_since: now,
            limit: permanent.then_some(core.batch_bytes / 2),
            returned: Vec::new(),
            queue: VecDeque::new(),
            gap: Gap::default(),
            window: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.returned.len() + self.queue.len()
    }

    pub(super) fn windowed(&self) -> bool {
        self.window.is_some()
    }

    pub(super) fn limited(&self) -> bool {
        self.limit.is_some()
    }

    pub(super) fn forget_limit(&mut self) {
        self.limit = None;
    }

    pub(super) fn covers(&self, partition: i32) -> bool {
        self.gap.all || self.gap.partitions.contains(&partition)
    }

    /// The newest.
    pub(super) fn push(&mut self, item: Item) {
        self.queue.push_back(item);
    }

    /// One that librdkafka had.
    pub(super) fn take_back(&mut self, partition: i32, failed: bool, item: Item) {
        if failed {
            self.gap.all |= partition < 0;
            if !self.gap.partitions.contains(&partition) {
                self.gap.partitions.push(partition);
            }
        }
        self.returned.push(item);
    }

    /// Puts what came back in front, and confirms what nothing unsettled stands before.
    pub(super) fn settle(&mut self, core: &Core) {
        self.returned.sort_unstable_by_key(|item| item.number);
        for item in self.returned.drain(..).rev() {
            self.queue.push_front(item);
        }
        while self.confirm_front(core) {}
    }

    fn confirm_front(&mut self, core: &Core) -> bool {
        let Some((partition, offset)) = self.queue.front().and_then(|item| item.stored) else {
            return false;
        };
        if let Some(item) = self.queue.pop_front() {
            core.finish(
                item.token,
                item.weight,
                Outcome::Stored { partition, offset },
            );
        }
        true
    }

    pub(super) fn found(&mut self, core: &Core, answer: Result<(), String>) {
        match answer {
            Ok(()) => self.doubt = false,
            Err(reason) => {
                self.reason = reason;
                self.retry_at = Instant::now() + core.retry;
            }
        }
    }

    /// Sends the front of the queue; gives how many records librdkafka took.
    pub(super) fn open_window(
        &mut self,
        core: &Core,
        topic: &str,
        client: &BaseProducer<Reports>,
    ) -> usize {
        let mut window = Window {
            records: 0,
            bytes: 0,
            taken: 0,
            failure: None,
        };
        let limit = self.limit.unwrap_or(u64::MAX);
        for (place, item) in self.queue.iter_mut().enumerate() {
            if place > 0 && (self.probe || window.bytes.saturating_add(item.weight) > limit) {
                break;
            }
            if let Err(why) = item.send(topic, place, client) {
                window.failure = Some(why);
                break;
            }
            // Whatever was stored before its time is stored again.
            item.stored = None;
            window.records += 1;
            window.bytes += item.weight;
        }
        let sent = window.records;
        if sent == 0 {
            // It never left: that is as good as having been sent alone.
            window.records = 1;
        } else {
            // The one that did not leave is tried again by the next window.
            window.failure = None;
        }
        self.window = Some(window);
        if sent == 0 {
            self.close_window(core);
        }
        sent
    }

    /// A report about a record of the window.
    pub(super) fn report(&mut self, core: &Core, answer: &Answer<'_, '_>, place: usize) {
        let Some(window) = &mut self.window else {
            return;
        };
        if let Some(error) = answer.error {
            window.failure.get_or_insert(code(error));
            return;
        }
        let front = window.taken;
        if let Some(item) = self.queue.get_mut(place.saturating_sub(front)) {
            item.stored = answer.stored();
        }
        // Beyond the window, what was stored before its time must follow this one again.
        let beyond = window.records.saturating_sub(front);
        if front == 0 {
            self.queue
                .iter_mut()
                .skip(beyond)
                .for_each(|item| item.stored = None);
        }
        loop {
            match &mut self.window {
                Some(window) if window.taken < window.records => {}
                _ => return,
            }
            if !self.confirm_front(core) {
                return;
            }
            if let Some(window) = &mut self.window {
                window.taken += 1;
            }
        }
    }

    /// All reports of the window are there.
    pub(super) fn close_window(&mut self, core: &Core) {
        let Some(window) = self.window.take() else {
            return;
        };
        match window.failure {
            None => self.probe = false,
            Some(why) if permanent(why) && window.records == 1 => {
                if let Some(item) = self.queue.pop_front() {
                    core.finish(item.token, item.weight, Outcome::Refused(refusal(why)));
                }
                // The culprit explains why the batch was refused.
                self.limit = None;
            }
            Some(why) if permanent(why) => {
                self.limit = Some((window.bytes / 2).max(1));
                self.limited_since = Instant::now();
            }
            Some(why) => self.back_off(core, why),
        }
    }

    /// Hands everything to librdkafka; the lane is open again unless one did not go.
    pub(super) fn release(
        &mut self,
        topic: &str,
        client: &BaseProducer<Reports>,
        tokens: &mut Tokens,
    ) -> (usize, Option<Code>) {
        self.gap = Gap::default();
        let mut sent = 0;
        while let Some(item) = self.queue.front() {
            let number = tokens.add(item.token);
            if let Err(why) = item.send(topic, opaque(number), client) {
                tokens.take(number);
                return (sent, Some(why));
            }
            self.queue.pop_front();
            sent += 1;
        }
        (sent, None)
    }

    /// Kafka does not take the front of the queue now.
    pub(super) fn back_off(&mut self, core: &Core, why: Code) {
        self.reason = why.to_string();
        self.probe = true;
        self.doubt = !permanent(why);
        self.retry_at = Instant::now();
        if self.doubt {
            self.retry_at += core.retry;
        }
    }
}

/// Whether waiting cannot help; believed only of a record that was sent alone.
pub(crate) fn permanent(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::InvalidTopic
            | Code::InvalidArgument
            | Code::InvalidRequiredAcks
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedCompressionType
            | Code::PolicyViolation
    )
}

fn refusal(code: Code) -> Refusal {
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Refusal::TooLarge
        }
        other => Refusal::Other(other.to_string()),
    }
}
