//! Committed offsets, as the coordinator knows them.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::{Committed, GroupConfig};
use crate::reader::solo::Quiet;
use crate::support::consumer_config;

/// A client that only asks. The member's own connection to the coordinator answers nothing while the
/// group waits for somebody to join: Kafka takes one request after the other.
pub(super) fn asking(config: &GroupConfig) -> Result<BaseConsumer<Quiet>, KafkaError> {
    let mut settings = consumer_config(&config.connection, &config.extra);
    settings.set("group.id", &config.group_id);
    settings.create_with_context(Quiet::new(&config.group_id))
}

/// Asks the coordinator, once.
pub(crate) fn committed<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(&str, i32)],
    timeout: Duration,
) -> Result<Vec<Committed>, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    let list = consumer.committed_offsets(list, timeout)?;
    list.elements()
        .iter()
        .map(|found| {
            found.error()?;
            Ok(Committed {
                topic: Arc::from(found.topic()),
                partition: found.partition(),
                offset: match found.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                },
                metadata: found.metadata().to_owned(),
            })
        })
        .collect()
}
