//! The process's Kafka clients: the idempotent producer, the two transactional ones, and the
//! fetcher of bodies; and whom each confirmation is for.
//!
//! A shard's tokens carry the shard in their upper bits, so that no table stands between a
//! delivery report and the shard that waits for it.

mod answers;
mod headers;
mod retained;
mod topics;
mod writes;

use crate::shared::{Event, Shared};
use answers::{committed, confirmed, stored_exactly};
use isthmus_kafka::fetch::Fetcher;
use isthmus_kafka::group::GroupHandle;
use isthmus_kafka::producer::{Producer, ProducerSettings};
use isthmus_kafka::transactor::{Transactor, TransactorSettings, end_open};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use answers::dead_letter_token;
pub use retained::word;
pub use topics::Topics;

/// The ids of a pod's two transactors.
#[must_use]
pub fn transactional_ids(topics: &Topics, node: &str) -> [String; 2] {
    let stem = topics.names.stem();
    ["state", "exact"].map(|name| format!("{stem}.{node}.{name}"))
}

/// Ends what this node's last process left open, so that the caches, which read committed records,
/// need not wait until that times out. Where Kafka is away it is left to the transactors.
pub async fn end_predecessor(shared: &Arc<Shared>) {
    let topics = Topics::new(&shared.config);
    let ends = transactional_ids(&topics, &shared.config.node).map(|id| {
        let connection = shared.connection.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = end_open(&connection, &id) {
                tracing::debug!(%error, id, "what may be open is ended later");
            }
        })
    });
    for end in ends {
        let _ = end.await;
    }
}

/// Bytes of bodies that one fetch yields.
const FETCH_BYTES: u64 = 4 << 20;

/// Which process of the instance writes.
#[derive(Debug)]
struct Process {
    start: u64,
    /// Header `start`: node and start.
    start_header: String,
    node: String,
    shards: u64,
}

/// See the module's description.
pub struct Kafka {
    topics: Topics,
    process: Process,
    producer: Producer,
    states: Transactor,
    exact: Transactor,
    fetcher: Fetcher,
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
        let connection = &shared.connection;
        let node = &config.node;
        let [state_id, exact_id] = transactional_ids(&topics, node);
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
        let producer = Producer::new(connection, node, producing, move |token, outcome| {
            confirmed(&to, token, &outcome);
        })?;
        let to = shared.clone();
        let states = Transactor::new(
            connection,
            &state_id,
            group.clone(),
            transacting.clone(),
            move |token, done| committed(&to, token, &done),
        )?;
        let to = shared.clone();
        let holding = TransactorSettings {
            // While the group is lost they wait: a device's messages stay in order.
            hold: true,
            place: "store",
            ..transacting
        };
        let exact = Transactor::new(
            connection,
            &exact_id,
            group.clone(),
            holding,
            move |token, done| stored_exactly(&to, token, done),
        )?;
        let to = shared.clone();
        let fetcher = Fetcher::new(
            connection,
            node,
            topics.inbox(),
            &[],
            move |slot, bodies| {
                let slot = u16::try_from(slot).unwrap_or(u16::MAX);
                to.tell_slot(slot, Event::Bodies(slot, bodies));
            },
        )?;
        Ok(Self {
            topics,
            process: Process {
                start: shared.clock.start(),
                start_header: format!("{node}-{:x}", shared.clock.start()),
                node: node.clone(),
                shards: shared.shards.len() as u64,
            },
            producer,
            states,
            exact,
            fetcher,
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

    /// Why transactions do not go on though something waits for them; logged as well.
    #[must_use]
    pub fn stalled(&self) -> Option<String> {
        let both = [("sessions", &self.states), ("QoS 2", &self.exact)];
        let stalled: Vec<String> = both
            .iter()
            .filter_map(|(whose, of)| Some(format!("those of {whose} are {}", of.stalled()?)))
            .collect();
        (!stalled.is_empty()).then(|| format!("transactions do not go on: {}", stalled.join("; ")))
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

    /// A slot has been given away: nothing that was submitted for it before is written any more.
    pub fn forget(&self, slot: u16) {
        for transactor in [&self.states, &self.exact] {
            transactor.forget(self.topics.inbox(), i32::from(slot));
        }
    }

    /// Waits until nothing of the slot can be committed any more that was submitted before it was
    /// withdrawn; false when that took until `deadline`.
    #[must_use]
    pub fn settled(&self, slot: u16, deadline: Instant) -> bool {
        let (inbox, partition) = (self.topics.inbox(), i32::from(slot));
        let transactors = [&self.states, &self.exact];
        let mut all = transactors.iter();
        all.all(|transactor| transactor.settled(inbox, partition, deadline))
    }

    /// Whether what stands beside a committed offset was written by this process.
    #[must_use]
    pub fn has_marked(&self, metadata: &str) -> bool {
        [&self.states, &self.exact]
            .iter()
            .any(|transactor| metadata.starts_with(transactor.mark()))
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
}

/// The envelope of the largest packet: JSON may be six times the payload (ruling 7).
fn largest_record(max_packet_size: u32) -> u32 {
    /// What librdkafka takes at most.
    const MOST: u32 = 1_000_000_000;
    let envelope = max_packet_size.saturating_mul(6).saturating_add(128 * 1024);
    envelope.clamp(ProducerSettings::default().max_record_bytes, MOST)
}
