//! Waking librdkafka after a resume.
//!
//! Its broker threads notice a resumed partition only when they have something else to do, within a
//! second; a request to the partition's leader is something to do. The answer is of no interest.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::TopicPartition;

/// How long after the resume, in milliseconds: it is done by another thread, soon.
const STEPS: [u64; 5] = [0, 2, 10, 50, 200];
/// How long the request may hold up the group's thread.
const BRIEF: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct Kicks {
    list: TopicPartitionList,
    started: Option<Instant>,
    step: usize,
}

impl Kicks {
    /// These were resumed now.
    pub(super) fn start<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        if self.due().is_none() {
            self.list = TopicPartitionList::new();
        }
        for (topic, partition) in partitions {
            if self.list.find_partition(topic, *partition).is_none() {
                self.list.add_partition(topic, *partition);
            }
        }
        self.started = Some(Instant::now());
        self.step = 0;
    }

    /// How long until the next kick, if one is due at all.
    pub(super) fn due(&self) -> Option<Duration> {
        let after = Duration::from_millis(*STEPS.get(self.step)?);
        Some((self.started? + after).saturating_duration_since(Instant::now()))
    }

    pub(super) fn serve<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>) {
        if self.due() != Some(Duration::ZERO) || self.list.count() == 0 {
            return;
        }
        self.step += 1;
        let mut list = self.list.clone();
        if list.set_all_offsets(Offset::End).is_ok() {
            let _ = consumer.offsets_for_times(list, BRIEF);
        }
    }
}
