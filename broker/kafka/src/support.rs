//! What the plumbing shares: locks that survive a panic elsewhere, and quiet logging.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, NoCustomPartitioner, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use isthmus_kafka_ffi::MainQueue;

use crate::client::Connection;

/// The same complaint is logged again only after this long.
const REPEAT: Duration = Duration::from_secs(30);
/// Different complaints remembered at most.
const COMPLAINTS: usize = 64;

/// How long a thread may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// How soon a producer's thread notices that it is to stop, unless it is unparked.
const STOP: Duration = Duration::from_millis(250);

/// Serves a producer's events for as long as it is `going`.
pub(crate) fn serve<C>(producer: &BaseProducer<C>, going: impl Fn() -> bool)
where
    C: ProducerContext<NoCustomPartitioner> + 'static,
{
    let this = thread::current();
    let queue = MainQueue::watch(producer.client(), move || this.unpark());
    while going() {
        let Some(queue) = &queue else {
            producer.poll(STOP);
            continue;
        };
        while queue.waiting() > 0 {
            producer.poll(Duration::ZERO);
        }
        thread::park_timeout(STOP);
    }
}

/// Locks, whatever happened to another holder.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for reading, whatever happened to another holder.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, whatever happened to another holder.
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a thread that was told to end; one that is in a long call to Kafka is left to itself.
pub(crate) fn join(thread: JoinHandle<()>) {
    let until = Instant::now() + FAREWELL;
    while !thread.is_finished() {
        if Instant::now() >= until {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    let _ = thread.join();
}

/// Drops a client elsewhere: that waits until librdkafka has closed it.
pub(crate) fn discard<T: Send + 'static>(client: T) {
    let _ = thread::Builder::new()
        .name("kafka-discard".to_owned())
        .spawn(move || drop(client));
}

/// A librdkafka client's voice: every complaint once, then at most every 30 s.
#[derive(Debug)]
pub(crate) struct Voice {
    name: String,
    said: Mutex<Vec<(String, Instant)>>,
}

impl Voice {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            said: Mutex::new(Vec::new()),
        }
    }

    /// Logs `text` as a warning unless `about` was complained of lately.
    pub(crate) fn warn(&self, about: &str, text: &str) {
        let now = Instant::now();
        {
            let mut said = lock(&self.said);
            match said.iter_mut().find(|(what, _)| what == about) {
                Some((_, at)) if now.duration_since(*at) < REPEAT => return,
                Some((_, at)) => *at = now,
                None => {
                    if said.len() >= COMPLAINTS {
                        said.remove(0);
                    }
                    said.push((about.to_owned(), now));
                }
            }
        }
        tracing::warn!(client = %self.name, "{text}");
    }
}

impl ClientContext for Voice {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", client = %self.name, "{facility} {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // What a reader asks to be told, not a complaint.
        if code(&error) == RDKafkaErrorCode::PartitionEOF {
            return;
        }
        self.warn(&error.to_string(), &format!("{error}: {reason}"));
    }
}

/// The code inside an error of `rdkafka`.
pub(crate) fn code(error: &KafkaError) -> RDKafkaErrorCode {
    match error {
        KafkaError::Transaction(error) => error.code(),
        other => other
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown),
    }
}

/// What every consumer here has in common: committed records only, positions kept by us, and
/// room for the largest record.
pub(crate) fn consumer_config(connection: &Connection, extra: &[(String, String)]) -> ClientConfig {
    let mut config = connection.config();
    config
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // Where packets are dropped for a while, TCP tries again only after as long once more; a new
        // connection is there at once.
        .set("socket.timeout.ms", "5000")
        // Offsets behind an open transaction are asked for again and again.
        .set("retry.backoff.ms", "10")
        .set("retry.backoff.max.ms", "50")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.message.max.bytes", "4194304")
        .set("fetch.max.bytes", "33554432")
        .set("receive.message.max.bytes", "100000000")
        .set("queued.max.messages.kbytes", "16384");
    for (name, value) in extra {
        config.set(name, value);
    }
    config
}
