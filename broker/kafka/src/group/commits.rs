//! Offsets committed outside of transactions: one request for all that moved in a while, since each
//! is a replicated write at the coordinator.
//!
//! Nothing is committed any more about a partition whose assignment has ended, and what is handed in
//! and waited for is never followed by something older.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::TopicPartition;
use crate::support::lock;

/// Between two requests.
pub(super) const EVERY: Duration = Duration::from_millis(200);

/// The offset of a partition, by the number of the assignment that it is ours by.
type Moved = (i64, u64);

#[derive(Debug, Default)]
pub(super) struct Commits {
    waiting: Mutex<HashMap<TopicPartition, Moved>>,
}

impl Commits {
    /// A partition has moved to this offset.
    pub(super) fn add(&self, partition: TopicPartition, moved: Moved) {
        lock(&self.waiting).insert(partition, moved);
    }

    /// Hands in these offsets and waits for Kafka's answer.
    pub(super) fn now<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        offsets: &[(&str, i32, i64)],
    ) -> Result<(), KafkaError> {
        lock(&self.waiting).retain(|(topic, partition), _| {
            let mut named = offsets.iter();
            !named.any(|(of, number, _)| *of == &**topic && number == partition)
        });
        consumer.commit(&list(offsets.iter().copied())?, CommitMode::Sync)
    }

    /// Hands in what waits and is still ours by the same assignment.
    pub(super) fn hand_in<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        term: impl Fn(&str, i32) -> Option<u64>,
    ) -> Result<(), KafkaError> {
        // Kept locked, so that nothing overtakes.
        let mut waiting = lock(&self.waiting);
        waiting.retain(|(topic, partition), (_, by)| term(topic, *partition) == Some(*by));
        if waiting.is_empty() {
            return Ok(());
        }
        let moved = waiting.drain();
        let moved: Vec<_> = moved.map(|(of, (offset, _))| (of, offset)).collect();
        let moved = moved
            .iter()
            .map(|((topic, n), offset)| (&**topic, *n, *offset));
        consumer.commit(&list(moved)?, CommitMode::Async)
    }
}

fn list<'a>(
    offsets: impl IntoIterator<Item = (&'a str, i32, i64)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}
