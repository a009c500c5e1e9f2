//! Committed offsets, as the coordinator knows them.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::{Committed, GroupConfig};
use crate::reader::solo::Quiet;
use crate::support::{consumer_config, lock};

/// How long a call to the coordinator may take before it is repeated.
const CALL: Duration = Duration::from_secs(2);
/// How long to wait before a failed call is repeated.
const AGAIN: Duration = Duration::from_millis(20);

/// A client that only asks, kept once it was answered: making one takes longer than the answer. The
/// member's own connection to the coordinator answers nothing while the group waits for somebody to
/// join: Kafka takes one request after the other.
#[derive(Default)]
pub(super) struct Asking {
    kept: Mutex<Option<BaseConsumer<Quiet>>>,
}

impl Asking {
    /// The committed offsets, after every open transaction on them has ended.
    pub(super) fn committed(
        &self,
        config: &GroupConfig,
        partitions: &[(&str, i32)],
        deadline: Instant,
    ) -> Result<Vec<Committed>, KafkaError> {
        let kept = lock(&self.kept).take();
        let client = kept.map_or_else(|| asking(config), Ok)?;
        let answer = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = committed(&client, partitions, left.min(CALL));
            if answer.is_ok() || Instant::now() + AGAIN >= deadline {
                break answer;
            }
            thread::sleep(AGAIN);
        };
        let mut kept = lock(&self.kept);
        if answer.is_ok() && kept.is_none() {
            *kept = Some(client);
        } else {
            // Its end takes a tenth of a second, and somebody waits.
            thread::spawn(move || drop(client));
        }
        answer
    }
}

fn asking(config: &GroupConfig) -> Result<BaseConsumer<Quiet>, KafkaError> {
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
