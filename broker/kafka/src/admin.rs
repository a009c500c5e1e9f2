//! Kafka administration: blocking calls, each bounded by the timeout of its [`Admin`].
//!
//! For threads that may block; never to be called on an asynchronous runtime's own threads.

mod block;
mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use isthmus_kafka_ffi as ffi;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, ConfigSource, OwnedResourceSpecifier,
    ResourceSpecifier,
};
use rdkafka::types::RDKafkaErrorCode;

pub use error::AdminError;
pub use isthmus_kafka_ffi::{ConfigOp, NewTopic};

use crate::client::{Connection, base_config};
use crate::support::Voice;

/// How long a call may take unless [`Admin::with_timeout`] says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two questions for the same thing.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// One answer for each topic asked for.
pub type PerTopic = BTreeMap<String, Result<(), AdminError>>;

/// What is known of each topic asked for; `None` where there is no such topic.
pub(crate) type States = BTreeMap<String, Result<Option<TopicState>, AdminError>>;

/// The cluster as one of its brokers sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The id that the cluster was formatted with.
    pub cluster_id: String,
    /// Brokers that are up.
    pub brokers: usize,
}

/// A topic as Kafka has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// The topic's UUID as Kafka's own tools print it.
    pub topic_id: String,
    /// Number of partitions.
    pub partitions: i32,
    /// The least number of replicas that a partition has.
    pub replication_factor: i32,
    /// The values in effect, defaults included.
    pub config: BTreeMap<String, String>,
    /// The names that the topic itself sets.
    pub overridden: BTreeSet<String>,
}

impl TopicState {
    /// The largest record batch that the topic takes, by Kafka's default 1 MiB + 12 bytes.
    #[must_use]
    pub fn max_message_bytes(&self) -> u32 {
        self.config
            .get("max.message.bytes")
            .and_then(|v| v.parse().ok())
            .unwrap_or(1_048_588)
    }
}

/// A client of Kafka's admin protocol. Cheap to keep, and it finds Kafka again by itself.
#[derive(Debug)]
pub struct Admin {
    client: AdminClient<Voice>,
    timeout: Duration,
}

impl Admin {
    /// Does not connect yet.
    ///
    /// # Errors
    /// [`AdminError::Configuration`].
    pub fn new(connection: impl Into<Connection>) -> Result<Self, AdminError> {
        Self::from_config(&base_config(connection))
    }

    /// As [`Self::new`] with more settings on top of [`base_config`].
    ///
    /// # Errors
    /// [`AdminError::Configuration`].
    pub fn from_config(config: &ClientConfig) -> Result<Self, AdminError> {
        let client = config
            .create_with_context(Voice::new("admin"))
            .map_err(|e| AdminError::Configuration(e.to_string()))?;
        Ok(Self {
            client,
            timeout: DEFAULT_TIMEOUT,
        })
    }

    /// Bounds every call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The bound of every call.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Which cluster this is, and how many brokers are up.
    ///
    /// # Errors
    /// [`AdminError::Unavailable`] after the timeout, or Kafka's refusal.
    pub fn cluster(&self) -> Result<Cluster, AdminError> {
        self.cluster_by(Instant::now() + self.timeout)
    }

    /// The state of each topic, `None` where there is no such topic.
    ///
    /// # Errors
    /// [`AdminError::Unavailable`] after the timeout, or Kafka's refusal.
    pub fn describe(
        &self,
        names: &[&str],
    ) -> Result<BTreeMap<String, Option<TopicState>>, AdminError> {
        let states = self.describe_by(names, Instant::now() + self.timeout)?;
        states
            .into_iter()
            .map(|(name, state)| state.map(|state| (name, state)))
            .collect()
    }

    /// Makes topics; each is made or refused on its own.
    ///
    /// # Errors
    /// Where the call as a whole fails.
    pub fn create(&self, topics: &[NewTopic]) -> Result<PerTopic, AdminError> {
        self.create_by(topics, Instant::now() + self.timeout)
    }

    /// Raises numbers of partitions to the given totals.
    ///
    /// # Errors
    /// Where the call as a whole fails.
    pub fn add_partitions(&self, totals: &[(&str, i32)]) -> Result<PerTopic, AdminError> {
        self.add_partitions_by(totals, Instant::now() + self.timeout)
    }

    /// Changes the named configs and no other; those of one topic all or none.
    ///
    /// # Errors
    /// Where the call as a whole fails.
    pub fn set_configs(&self, changes: &[(&str, &[ConfigOp])]) -> Result<PerTopic, AdminError> {
        self.set_configs_by(changes, Instant::now() + self.timeout)
    }

    /// Deletes topics and all that is in them. An absent topic counts as deleted.
    ///
    /// # Errors
    /// Where the call as a whole fails.
    pub fn delete(&self, names: &[&str]) -> Result<PerTopic, AdminError> {
        if names.is_empty() {
            return Ok(PerTopic::new());
        }
        let options = AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout));
        let answers = block::on(self.client.delete_topics(names, &options), self.timeout)??;
        Ok(answers
            .into_iter()
            .map(|answer| match answer {
                Ok(name)
                | Err((
                    name,
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                )) => (name, Ok(())),
                Err((name, code)) => (name, Err(AdminError::from_code(code, code.to_string()))),
            })
            .collect())
    }

    /// The offset after the last record, for each partition of a topic.
    ///
    /// # Errors
    /// [`AdminError::Unavailable`] after the timeout, or Kafka's refusal.
    pub fn end_offsets(&self, topic: &str) -> Result<BTreeMap<i32, i64>, AdminError> {
        let deadline = Instant::now() + self.timeout;
        let client = self.client.inner();
        let metadata = client.fetch_metadata(Some(topic), left(deadline)?)?;
        let mut offsets = BTreeMap::new();
        for found in metadata.topics().iter().filter(|t| t.name() == topic) {
            if let Some(code) = found.error() {
                return Err(AdminError::from_code(
                    code.into(),
                    format!("{topic}: no such topic"),
                ));
            }
            for partition in found.partitions() {
                let (_, end) = client.fetch_watermarks(topic, partition.id(), left(deadline)?)?;
                offsets.insert(partition.id(), end);
            }
        }
        Ok(offsets)
    }

    pub(crate) fn cluster_by(&self, deadline: Instant) -> Result<Cluster, AdminError> {
        let found = ffi::describe_cluster(self.client.inner(), left(deadline)?)?;
        Ok(Cluster {
            cluster_id: found.cluster_id,
            brokers: found.brokers,
        })
    }

    /// As [`Self::describe`], with a topic's own fault beside the others' states.
    pub(crate) fn describe_by(
        &self,
        names: &[&str],
        deadline: Instant,
    ) -> Result<States, AdminError> {
        let unique: BTreeSet<&str> = names.iter().copied().collect();
        let unique: Vec<&str> = unique.into_iter().collect();
        let found = ffi::describe_topics(self.client.inner(), &unique, left(deadline)?)?;
        let mut states: States = found
            .into_iter()
            .map(|(name, found)| match found {
                Ok(found) => (name, Ok(Some(without_config(&found)))),
                Err(fault) if is_absent(fault.code) => (name, Ok(None)),
                Err(fault) => (name, Err(fault.into())),
            })
            .collect();
        self.read_configs(&mut states, deadline)?;
        Ok(states)
    }

    /// Fills in the configs. A topic that another broker does not know, or no longer knows, is
    /// taken for absent; whoever has just made it asks again.
    fn read_configs(&self, states: &mut States, deadline: Instant) -> Result<(), AdminError> {
        let present: Vec<String> = states
            .iter()
            .filter(|(_, state)| matches!(state, Ok(Some(_))))
            .map(|(name, _)| name.clone())
            .collect();
        if present.is_empty() {
            return Ok(());
        }
        let wanted: Vec<_> = present
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let wait = left(deadline)?;
        let options = AdminOptions::new().request_timeout(Some(wait));
        let answers = block::on(self.client.describe_configs(&wanted, &options), wait)??;
        // librdkafka puts the answers in the order of the question; a refused one has no name.
        for (name, answer) in present.into_iter().zip(answers) {
            match answer {
                Ok(resource)
                    if resource.specifier == OwnedResourceSpecifier::Topic(name.clone()) =>
                {
                    if let Some(Ok(Some(state))) = states.get_mut(&name) {
                        fill(state, resource);
                    }
                }
                Ok(_) => {
                    return Err(AdminError::Unavailable("answers out of order".to_owned()));
                }
                Err(code) if is_absent(code) => {
                    states.insert(name, Ok(None));
                }
                Err(code) => {
                    let fault = AdminError::from_code(code, format!("{name}: {code}"));
                    states.insert(name, Err(fault));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn create_by(
        &self,
        topics: &[NewTopic],
        deadline: Instant,
    ) -> Result<PerTopic, AdminError> {
        Ok(per_topic(ffi::create_topics(
            self.client.inner(),
            topics,
            left(deadline)?,
        )?))
    }

    pub(crate) fn add_partitions_by(
        &self,
        totals: &[(&str, i32)],
        deadline: Instant,
    ) -> Result<PerTopic, AdminError> {
        Ok(per_topic(ffi::create_partitions(
            self.client.inner(),
            totals,
            left(deadline)?,
        )?))
    }

    pub(crate) fn set_configs_by(
        &self,
        changes: &[(&str, &[ConfigOp])],
        deadline: Instant,
    ) -> Result<PerTopic, AdminError> {
        let client = self.client.inner();
        Ok(per_topic(ffi::incremental_alter_configs(
            client,
            changes,
            left(deadline)?,
        )?))
    }
}

fn without_config(found: &ffi::TopicDescription) -> TopicState {
    TopicState {
        topic_id: URL_SAFE_NO_PAD.encode(found.topic_id),
        partitions: i32::try_from(found.partitions).unwrap_or(i32::MAX),
        replication_factor: i32::try_from(found.replication_factor).unwrap_or(i32::MAX),
        config: BTreeMap::new(),
        overridden: BTreeSet::new(),
    }
}

fn fill(state: &mut TopicState, resource: ConfigResource) {
    for entry in resource.entries {
        if entry.source == ConfigSource::DynamicTopic {
            state.overridden.insert(entry.name.clone());
        }
        if let Some(value) = entry.value {
            state.config.insert(entry.name, value);
        }
    }
}

fn per_topic(answers: ffi::PerTopic<()>) -> PerTopic {
    answers
        .into_iter()
        .map(|(name, answer)| (name, answer.map_err(AdminError::from)))
        .collect()
}

fn is_absent(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicId
            // A name that Kafka would not take is the name of no topic.
            | RDKafkaErrorCode::InvalidTopic
    )
}

/// What is left until a deadline.
///
/// # Errors
/// [`AdminError::Unavailable`] when nothing is.
pub(crate) fn left(deadline: Instant) -> Result<Duration, AdminError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(AdminError::Unavailable("no answer in time".to_owned()));
    }
    Ok(left)
}
