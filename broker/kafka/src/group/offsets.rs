//! Committed offsets, as the coordinator knows them.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::Committed;

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
