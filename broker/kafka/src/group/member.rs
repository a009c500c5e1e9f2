//! The thread of a group: commands, rebalances, records, in turn.

mod anew;
mod evicted;
mod leaving;
mod pulse;
mod revoking;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use isthmus_kafka_ffi::waiting;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::commits::EVERY;
use super::kicks::Kicks;
use super::lists::{list, others};
use super::rebalance::{Change, Rebalances};
use super::shared::{Command, Shared};
use super::{GroupEvent, TopicPartition};
use crate::record::{Copier, Message};
use crate::support::write;
use leaving::Leaving;
use pulse::Pulse;
use revoking::Revoking;

/// How soon something that librdkafka was not ready for is tried again.
const SOON: Duration = Duration::from_millis(5);
/// Records and bytes given out at once.
const BATCH_RECORDS: usize = 1000;
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
/// Events in a row that are no records, past which commands have their turn.
const EVENTS: u32 = 10_000;

pub(super) struct Member {
    shared: Arc<Shared>,
    consumer: Arc<BaseConsumer<Rebalances>>,
    published: Arc<RwLock<Option<Arc<BaseConsumer<Rebalances>>>>>,
    copier: Copier,
    /// Partitions that are read.
    reading: HashSet<TopicPartition>,
    /// Resumed, but librdkafka was not ready.
    resuming: Vec<(TopicPartition, Option<i64>)>,
    kicks: Kicks,
    pulse: Pulse,
    /// When offsets that have moved were last handed in.
    handed_in: Instant,
    revoking: Option<Revoking>,
    leaving: Option<Leaving>,
    /// The subscription is no longer the first one.
    resubscribed: bool,
    /// When the group had nothing more for us.
    idle: Option<Instant>,
    /// Whether the parking topic is subscribed.
    parks: bool,
    /// Subscribed to the parking topic alone, until the group has taken note.
    claims_nothing: bool,
    /// For what wakes this thread.
    commands: Sender<Command>,
}

impl Member {
    pub(super) fn new(
        shared: Arc<Shared>,
        consumer: Arc<BaseConsumer<Rebalances>>,
        published: Arc<RwLock<Option<Arc<BaseConsumer<Rebalances>>>>>,
        commands: Sender<Command>,
    ) -> Self {
        Self {
            shared,
            consumer,
            published,
            copier: Copier::default(),
            reading: HashSet::new(),
            resuming: Vec::new(),
            kicks: Kicks::default(),
            pulse: Pulse::new(),
            handed_in: Instant::now(),
            revoking: None,
            leaving: None,
            resubscribed: false,
            idle: None,
            parks: true,
            claims_nothing: false,
            commands,
        }
    }

    pub(super) fn subscribe(&self) -> Result<(), KafkaError> {
        let config = &self.shared.config;
        let topics: Vec<&str> = config
            .topics
            .iter()
            .chain(config.park.iter().filter(|_| self.parks))
            .map(String::as_str)
            .collect();
        self.consumer.subscribe(&topics)
    }

    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            match commands.recv_timeout(self.rest()) {
                Ok(command) => {
                    let more = std::iter::from_fn(|| commands.try_recv().ok());
                    for command in std::iter::once(command).chain(more) {
                        if matches!(command, Command::Close) {
                            return self.close();
                        }
                        self.obey(command);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.close(),
            }
            if let Err(reason) = self.poll() {
                self.lose_all();
                match self.begin_anew(commands, reason) {
                    Some(anew) => self = anew,
                    None => return,
                }
            }
            self.finish_revoking();
            self.finish_leaving();
            self.ask_again();
            self.pulse.serve(&self.consumer);
            if self.handed_in.elapsed() >= EVERY {
                self.commit_moved();
            }
            self.resume_again();
            self.choke();
            self.kicks.serve(&self.consumer);
        }
    }

    /// How long there is nothing to do if nobody asks.
    fn rest(&self) -> Duration {
        let now = Instant::now();
        let resuming = (!self.resuming.is_empty()).then_some(SOON);
        let until = |at: Instant| at.saturating_duration_since(now);
        let revoking = self.revoking.as_ref().map(|revoking| until(revoking.until));
        let leaving = self.leaving.as_ref().and_then(Leaving::until).map(until);
        let dues = [resuming, self.kicks.due(), revoking, leaving];
        let soonest = dues.into_iter().flatten().min();
        let beat = self.pulse.due();
        soonest.map_or(beat, |due| beat.min(due))
    }

    fn commit_moved(&mut self) {
        self.handed_in = Instant::now();
        let shared = &self.shared;
        let term = |topic: &str, number| shared.term(topic, number).map(|term| term.number);
        self.say(shared.commits.hand_in(&self.consumer, term));
    }

    /// Leaves; a static member's partitions stay reserved for a while.
    fn close(mut self) {
        self.commit_moved();
        self.shared.ended.store(true, Ordering::Release);
        self.answer_all();
        self.lose_all();
        write(&self.published).take();
        let Self {
            consumer, shared, ..
        } = self;
        // Whoever is in a call holds a clone for as long. Closing asks for a last rebalance, which
        // only `ended` answers.
        while Arc::strong_count(&consumer) > 1 {
            std::thread::sleep(SOON);
        }
        drop(consumer);
        drop(shared);
    }

    fn lose_all(&mut self) {
        let owned: Vec<_> = write(&self.shared.owned)
            .drain()
            .map(|(owned, _)| owned)
            .collect();
        self.reading.clear();
        self.resuming.clear();
        if !owned.is_empty() {
            self.shared.say(GroupEvent::Lost(owned));
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Ready | Command::Rejoin | Command::Close => {}
            Command::Resume(topic, partition, offset) => {
                self.resuming
                    .retain(|((t, p), _)| (t, *p) != (&topic, partition));
                self.resuming.push(((topic, partition), offset));
            }
            Command::Pause(topic, partition) => {
                let key = (topic, partition);
                self.resuming.retain(|(resuming, _)| *resuming != key);
                if self.reading.remove(&key) {
                    self.say(self.consumer.pause(&list([&key])));
                }
            }
            Command::Release(partitions) => {
                for partition in partitions {
                    self.release(&partition);
                }
            }
            Command::Rebalance if self.leaving.is_some() => {}
            Command::Rebalance => self.divide_anew(),
            Command::Leave => self.leave(),
        }
    }

    /// Takes all that is ready from librdkafka; an error ends the membership.
    ///
    /// It answers "nothing" for every event that is not a record, such as the answer to a commit,
    /// and it wakes this thread only when its queue was empty. So only the length of the queue says
    /// that there is no more: what is left behind would wait for the next idle turn.
    fn poll(&mut self) -> Result<(), String> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut events = 0;
        let mut more = true;
        while more {
            match self.consumer.poll(Duration::ZERO) {
                None => {
                    events += 1;
                    more = events < EVENTS && waiting(self.consumer.client()) > 0;
                }
                Some(Ok(message)) => {
                    events = 0;
                    let message = self.copier.copy(&message);
                    // A seek leaves nothing of the old place in the queue, but a pause may.
                    if self
                        .reading
                        .contains(&(Arc::clone(&message.topic), message.partition))
                    {
                        bytes += message.weight();
                        batch.push(message);
                    }
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(code.to_string());
                }
                Some(Err(error)) => self.say(Err(error)),
            }
            let changes = self.shared.changes();
            if !changes.is_empty() {
                more = true;
                self.give_out(&mut batch, &mut bytes);
                changes
                    .into_iter()
                    .for_each(|change| self.rebalance(change));
            }
            if batch.len() >= BATCH_RECORDS || bytes >= self.room() {
                self.give_out(&mut batch, &mut bytes);
                self.choke();
            }
        }
        self.give_out(&mut batch, &mut bytes);
        Ok(())
    }

    /// Bytes that may be given out at once.
    fn room(&self) -> u64 {
        let outstanding = self.shared.outstanding.load(Ordering::Acquire);
        self.shared
            .bound
            .saturating_sub(outstanding)
            .min(BATCH_BYTES)
    }

    fn give_out(&mut self, batch: &mut Vec<Message>, bytes: &mut u64) {
        if batch.is_empty() {
            return;
        }
        self.shared.outstanding.fetch_add(*bytes, Ordering::AcqRel);
        *bytes = 0;
        self.shared.say(GroupEvent::Records(std::mem::take(batch)));
    }

    fn rebalance(&mut self, change: Change) {
        let claims = self.lose_void(&change);
        self.pulse.quicken();
        match change {
            // Goes back with everything else.
            Change::Assign(list) if self.leaving.is_some() => {
                self.say(self.consumer.incremental_assign(&list));
                self.say(self.consumer.pause(&list));
            }
            Change::Assign(mut list) => {
                let partitions = self.wanted(&list);
                let member = self.member_id();
                if self.shared.config.wait_for_resume {
                    // Any place will do: it is paused, and resumed with the right one.
                    self.say(list.set_all_offsets(Offset::Offset(0)));
                }
                self.say(self.consumer.incremental_assign(&list));
                if self.shared.config.wait_for_resume {
                    self.say(self.consumer.pause(&list));
                } else {
                    let parked = others(&list, &partitions);
                    if parked.count() > 0 {
                        self.say(self.consumer.pause(&parked));
                    }
                    self.reading.extend(partitions.iter().cloned());
                }
                self.shared.own(&partitions, &member);
                if self.claims_nothing {
                    self.claim_again();
                }
                self.idle = partitions.is_empty().then(Instant::now);
                self.shared.say(GroupEvent::Assigned(partitions));
            }
            Change::Revoke(list) => self.give_up(list),
            Change::Lose(list) => {
                let partitions = self.wanted(&list);
                self.stop_reading(&partitions);
                self.shared.disown(&partitions);
                self.revoking = None;
                self.say(self.consumer.incremental_unassign(&list));
                if !partitions.is_empty() {
                    self.shared.say(GroupEvent::Lost(partitions));
                }
            }
        }
        if claims && self.leaving.is_none() {
            self.claim_nothing();
        }
    }

    fn stop_reading(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.reading.remove(partition);
            self.resuming.retain(|(resuming, _)| resuming != partition);
        }
    }

    fn resume_again(&mut self) {
        let mut resumed = Vec::new();
        for (key, offset) in std::mem::take(&mut self.resuming) {
            if !self.shared.owns(&key.0, key.1) {
                continue;
            }
            if let Some(offset) = offset {
                let place = Offset::Offset(offset);
                if self
                    .consumer
                    .seek(&key.0, key.1, place, Duration::ZERO)
                    .is_err()
                {
                    self.resuming.push((key, Some(offset)));
                    continue;
                }
            }
            resumed.push(key);
        }
        // All at once: whatever comes later waits behind a long poll.
        if !resumed.is_empty() && !self.shared.choked.load(Ordering::Acquire) {
            self.say(self.consumer.resume(&list(&resumed)));
            self.kicks.start(&resumed);
        }
        self.reading.extend(resumed);
    }

    /// Pauses what is read while too much is outstanding, and resumes it when half is done.
    fn choke(&mut self) {
        let outstanding = self.shared.outstanding.load(Ordering::Acquire);
        let choked = self.shared.choked.load(Ordering::Acquire);
        if !choked && outstanding > self.shared.bound {
            self.shared.choked.store(true, Ordering::Release);
            self.say(self.consumer.pause(&list(&self.reading)));
        } else if choked && outstanding <= self.shared.bound / 2 {
            self.shared.choked.store(false, Ordering::Release);
            self.say(self.consumer.resume(&list(&self.reading)));
            self.kicks.start(&self.reading);
        }
    }

    fn wanted(&self, list: &TopicPartitionList) -> Vec<TopicPartition> {
        let elements = list.elements();
        elements
            .iter()
            .filter(|element| self.shared.wants(element.topic()))
            .map(|element| (Arc::from(element.topic()), element.partition()))
            .collect()
    }

    fn say(&self, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            let text = error.to_string();
            self.shared.voice.warn(&text, &text);
            self.shared.say(GroupEvent::Error(text));
        }
    }
}
