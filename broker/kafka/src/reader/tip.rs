//! How far a topic goes now.

use std::collections::BTreeMap;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use super::ReaderConfig;
use super::solo::{Ends, Quiet};

/// Asks how far a topic goes, on connections of its own.
pub struct Tip {
    client: BaseConsumer<Quiet>,
    topic: String,
}

impl std::fmt::Debug for Tip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tip").field("topic", &self.topic).finish()
    }
}

impl Tip {
    /// Connects lazily.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(config: &ReaderConfig) -> Result<Self, KafkaError> {
        let client = Ends::client(
            &config.connection,
            &config.name,
            &config.extra,
            "read_committed",
        )?;
        Ok(Self {
            client,
            topic: config.topic.clone(),
        })
    }

    /// The offsets behind the last committed records: one question for all partitions of a node.
    ///
    /// # Errors
    /// When Kafka did not say within two seconds.
    pub fn ask(
        &self,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let partitions: Vec<i32> = partitions.into_iter().collect();
        Ends::ask(&self.client, &self.topic, &partitions)
    }
}
