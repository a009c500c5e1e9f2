//! The thread of a transactor: which changes go into the next transaction, and what follows from
//! how it ended.

mod ours;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::attempt::{self, Ended, Lost};
use super::session::{Maker, Session};
use super::{Ask, Change, Done};
use crate::group::{self, GroupHandle};
use crate::producer::permanent;
use crate::reader::{ReadError, Restorer};
use crate::support::{consumer_config, discard};

/// How long to wait before Kafka is tried again.
const AWAY: Duration = Duration::from_millis(250);
/// The same, when the group is on the move.
const MOVING: Duration = Duration::from_millis(20);
/// Who has just heard of the end of a transaction is waited for by the next: this part of its time,
/// at most so long.
const GATHER_PART: u32 = 2;
const GATHER: Duration = Duration::from_millis(50);
/// How long one look for a lost transaction may last.
const LOOK: Duration = Duration::from_secs(5);
/// In how many parts the suspects of a refused batch are tried.
const PARTS: usize = 8;

pub(super) struct Worker {
    maker: Maker,
    group: GroupHandle,
    done: Box<dyn Fn(u64, Done) + Send + Sync>,
    queue: VecDeque<Change>,
    /// What waits until its partitions are ours: older than all of the queue about the same ones.
    held: VecDeque<Change>,
    session: Option<Session>,
    /// What cannot be done yet; nothing is taken from the channel before it.
    postponed: Option<Ask>,
    /// A transaction that may or may not be committed: the first so many changes of the queue.
    lost: Option<(Lost, usize)>,
    /// The first so many changes of the queue hide one that Kafka refuses; at most `part` of them
    /// go into one transaction.
    suspects: usize,
    part: usize,
    /// Unlike every other start of this id.
    start: u128,
    number: u64,
    /// Until then those are waited for who have just heard of the end of a transaction.
    gathers_until: Instant,
}

impl Worker {
    pub(super) fn new(
        maker: Maker,
        group: GroupHandle,
        done: Box<dyn Fn(u64, Done) + Send + Sync>,
    ) -> Self {
        let start = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        Self {
            maker,
            group,
            done,
            queue: VecDeque::new(),
            held: VecDeque::new(),
            postponed: None,
            session: None,
            lost: None,
            suspects: 0,
            part: 0,
            start,
            number: 0,
            gathers_until: Instant::now(),
        }
    }

    /// See [`super::Transactor::mark`].
    pub(super) fn mark_stem(&self) -> String {
        format!("{}:{}:", self.maker.transactional_id, self.start)
    }

    pub(super) fn run(mut self, asked: &Receiver<Ask>) {
        self.connect();
        loop {
            if let Some(ask) = self.postponed.take() {
                self.take(ask);
            } else if self.queue.is_empty() && self.held.is_empty() {
                match asked.recv() {
                    Ok(ask) => self.take(ask),
                    Err(_) => return,
                }
            } else if self.queue.is_empty() {
                // What is held is looked at again: the group may have its partitions back.
                match asked.recv_timeout(MOVING) {
                    Ok(ask) => self.take(ask),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            self.gather(asked);
            if !self.maker.shared.going() {
                return;
            }
            if !self.queue.is_empty() {
                self.maker.shared.progress.waits();
            }
            self.step(asked);
        }
    }

    /// Takes what is there; behind a transaction also what those submit soon who have just heard of
    /// its end, so that they do not go by turns, each with a transaction of its own.
    fn gather(&mut self, asked: &Receiver<Ask>) {
        while self.postponed.is_none() {
            let left = self.gathers_until.saturating_duration_since(Instant::now());
            let Ok(ask) = asked.recv_timeout(left) else {
                return;
            };
            self.take(ask);
        }
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Store(change) => self.queue.push_back(change),
            // What became of a lost answer must be known before: it may be committed.
            Ask::Forget(..) if self.lost.is_some() => self.postponed = Some(ask),
            Ask::Forget(topic, partition) => self.forget(&topic, partition),
        }
    }

    /// A session, however long it takes; false when it is to end.
    fn connect(&mut self) -> bool {
        while self.session.is_none() && self.maker.shared.going() {
            match self.maker.make() {
                Ok(session) => {
                    self.session = Some(session);
                    self.maker.shared.ready.store(true, Ordering::Release);
                }
                Err(error) => {
                    self.maker.shared.progress.failed(&error);
                    let text = format!("no transactional producer yet: {error}");
                    self.maker.shared.voice.warn(&error.to_string(), &text);
                    self.maker.shared.pause(AWAY);
                }
            }
        }
        self.session.is_some()
    }

    /// One transaction.
    fn step(&mut self, asked: &Receiver<Ask>) {
        if !self.connect() || !self.find_lost() {
            return;
        }
        let offsets = self.queue.iter().flat_map(|change| &change.offsets);
        let partitions = offsets.map(|offset| (offset.owner_topic().clone(), offset.partition));
        self.maker.shared.under.begin(partitions.collect());
        self.transact(asked);
        if self.lost.is_none() {
            self.maker.shared.under.end();
        }
    }

    fn transact(&mut self, asked: &Receiver<Ask>) {
        self.maker.shared.progress.at("asking for the generation");
        // First the generation, then what is ours: so whatever is ours is ours in that generation.
        let metadata = self.group.metadata();
        if self.maker.settings.hold {
            self.hold(metadata.is_none());
        } else {
            self.answer_fenced(metadata.is_none());
        }
        let ours = self.take_more(asked);
        let (Some(metadata), Some(session)) = (metadata, &self.session) else {
            return;
        };
        let count = self.next().min(ours);
        if count == 0 {
            return;
        }
        self.number += 1;
        let id = &self.maker.transactional_id;
        let mark = format!("{}{}", self.mark_stem(), self.number);
        let changes: Vec<&Change> = self.queue.iter().take(count).collect();
        let place = self.maker.settings.place;
        let begun = Instant::now();
        match attempt::run(session, &changes, &Arc::new(metadata), &mark, place) {
            Ended::Committed => {
                self.committed(count);
                let took = begun.elapsed();
                self.gathers_until = Instant::now() + GATHER.min(took / GATHER_PART);
            }
            Ended::Aborted(code) => {
                self.maker.shared.progress.failed(&code);
                tracing::debug!(%id, ?code, "the transaction is tried again");
                self.maker.shared.pause(MOVING);
            }
            Ended::Broken(code) => {
                self.complain(code);
                self.session = None;
                self.maker.shared.pause(MOVING);
            }
            Ended::Refused { suspects, code } => {
                self.session = None;
                self.refused(count, &suspects, code);
            }
            Ended::Unknown(lost) => {
                self.complain(Code::OperationTimedOut);
                self.session = None;
                self.lost = Some((lost, count));
            }
        }
    }

    fn complain(&self, code: Code) {
        self.maker.shared.progress.failed(&code);
        let text = format!("a transaction failed ({code}); a new producer repeats it");
        self.maker.shared.voice.warn(&format!("{code:?}"), &text);
    }

    /// How many changes the next transaction takes.
    fn next(&self) -> usize {
        let settings = &self.maker.settings;
        let most = match self.suspects {
            0 => usize::MAX,
            suspects => self.part.clamp(1, suspects),
        };
        let (mut bytes, mut records) = (0, 0);
        let fits = |change: &&Change| {
            bytes += change.weight();
            records += change.records.len();
            bytes <= settings.transaction_bytes && records <= settings.transaction_records
        };
        let count = self.queue.iter().take(most).take_while(fits).count();
        count.max(usize::from(!self.queue.is_empty()))
    }

    fn finish(&self, change: &Change, done: Done) {
        self.settle(change);
        (self.done)(change.token, done);
    }

    fn settle(&self, change: &Change) {
        self.maker
            .shared
            .bytes
            .fetch_sub(change.weight(), Ordering::Relaxed);
        self.maker.shared.changes.fetch_sub(1, Ordering::Relaxed);
    }

    fn went_on(&self) {
        self.maker.shared.progress.went_on(!self.queue.is_empty());
    }

    fn committed(&mut self, count: usize) {
        self.maker
            .shared
            .transactions
            .fetch_add(1, Ordering::Relaxed);
        for _ in 0..count {
            if let Some(change) = self.queue.pop_front() {
                self.finish(&change, Done::Committed);
            }
        }
        self.suspects = self.suspects.saturating_sub(count);
        self.went_on();
    }

    /// A record is refused for good: a broker refuses a whole batch, so only a change that was
    /// alone, or the only one that failed, is known to be the culprit.
    fn refused(&mut self, count: usize, suspects: &BTreeSet<usize>, code: Code) {
        let certain =
            suspects.len() == 1 || !(permanent(code) || count > 1 && all(suspects, count));
        if !certain {
            let last = suspects.last().map_or(count, |last| last + 1);
            self.suspects = self.suspects.max(last);
            self.part = (suspects.len() / PARTS).max(1);
            return;
        }
        for index in suspects.iter().rev() {
            if let Some(change) = self.queue.remove(*index) {
                self.suspects = self.suspects.saturating_sub(1);
                let too_large = matches!(
                    code,
                    Code::MessageSizeTooLarge
                        | Code::MessageBatchTooLarge
                        | Code::InvalidMessageSize
                );
                self.finish(
                    &change,
                    Done::Refused {
                        error: code.to_string(),
                        too_large,
                    },
                );
            }
        }
        self.went_on();
    }

    /// Finds out what became of a transaction whose answer was lost; false: not yet.
    fn find_lost(&mut self) -> bool {
        let Some((lost, count)) = self.lost.take() else {
            return true;
        };
        self.maker.shared.progress.at("looking for a lost answer");
        match self.look(&lost) {
            Ok(true) => {
                self.committed(count);
                true
            }
            Ok(false) => true,
            Err(error) => {
                let shared = &self.maker.shared;
                shared.progress.failed(&error);
                shared
                    .voice
                    .warn("lost", &format!("a lost answer: {error}"));
                self.lost = Some((lost, count));
                self.maker.shared.pause(AWAY);
                false
            }
        }
    }

    /// Whether it was committed. The new session has ended it, so the log has its word on it.
    fn look(&self, lost: &Lost) -> Result<bool, ReadError> {
        let (connection, extra) = (&self.maker.connection, &self.maker.settings.extra);
        if let Some((topic, partition, offset)) = &lost.place {
            let mut log = Restorer::new(connection, &self.maker.transactional_id, extra)?;
            let found = log.is_committed(topic, *partition, *offset, Instant::now() + LOOK);
            discard(log);
            return found;
        }
        let Some((topic, partition)) = &lost.offset else {
            return Ok(false);
        };
        let mut config = consumer_config(connection, extra);
        config.set("group.id", self.group.group_id());
        let consumer: BaseConsumer = config.create()?;
        let found = group::committed(&consumer, &[(topic, *partition)], LOOK);
        discard(consumer);
        Ok(found?.iter().any(|found| found.metadata == lost.mark))
    }
}

fn all(suspects: &BTreeSet<usize>, count: usize) -> bool {
    suspects.len() == count
}
