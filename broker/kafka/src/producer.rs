//! An idempotent producer whose confirmations come in order.
//!
//! A record is never lost and never fails for a passing reason: an outage, a topic that is missing
//! or not authorised, a producer that broke. What Kafka cannot take now is held, in order, in the
//! lane of its topic, and whatever follows in that topic waits behind it. Only a record that Kafka
//! refuses for good is given up, and that is believed only of a record that was sent alone, for a
//! broker refuses a batch as a whole.
//!
//! Three threads meet here. Callers of [`Producer::produce`] hand records to librdkafka while the
//! lane is open, else to the lane. One thread polls librdkafka and reports what was stored. The
//! supervisor serves lanes that are held and replaces a broken client. A lane's lock is never held
//! while another's is taken.

mod hold;
mod lane;
mod supervisor;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, ProducerContext,
};

use self::hold::Item;
pub(crate) use self::hold::permanent;
use self::lane::{Answer, Lane};
use crate::client::Connection;
use crate::record::{self, Record};
use crate::support::{Voice, join, lock, read, serve, write};

/// How often [`Producer::close`] looks.
const LOOK: Duration = Duration::from_millis(5);

/// How a producer is tuned.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// How long librdkafka gathers a batch, in milliseconds.
    pub linger_ms: f64,
    /// The largest batch of several records; below the smallest topic's `max.message.bytes`.
    pub batch_bytes: u32,
    /// The largest record that is sent at all.
    pub max_record_bytes: u32,
    /// How long a held topic waits before it is tried again.
    pub retry: Duration,
    /// Further settings of librdkafka (TLS, SASL).
    pub extra: Vec<(String, String)>,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            linger_ms: 2.0,
            batch_bytes: 256 * 1024,
            max_record_bytes: 20 * 1024 * 1024,
            retry: Duration::from_secs(1),
            extra: Vec::new(),
        }
    }
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in Kafka, on every in-sync replica.
    Stored {
        /// Its partition.
        partition: i32,
        /// Its offset; -1 where Kafka found it stored already and no longer knew where.
        offset: i64,
    },
    /// Kafka refuses it for good.
    Refused(Refusal),
}

/// Why Kafka refuses a record for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Larger than the topic or this producer takes.
    #[error("the record is too large for its topic")]
    TooLarge,
    /// Anything else, in Kafka's words.
    #[error("{0}")]
    Other(String),
}

/// A topic whose records wait because Kafka does not take them now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldTopic {
    /// Kafka topic.
    pub topic: String,
    /// Records waiting.
    pub records: usize,
    /// Why, in Kafka's words.
    pub reason: String,
    /// Since when.
    pub since: Instant,
}

/// See the module's description.
pub struct Producer {
    core: Arc<Core>,
    client: Arc<RwLock<Arc<Handle>>>,
    supervisor: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("backlog_bytes", &self.backlog_bytes())
            .finish()
    }
}

impl Producer {
    /// Starts it. `done` is told of every record once, in order per topic and key; it is called
    /// from the producer's threads, must be quick and must not call back into the producer.
    ///
    /// # Errors
    /// When a setting is wrong; not when Kafka is away.
    pub fn new(
        connection: impl Into<Connection>,
        client_id: &str,
        settings: ProducerSettings,
        done: impl Fn(u64, Outcome) + Send + Sync + 'static,
    ) -> Result<Self, KafkaError> {
        let (wake, woken) = channel();
        let core = Arc::new(Core {
            lanes: RwLock::new(HashMap::new()),
            held: Mutex::new(Vec::new()),
            bytes: AtomicU64::new(0),
            records: AtomicU64::new(0),
            replacements: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            batch_bytes: u64::from(settings.batch_bytes),
            retry: settings.retry,
            done: Box::new(done),
            voice: Voice::new(client_id),
            wake,
        });
        let builder = Builder {
            connection: connection.into(),
            client_id: client_id.to_owned(),
            settings,
            core: Arc::clone(&core),
        };
        let client = Arc::new(RwLock::new(Arc::new(builder.build()?)));
        let supervisor = supervisor::start(builder, Arc::clone(&client), woken)?;
        Ok(Self {
            core,
            client,
            supervisor: Some(supervisor),
        })
    }

    /// Takes a record. Never blocks and never fails: whatever becomes of it comes by `done`.
    pub fn produce(&self, token: u64, record: &Record<'_>) {
        self.core
            .bytes
            .fetch_add(record.weight(), Ordering::Relaxed);
        self.core.records.fetch_add(1, Ordering::Relaxed);
        let lane = self.core.lane(record.topic);
        let Some(number) = lane.enter(&self.core, token, record) else {
            return;
        };
        let headers = record::headers(record.headers.iter().copied());
        let sent = read(&self.client)
            .producer
            .send(BaseRecord::<[u8], [u8], usize> {
                topic: record.topic,
                partition: record.partition,
                payload: record.value,
                key: record.key,
                timestamp: record.timestamp,
                headers,
                delivery_opaque: opaque(number),
            });
        if let Err((error, _)) = sent {
            lane.bounce(&self.core, number, Item::of(token, record), &error);
        }
    }

    /// Bytes accepted and not yet confirmed, with an overhead per record and header.
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        self.core.bytes.load(Ordering::Relaxed)
    }

    /// Records accepted and not yet confirmed.
    #[must_use]
    pub fn backlog_records(&self) -> u64 {
        self.core.records.load(Ordering::Relaxed)
    }

    /// The topics that Kafka does not take records of now.
    #[must_use]
    pub fn held_topics(&self) -> Vec<HeldTopic> {
        let lanes: Vec<_> = read(&self.core.lanes).values().cloned().collect();
        lanes.iter().filter_map(|lane| lane.held()).collect()
    }

    /// How often librdkafka's client broke and was replaced.
    #[must_use]
    pub fn replacements(&self) -> u64 {
        self.core.replacements.load(Ordering::Relaxed)
    }

    /// Waits until everything is confirmed or `deadline` has passed, then ends. Gives the number of
    /// records that were not confirmed: of those, `done` is not told.
    #[must_use = "records may have been given up"]
    pub fn close(mut self, deadline: Instant) -> u64 {
        while self.backlog_records() > 0 && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        let left = self.backlog_records();
        self.end();
        left
    }

    fn end(&mut self) {
        self.core.stop.store(true, Ordering::Release);
        let _ = self.core.wake.send(());
        if let Some(supervisor) = self.supervisor.take() {
            join(supervisor);
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.end();
    }
}

/// What all threads of one producer share; it outlives a broken client.
struct Core {
    lanes: RwLock<HashMap<Box<str>, Arc<Lane>>>,
    /// The lanes that are held; the supervisor's work.
    held: Mutex<Vec<Arc<Lane>>>,
    bytes: AtomicU64,
    records: AtomicU64,
    replacements: AtomicU64,
    stop: AtomicBool,
    batch_bytes: u64,
    retry: Duration,
    done: Box<dyn Fn(u64, Outcome) + Send + Sync>,
    voice: Voice,
    wake: Sender<()>,
}

impl Core {
    fn lane(&self, topic: &str) -> Arc<Lane> {
        if let Some(lane) = read(&self.lanes).get(topic) {
            return Arc::clone(lane);
        }
        let mut lanes = write(&self.lanes);
        Arc::clone(
            lanes
                .entry(topic.into())
                .or_insert_with(|| Arc::new(Lane::new(topic))),
        )
    }

    /// The end of a record: off the backlog, then told.
    fn finish(&self, token: u64, weight: u64, outcome: Outcome) {
        self.bytes.fetch_sub(weight, Ordering::Relaxed);
        self.records.fetch_sub(1, Ordering::Relaxed);
        (self.done)(token, outcome);
    }

    fn wake(&self) {
        let _ = self.wake.send(());
    }
}

/// One librdkafka client and the thread that polls it.
struct Handle {
    producer: Arc<BaseProducer<Reports>>,
    stop: Arc<AtomicBool>,
    poller: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    /// Ends the polling thread; what the client still holds is dropped with it.
    fn end(&self) {
        self.stop.store(true, Ordering::Release);
        if let Some(poller) = lock(&self.poller).take() {
            poller.thread().unpark();
            let _ = poller.join();
        }
    }
}

/// Makes clients.
struct Builder {
    connection: Connection,
    client_id: String,
    settings: ProducerSettings,
    core: Arc<Core>,
}

impl Builder {
    fn build(&self) -> Result<Handle, KafkaError> {
        let mut config = self.connection.config();
        config
            .set("client.id", &self.client_id)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "0")
            // As for consumers, but a leader may wait for a replica that has just died.
            .set("socket.timeout.ms", "10000")
            .set("linger.ms", self.settings.linger_ms.to_string())
            .set("batch.size", self.settings.batch_bytes.to_string())
            .set(
                "message.max.bytes",
                self.settings.max_record_bytes.to_string(),
            )
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "4194304")
            .set("retry.backoff.ms", "20")
            .set("retry.backoff.max.ms", "500")
            .set("topic.metadata.propagation.max.ms", "2000");
        for (name, value) in &self.settings.extra {
            config.set(name, value);
        }
        let reports = Reports {
            core: Arc::clone(&self.core),
        };
        let producer: Arc<BaseProducer<Reports>> = Arc::new(config.create_with_context(reports)?);
        let stop = Arc::new(AtomicBool::new(false));
        let poller = {
            let (producer, stop) = (Arc::clone(&producer), Arc::clone(&stop));
            thread::Builder::new()
                .name("kafka-reports".to_owned())
                .spawn(move || {
                    serve(&producer, || !stop.load(Ordering::Acquire));
                })
                .map_err(|error| KafkaError::ClientCreation(error.to_string()))?
        };
        Ok(Handle {
            producer,
            stop,
            poller: Mutex::new(Some(poller)),
        })
    }
}

/// Takes librdkafka's reports to the lanes.
struct Reports {
    core: Arc<Core>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.core.voice.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.core.wake(); // it may be the end of this client
        self.core.voice.error(error, reason);
    }
}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        use rdkafka::Message as _;
        let answer = match result {
            Ok(message) => Answer {
                message,
                error: None,
            },
            Err((error, message)) => Answer {
                message,
                error: Some(error),
            },
        };
        self.core
            .lane(answer.message.topic())
            .report(&self.core, &answer, opaque);
    }
}

/// A number as librdkafka carries it: without allocation.
fn opaque(number: u64) -> usize {
    const { assert!(usize::BITS == 64, "numbers are carried in a pointer") };
    number as usize
}
