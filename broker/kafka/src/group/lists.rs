//! Lists of partitions as librdkafka wants them.

use rdkafka::TopicPartitionList;

use super::TopicPartition;

pub(super) fn list<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    list
}

/// The elements of `list` that are not among `partitions`.
pub(super) fn others(
    list: &TopicPartitionList,
    partitions: &[TopicPartition],
) -> TopicPartitionList {
    let mut rest = TopicPartitionList::new();
    for element in list.elements() {
        let known = |(topic, partition): &TopicPartition| {
            **topic == *element.topic() && *partition == element.partition()
        };
        if !partitions.iter().any(known) {
            rest.add_partition(element.topic(), element.partition());
        }
    }
    rest
}
