//! Kafka's side of a test: what cloud applications read and write.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use crate::SOON;

/// The settings of every Kafka client of the tests.
#[must_use]
pub fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.message.max.bytes", "16777216")
        .set("message.max.bytes", "16777216")
        .set("topic.metadata.propagation.max.ms", "2000")
        .set("reconnect.backoff.max.ms", "500")
        .set("log_level", "0");
    config
}

/// A record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Kafka's timestamp, milliseconds.
    pub timestamp: i64,
    /// Key, if any.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is null.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// The key as text.
    #[must_use]
    pub fn key(&self) -> &str {
        std::str::from_utf8(self.key.as_deref().expect("a key")).expect("UTF-8 key")
    }

    /// The value as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().expect("a value")).expect("UTF-8 value")
    }

    /// The value as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.text()).expect("JSON value")
    }

    /// The last header of this exact name, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().rev().find(|(header, _)| header == name);
        found
            .and_then(|(_, value)| value.as_deref())
            .map(|v| std::str::from_utf8(v).expect("UTF-8 header"))
    }

    /// Every header of this exact name, in order, as text.
    #[must_use]
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(header, _)| header == name);
        named
            .filter_map(|(_, value)| std::str::from_utf8(value.as_deref()?).ok())
            .collect()
    }
}

/// Follows one topic, all partitions, committed records only.
pub struct Tail {
    topic: String,
    consumer: BaseConsumer,
    read: VecDeque<Record>,
}

impl Tail {
    /// From the oldest record on.
    #[must_use]
    pub fn from_start(bootstrap: &str, topic: &str) -> Self {
        Self::open(bootstrap, topic, false)
    }

    /// From the records to come on.
    #[must_use]
    pub fn from_now(bootstrap: &str, topic: &str) -> Self {
        Self::open(bootstrap, topic, true)
    }

    fn open(bootstrap: &str, topic: &str, now: bool) -> Self {
        let consumer: BaseConsumer = config(bootstrap).create().expect("consumer");
        let metadata = consumer
            .fetch_metadata(Some(topic), SOON)
            .expect("metadata");
        let partitions = metadata.topics()[0].partitions();
        assert!(!partitions.is_empty(), "Kafka has no topic {topic}");
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            let (low, high) = consumer
                .fetch_watermarks(topic, partition.id(), SOON)
                .expect("offsets");
            let from = Offset::Offset(if now { high } else { low });
            assignment
                .add_partition_offset(topic, partition.id(), from)
                .expect("offset");
        }
        consumer.assign(&assignment).expect("assign");
        Self {
            topic: topic.to_owned(),
            consumer,
            read: VecDeque::new(),
        }
    }

    /// The next record, if there is one within the time.
    pub fn poll(&mut self, within: Duration) -> Option<Record> {
        let deadline = Instant::now() + within;
        loop {
            match self.consumer.poll(Duration::from_millis(20)) {
                Some(Ok(message)) => return Some(own(&message)),
                // Kafka is away in some tests; the deadline decides.
                Some(Err(_)) | None if Instant::now() >= deadline => return None,
                Some(Err(_)) | None => {}
            }
        }
    }

    /// The first record, of those not yet taken, that fits; the others stay.
    #[track_caller]
    pub fn find(&mut self, what: &str, mut fits: impl FnMut(&Record) -> bool) -> Record {
        if let Some(at) = self.read.iter().position(&mut fits) {
            return self.read.remove(at).expect("position");
        }
        let deadline = Instant::now() + SOON;
        while let Some(record) = self.poll(deadline.saturating_duration_since(Instant::now())) {
            if fits(&record) {
                return record;
            }
            self.read.push_back(record);
        }
        panic!("no record in {} within {SOON:?}: {what}", self.topic);
    }

    /// The next record with this key.
    #[track_caller]
    pub fn keyed(&mut self, key: &str) -> Record {
        self.find(&format!("key {key}"), |record| {
            record.key.as_deref() == Some(key.as_bytes())
        })
    }

    /// All records with this key up to the one that `last` accepts, in order, that one included.
    #[track_caller]
    pub fn keyed_until(&mut self, key: &str, last: impl Fn(&Record) -> bool) -> Vec<Record> {
        let mut found = Vec::new();
        loop {
            let record = self.keyed(key);
            let done = last(&record);
            found.push(record);
            if done {
                return found;
            }
        }
    }
}

fn own(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        let each = headers
            .iter()
            .map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)));
        each.collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.unwrap_or_default(),
    }
}

/// A record to be produced.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    topic: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Outgoing {
    /// A record with this value.
    #[must_use]
    pub fn new(topic: &str, value: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.to_owned(),
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// The value is null.
    #[must_use]
    pub fn null(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            ..Self::default()
        }
    }

    /// With a key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), Some(value.as_ref().to_vec())));
        self
    }

    /// With one more header, whose value is null.
    #[must_use]
    pub fn null_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }

    /// Produces it and waits for Kafka's acknowledgement; gives partition and offset.
    pub fn send(self, bootstrap: &str) -> (i32, i64) {
        let producer = Producer::new(bootstrap);
        producer.send(&self);
        producer.flush()[0]
    }
}

/// Keeps what Kafka answered.
#[derive(Default)]
struct Answers(std::sync::Mutex<Vec<(i32, i64)>>);

impl rdkafka::ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let message = result.as_ref().expect("Kafka takes the record");
        self.0
            .lock()
            .unwrap()
            .push((message.partition(), message.offset()));
    }
}

/// A producer for many records.
pub struct Producer(BaseProducer<Answers>);

impl Producer {
    /// A producer.
    #[must_use]
    pub fn new(bootstrap: &str) -> Self {
        let mut config = config(bootstrap);
        config.remove("group.id");
        Self(
            config
                .set("linger.ms", "0")
                .create_with_context(Answers::default())
                .expect("producer"),
        )
    }

    /// Hands a record over; [`Self::flush`] waits.
    pub fn send(&self, record: &Outgoing) {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: value.as_deref(),
            });
        }
        let mut out: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&record.topic).headers(headers);
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        self.0
            .send(out)
            .map_err(|(error, _)| error)
            .expect("producer takes the record");
    }

    /// Waits until Kafka has acknowledged all; partitions and offsets in the order of the answers.
    #[must_use]
    pub fn flush(&self) -> Vec<(i32, i64)> {
        self.0.flush(SOON).expect("Kafka acknowledges");
        std::mem::take(&mut self.0.context().0.lock().unwrap())
    }
}

/// Waits for one of rdkafka's few asynchronous answers.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
