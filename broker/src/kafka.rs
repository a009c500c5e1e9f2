//! The process's Kafka clients: the idempotent producer, the two transactional ones, and the
//! fetcher of bodies; and whom each confirmation is for.
//!
//! A shard's tokens carry the shard in their upper bits, so that no table stands between a
//! delivery report and the shard that waits for it.

use crate::shared::{Event, Shared};
use crate::telemetry::{RecordOutcome, TransactionOutcome};
use isthmus_core::shard::{Position, Token, Topic, Transact, Uplink, Write};
use isthmus_core::{Message, record};
use isthmus_kafka::fetch::Fetcher;
use isthmus_kafka::group::GroupHandle;
use isthmus_kafka::names::{self, Names};
use isthmus_kafka::producer::{Outcome, Producer, ProducerSettings, Refusal};
use isthmus_kafka::record::{OwnedRecord, Record};
use isthmus_kafka::transactor::{Change, Done, TopicOffset, Transactor, TransactorSettings};
use isthmus_mqtt::{MessageProperties, ReasonCode};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bits of a token below the shard's number.
const SHARD_SHIFT: u32 = 48;
/// Nobody waits for it.
const NOBODY: u64 = u64::MAX;
/// Bytes of bodies that one fetch yields.
const FETCH_BYTES: u64 = 4 << 20;

/// Topic names, ready for every record.
#[derive(Clone, Debug)]
pub struct Topics {
    names: Names,
    state: Arc<str>,
    routes: Arc<str>,
    inbox: Arc<str>,
    retained: Arc<str>,
    connect: Arc<str>,
    disconnect: Arc<str>,
    dead_letter: Arc<str>,
}

impl Topics {
    /// Of an instance.
    #[must_use]
    pub fn new(config: &isthmus_config::BrokerConfig) -> Self {
        let instance = &config.instance;
        let names = Names::new(
            &config.kafka.topic_prefix,
            &instance.namespace,
            &instance.name,
        );
        Self {
            state: names.state().into(),
            routes: names.routes().into(),
            inbox: names.inbox().into(),
            retained: names.retained().into(),
            connect: names.of(names::CONNECT).into(),
            disconnect: names.of(names::DISCONNECT).into(),
            dead_letter: names.of(names::DEAD_LETTER).into(),
            names,
        }
    }

    /// The names themselves.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// `<i>.inbox`
    #[must_use]
    pub fn inbox(&self) -> &Arc<str> {
        &self.inbox
    }

    fn of(&self, topic: Topic) -> &Arc<str> {
        match topic {
            Topic::State => &self.state,
            Topic::Routes => &self.routes,
            Topic::Inbox => &self.inbox,
            Topic::Connect => &self.connect,
            Topic::Disconnect => &self.disconnect,
        }
    }
}

/// See the module's description.
pub struct Kafka {
    topics: Topics,
    start: u64,
    node: String,
    shards: u64,
    producer: Producer,
    states: Transactor,
    exact: Transactor,
    fetcher: Fetcher,
    /// Changes that came back because the group was lost, until it is ours again.
    fenced: Arc<Mutex<Vec<Change>>>,
    shared_metrics: Arc<crate::telemetry::Metrics>,
}

impl Kafka {
    /// Starts the clients; none of them waits for Kafka here.
    ///
    /// # Errors
    /// When a client cannot be made.
    pub fn start(shared: &Arc<Shared>, group: &GroupHandle) -> anyhow::Result<Self> {
        let config = &shared.config;
        let topics = Topics::new(config);
        let bootstrap = &config.kafka.bootstrap_servers;
        let node = &config.node;
        let stem = topics.names.stem().to_owned();
        let max_record_bytes = largest_record(config.limits.max_packet_size);
        let producing = ProducerSettings {
            max_record_bytes,
            ..ProducerSettings::default()
        };
        let transacting = TransactorSettings {
            max_record_bytes,
            ..TransactorSettings::default()
        };
        let to = shared.clone();
        let producer = Producer::new(bootstrap, node, producing, move |token, outcome| {
            confirmed(&to, token, &outcome);
        })?;
        let to = shared.clone();
        let states = Transactor::new(
            bootstrap,
            &format!("{stem}.{node}.state"),
            group.clone(),
            transacting.clone(),
            move |token, done| committed(&to, token, &done),
        )?;
        let to = shared.clone();
        let fenced: Arc<Mutex<Vec<Change>>> = Arc::default();
        let kept = fenced.clone();
        let exact = Transactor::new(
            bootstrap,
            &format!("{stem}.{node}.exact"),
            group.clone(),
            transacting,
            move |token, done| stored_exactly(&to, &kept, token, done),
        )?;
        let to = shared.clone();
        let fetcher = Fetcher::new(bootstrap, node, &topics.inbox, &[], move |slot, bodies| {
            let slot = u16::try_from(slot).unwrap_or(u16::MAX);
            to.tell_slot(slot, Event::Bodies(slot, bodies));
        })?;
        Ok(Self {
            topics,
            start: shared.clock.start(),
            node: node.clone(),
            shards: shared.shards.len() as u64,
            producer,
            states,
            exact,
            fetcher,
            fenced,
            shared_metrics: shared.metrics.clone(),
        })
    }

    /// Both transactional ids are ours.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.states.ready() && self.exact.ready()
    }

    /// Bytes that wait for Kafka.
    #[must_use]
    pub fn backlog_bytes(&self) -> u64 {
        self.producer.backlog_bytes() + self.exact.backlog_bytes() + self.states.backlog_bytes()
    }

    /// Topics whose records wait because Kafka does not take them, with its words.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        let held = self.producer.held_topics().into_iter();
        held.map(|t| format!("{} ({} records): {}", t.topic, t.records, t.reason))
            .collect()
    }

    /// What gauges tell.
    pub fn measure(&self) {
        let as_gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let metrics = &self.shared_metrics;
        metrics
            .kafka_backlog_bytes
            .set(as_gauge(self.backlog_bytes()));
        let records = self.producer.backlog_records()
            + self.exact.backlog_changes()
            + self.states.backlog_changes();
        metrics.kafka_backlog_records.set(as_gauge(records));
    }

    /// Stores a record in a parent topic.
    pub fn uplink(&self, shard: u16, token: Token, uplink: &Uplink) {
        let headers = self.uplink_headers(shard, uplink);
        let headers: Vec<(&str, Option<&[u8]>)> = headers
            .iter()
            .map(|(name, value)| (&**name, Some(&**value)))
            .collect();
        self.producer.produce(
            shard_token(shard, token),
            &Record {
                topic: &uplink.parent.kafka_topic,
                partition: None,
                key: Some(uplink.client_id.as_bytes()),
                value: Some(&uplink.envelope),
                headers: &headers,
                timestamp: i64::try_from(uplink.ts).ok(),
            },
        );
    }

    /// Writes a record of an internal topic.
    pub fn write(&self, shard: u16, token: Token, write: &Write) {
        self.producer.produce(
            shard_token(shard, token),
            &Record {
                topic: self.topics.of(write.topic),
                partition: write.slot.map(i32::from),
                key: write.key.as_deref(),
                value: write.value.as_deref(),
                headers: &[],
                timestamp: None,
            },
        );
    }

    /// Writes a retained message, or that there is none; `seq` tells our own record.
    pub fn retain(&self, shard: u16, token: Option<Token>, seq: u64, message: &Message) {
        let value = (!message.payload().is_empty())
            .then(|| record::encode(&record::MessageRecord::from(message)));
        let (start, seq) = (self.start.to_be_bytes(), seq.to_be_bytes());
        let token = token.map_or(NOBODY, |token| shard_token(shard, token));
        self.producer.produce(
            token,
            &Record {
                topic: &self.topics.retained,
                partition: None,
                key: Some(message.topic().as_bytes()),
                value: value.as_deref(),
                headers: &[
                    ("node", Some(self.node.as_bytes())),
                    ("start", Some(&start)),
                    ("seq", Some(&seq)),
                ],
                timestamp: None,
            },
        );
    }

    /// Whether a retained record is ours, and its number.
    #[must_use]
    pub fn own_retained(&self, headers: &[(String, Option<Vec<u8>>)]) -> Option<u64> {
        let find = |name: &str| {
            headers
                .iter()
                .find(|(n, _)| n == name)
                .and_then(|(_, v)| v.as_deref())
        };
        let ours = find("node") == Some(self.node.as_bytes())
            && find("start") == Some(&self.start.to_be_bytes());
        let seq = find("seq")?.try_into().ok()?;
        ours.then(|| u64::from_be_bytes(seq))
    }

    /// Copies a bad downlink record to the dead letter; `done` is called with the token.
    pub fn dead_letter(&self, token: u64, record: &OwnedRecord) {
        let headers: Vec<(&str, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(name, value)| (&**name, value.as_deref()))
            .collect();
        self.producer.produce(
            token,
            &Record {
                topic: &self.topics.dead_letter,
                partition: None,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
                timestamp: record.timestamp,
            },
        );
    }

    /// All of it or nothing, once: QoS 2 and ordered parents.
    pub fn transact(&self, shard: u16, transact: Transact) {
        let Transact {
            token,
            slot,
            uplinks,
            writes,
        } = transact;
        let uplinks = uplinks.into_iter().map(|uplink| OwnedRecord {
            topic: uplink.parent.kafka_topic.clone(),
            partition: None,
            key: Some(uplink.client_id.as_bytes().to_vec()),
            headers: self
                .uplink_headers(shard, &uplink)
                .into_iter()
                .map(|(n, v)| (n, Some(v)))
                .collect(),
            timestamp: i64::try_from(uplink.ts).ok(),
            value: Some(uplink.envelope),
        });
        let records = uplinks
            .chain(writes.iter().map(|write| self.owned(write)))
            .collect();
        // The generation is proved by an offset of its own: the inbox's belongs to the state.
        let proof = TopicOffset {
            topic: self.topics.routes.clone(),
            partition: i32::from(slot),
            offset: 0,
            owned_as: Some(self.topics.inbox.clone()),
        };
        self.exact.submit(Change {
            token: shard_token(shard, token),
            records,
            offsets: vec![proof],
        });
    }

    /// The state of slots with the positions that it belongs to.
    pub fn commit(&self, shard: u16, id: u64, positions: &[Position], writes: &[Write]) {
        let offsets = positions.iter().map(|position| TopicOffset {
            topic: self.topics.inbox.clone(),
            partition: i32::from(position.slot),
            offset: position.next_offset,
            owned_as: None,
        });
        let change = Change {
            token: shard_token(shard, id),
            records: writes.iter().map(|write| self.owned(write)).collect(),
            offsets: offsets.collect(),
        };
        self.states.submit(change);
    }

    /// What the lost group refused goes again.
    pub fn resubmit(&self) {
        for change in std::mem::take(&mut *self.fenced.lock()) {
            self.exact.submit(change);
        }
    }

    /// Bodies of a slot's inbox.
    pub fn fetch(&self, slot: u16, offsets: Vec<i64>) {
        self.fetcher
            .fetch(u64::from(slot), i32::from(slot), offsets, FETCH_BYTES);
    }

    /// Waits until what was accepted is stored, or the deadline.
    pub fn drain(&self, deadline: Instant) {
        while self.backlog_bytes() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn owned(&self, write: &Write) -> OwnedRecord {
        OwnedRecord {
            topic: self.topics.of(write.topic).to_string(),
            partition: write.slot.map(i32::from),
            key: write.key.clone(),
            value: write.value.clone(),
            headers: write
                .headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), Some(v.clone().into_bytes())))
                .collect(),
            timestamp: None,
        }
    }

    /// Ruling 4.
    fn uplink_headers(&self, shard: u16, uplink: &Uplink) -> Vec<(String, Vec<u8>)> {
        let message = &uplink.message;
        let mut headers = Vec::with_capacity(6);
        let mut add = |name: &str, value: &[u8]| headers.push((name.to_owned(), value.to_vec()));
        if uplink.base64 {
            add("payload-encoding", b"base64");
        }
        add("mqttTopic", message.topic().as_bytes());
        add("qoslevel", (message.qos as u8).to_string().as_bytes());
        add("retain", if message.retain { b"true" } else { b"false" });
        if let Ok(properties) = MessageProperties::from_forwarded(message.forwarded()) {
            if let Some(value) = properties.content_type {
                add("contentType", value.as_bytes());
            }
            if let Some(value) = properties.response_topic {
                add("responseTopic", value.as_bytes());
            }
            if let Some(value) = properties.correlation_data {
                add("correlationData", value);
            }
            for (name, value) in &properties.user_properties {
                add(&format!("user.{name}"), value.as_bytes());
            }
        }
        add(
            "start",
            format!("{}-{:x}", self.node, self.start).as_bytes(),
        );
        // Each shard counts for itself; together the numbers are the process's, none twice.
        let seq = uplink.seq * self.shards + u64::from(shard);
        add("seq", seq.to_string().as_bytes());
        headers
    }
}

/// The envelope of the largest packet: JSON may be six times the payload (ruling 7).
fn largest_record(max_packet_size: u32) -> u32 {
    /// What librdkafka takes at most.
    const MOST: u32 = 1_000_000_000;
    let envelope = max_packet_size.saturating_mul(6).saturating_add(128 * 1024);
    envelope.clamp(ProducerSettings::default().max_record_bytes, MOST)
}

fn shard_token(shard: u16, token: Token) -> u64 {
    u64::from(shard) << SHARD_SHIFT | token
}

fn split(token: u64) -> (usize, Token) {
    let shard = usize::try_from(token >> SHARD_SHIFT).unwrap_or(usize::MAX);
    (shard, token & ((1 << SHARD_SHIFT) - 1))
}

/// Tokens of the dead letter: no shard has this number.
#[must_use]
pub fn dead_letter_token(n: u64) -> u64 {
    0xfffe << SHARD_SHIFT | n
}

fn confirmed(shared: &Arc<Shared>, token: u64, outcome: &Outcome) {
    let (kind, result) = match outcome {
        Outcome::Stored { .. } => (RecordOutcome::Stored, Ok(())),
        Outcome::Refused(Refusal::TooLarge) => {
            (RecordOutcome::Refused, Err(ReasonCode::QUOTA_EXCEEDED))
        }
        Outcome::Refused(Refusal::Other(error)) => {
            tracing::warn!(%error, "Kafka refused a record for good");
            (
                RecordOutcome::Refused,
                Err(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR),
            )
        }
    };
    shared.metrics.kafka_records.inc(kind);
    if token == NOBODY {
        return;
    }
    if token >= dead_letter_token(0) {
        return crate::bridge::dead_lettered(shared, token - dead_letter_token(0));
    }
    let (shard, token) = split(token);
    shared.tell(shard, Event::Confirmed(token, result));
}

fn committed(shared: &Arc<Shared>, token: u64, done: &Done) {
    let (shard, id) = split(token);
    match done {
        Done::Committed => {
            shared
                .metrics
                .transactions
                .inc(TransactionOutcome::Committed);
            shared.tell(shard, Event::Committed(id));
        }
        Done::Fenced(_) => {
            shared.metrics.transactions.inc(TransactionOutcome::Fenced);
            shared.tell(shard, Event::Fenced(id));
        }
        Done::Refused { error, .. } => {
            // Our own topics take whatever we write, unless someone has changed them.
            tracing::error!(%error, "Kafka refuses the changelog: check the internal topics' limits and rights");
            shared
                .readiness
                .set_not_ready("state", format!("Kafka refuses the changelog: {error}"));
            shared.tell(shard, Event::Fenced(id));
        }
    }
}

fn stored_exactly(shared: &Arc<Shared>, fenced: &Mutex<Vec<Change>>, token: u64, done: Done) {
    let (shard, token) = split(token);
    let outcome = match done {
        Done::Committed => {
            shared
                .metrics
                .transactions
                .inc(TransactionOutcome::Committed);
            Ok(())
        }
        Done::Refused { error, too_large } => {
            tracing::warn!(%error, "Kafka refused a record for good");
            Err(if too_large {
                ReasonCode::QUOTA_EXCEEDED
            } else {
                ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR
            })
        }
        Done::Fenced(change) => {
            shared.metrics.transactions.inc(TransactionOutcome::Fenced);
            fenced.lock().push(change);
            return;
        }
    };
    shared.tell(shard, Event::Confirmed(token, outcome));
}
