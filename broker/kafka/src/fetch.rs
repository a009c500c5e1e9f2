//! Records by offset: what was not kept in memory is read from Kafka again.
//!
//! One thread and one consumer, which reads nothing while nothing is wanted. All requests for a
//! partition that wait together are served in one pass over it, forward, skipping what nobody asked
//! for; partitions are read side by side.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::Connection;
use crate::reader::{AWAY, Found, Solo};
pub use crate::record::Message;
use crate::support::{join, lock};

/// Sleep of the thread when nothing wakes it.
const IDLE: Duration = Duration::from_millis(500);
/// How long Kafka may hold an answer back: the end of a partition may be what is wanted.
const WAIT_MS: u32 = 10;
/// A gap of more offsets than this is jumped over.
const JUMP: i64 = 2000;

/// What was found at each asked offset, ascending; absent: compacted, expired, aborted or not
/// written yet. Offsets that `max_bytes` left out are not in it: ask again from there.
pub type Bodies = Vec<(i64, Option<Arc<Message>>)>;

/// See the module's description.
#[derive(Debug)]
pub struct Fetcher {
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    wake: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// What someone asked for.
#[derive(Debug)]
struct Request {
    token: u64,
    partition: i32,
    offsets: Vec<i64>,
    max_bytes: u64,
    found: Bodies,
    bytes: u64,
}

impl Request {
    /// The next offset that is wanted; `None` when all that fits is there.
    fn next(&self) -> Option<i64> {
        if self.bytes >= self.max_bytes && !self.found.is_empty() {
            return None;
        }
        self.offsets.get(self.found.len()).copied()
    }

    /// Whatever is wanted below `offset` is not there.
    fn pass(&mut self, offset: i64) {
        while let Some(next) = self.next().filter(|next| *next < offset) {
            self.found.push((next, None));
        }
    }

    fn take(&mut self, message: &Arc<Message>) {
        self.pass(message.offset);
        if self.next() == Some(message.offset) {
            self.bytes += message.weight();
            self.found.push((message.offset, Some(Arc::clone(message))));
        }
    }
}

impl Fetcher {
    /// Starts it. Every request is answered once, by `on`, from the fetcher's thread; while Kafka is
    /// away an answer waits.
    ///
    /// # Errors
    /// When a setting is wrong; not when Kafka is away.
    pub fn new(
        connection: impl Into<Connection>,
        name: &str,
        topic: &str,
        extra: &[(String, String)],
        on: impl Fn(u64, Bodies) + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        let (solo, wake) = Solo::new(&connection.into(), name, WAIT_MS, extra)?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            solo,
            topic: topic.to_owned(),
            requests: Arc::clone(&requests),
            stop: Arc::clone(&stop),
            passes: HashMap::new(),
            waiting: BTreeMap::new(),
            on: Box::new(on),
        };
        let thread = thread::Builder::new()
            .name("kafka-fetcher".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            requests,
            stop,
            wake,
            thread: Some(thread),
        })
    }

    /// Asks for the records at `offsets`, ascending, until `max_bytes` are found (one at the least).
    pub fn fetch(&self, token: u64, partition: i32, mut offsets: Vec<i64>, max_bytes: u64) {
        offsets.sort_unstable();
        offsets.dedup();
        offsets.retain(|offset| *offset >= 0);
        let found = Vec::with_capacity(offsets.len().min(1024));
        let request = Request {
            token,
            partition,
            offsets,
            max_bytes,
            found,
            bytes: 0,
        };
        lock(&self.requests).push(request);
        let _ = self.wake.send(());
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.wake.send(());
        if let Some(thread) = self.thread.take() {
            join(thread);
        }
    }
}

/// One way through a partition, for all who waited for it.
struct Pass {
    requests: Vec<Request>,
    /// The offset that is read next, as far as is known.
    at: i64,
}

impl Pass {
    /// The lowest offset that is still wanted.
    fn next(&self) -> Option<i64> {
        self.requests.iter().filter_map(Request::next).min()
    }
}

struct Worker {
    solo: Solo,
    topic: String,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    passes: HashMap<i32, Pass>,
    waiting: BTreeMap<i32, Vec<Request>>,
    on: Box<dyn Fn(u64, Bodies) + Send + Sync>,
}

impl Worker {
    fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            for request in std::mem::take(&mut *lock(&self.requests)) {
                self.waiting
                    .entry(request.partition)
                    .or_default()
                    .push(request);
            }
            self.start();
            while let Some(found) = self.solo.take() {
                match found {
                    Found::Record(message) => self.read(message),
                    Found::End(partition) => self.ended(partition),
                    Found::Failure(error) => self.solo.warn(&error),
                }
            }
            let more = self
                .waiting
                .keys()
                .any(|partition| !self.passes.contains_key(partition));
            if !more && lock(&self.requests).is_empty() {
                self.solo.wait(IDLE);
            }
        }
    }

    /// Begins a pass over every partition that is wanted and not being read.
    fn start(&mut self) {
        let idle = |partition: &&i32| !self.passes.contains_key(*partition);
        let partitions: Vec<i32> = self.waiting.keys().filter(idle).copied().collect();
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let requests = self.waiting.remove(&partition).unwrap_or_default();
            let pass = Pass { requests, at: 0 };
            match pass.next() {
                Some(at) if add(&mut list, &self.topic, partition, at) => {
                    self.passes.insert(partition, Pass { at, ..pass });
                }
                _ => self.answer(pass),
            }
        }
        if list.count() == 0 {
            return;
        }
        self.solo.look_up(&self.topic);
        if let Err(error) = self.solo.consumer.incremental_assign(&list) {
            self.solo.warn(&error);
            for element in list.elements() {
                if let Some(pass) = self.passes.remove(&element.partition()) {
                    self.waiting
                        .entry(element.partition())
                        .or_default()
                        .extend(pass.requests);
                }
            }
            self.solo.wait(AWAY);
        }
    }

    fn read(&mut self, message: Message) {
        let Some(pass) = self.passes.get_mut(&message.partition) else {
            return;
        };
        if message.offset < pass.at {
            return; // from before a jump
        }
        let partition = message.partition;
        pass.at = message.offset + 1;
        let message = Arc::new(message);
        pass.requests
            .iter_mut()
            .for_each(|request| request.take(&message));
        match pass.next() {
            None => self.finish(partition),
            Some(next) if next - pass.at > JUMP => {
                let jumped = self.solo.consumer.seek(
                    &self.topic,
                    partition,
                    Offset::Offset(next),
                    Duration::ZERO,
                );
                if jumped.is_ok() {
                    pass.at = next;
                }
            }
            Some(_) => {}
        }
    }

    /// Nothing more is there now, so nothing that is wanted will be found.
    fn ended(&mut self, partition: i32) {
        if let Some(pass) = self.passes.get_mut(&partition) {
            pass.requests
                .iter_mut()
                .for_each(|request| request.pass(i64::MAX));
            self.finish(partition);
        }
    }

    fn finish(&mut self, partition: i32) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        if let Err(error) = self.solo.consumer.incremental_unassign(&list) {
            self.solo.warn(&error);
        }
        if let Some(pass) = self.passes.remove(&partition) {
            self.answer(pass);
        }
    }

    fn answer(&self, pass: Pass) {
        for request in pass.requests {
            (self.on)(request.token, request.found);
        }
    }
}

fn add(list: &mut TopicPartitionList, topic: &str, partition: i32, offset: i64) -> bool {
    list.add_partition_offset(topic, partition, Offset::Offset(offset))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(offsets: &[i64], max_bytes: u64) -> Request {
        let offsets = offsets.to_vec();
        Request {
            token: 0,
            partition: 0,
            offsets,
            max_bytes,
            found: Vec::new(),
            bytes: 0,
        }
    }

    fn message(offset: i64) -> Arc<Message> {
        Arc::new(Message {
            topic: Arc::from("t"),
            partition: 0,
            offset,
            timestamp: None,
            key: None,
            value: Some(vec![0; 100]),
            headers: Vec::new(),
        })
    }

    #[test]
    fn what_is_not_there_is_passed_by() {
        let mut request = request(&[1, 3, 5], 1 << 20);
        for offset in [2, 3, 4, 6] {
            request.take(&message(offset));
        }
        let found: Vec<_> = request
            .found
            .iter()
            .map(|(o, m)| (*o, m.is_some()))
            .collect();
        assert_eq!(found, [(1, false), (3, true), (5, false)]);
        assert_eq!(request.next(), None);
    }

    #[test]
    fn one_record_is_found_however_little_fits() {
        let mut request = request(&[1, 2], 1);
        request.take(&message(1));
        assert_eq!(request.next(), None);
        request.take(&message(2));
        assert_eq!(request.found.len(), 1);
    }
}
