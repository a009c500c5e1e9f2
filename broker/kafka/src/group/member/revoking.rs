//! Partitions that the group wants back: ours until they are released, or the grace is over.

use std::collections::HashSet;
use std::time::Instant;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use super::super::{GroupEvent, TopicPartition};
use super::Member;

/// Partitions on their way to others.
pub(super) struct Revoking {
    pub(super) list: TopicPartitionList,
    pub(super) left: HashSet<TopicPartition>,
    pub(super) until: Instant,
}

impl Member {
    pub(super) fn release(&mut self, partition: &TopicPartition) {
        if let Some(revoking) = &mut self.revoking
            && revoking.left.remove(partition)
        {
            self.shared.disown(std::slice::from_ref(partition));
        }
    }

    /// Gives revoked partitions to the group once they are released, or the grace is over.
    pub(super) fn finish_revoking(&mut self) {
        let lost = self.revoking.is_some() && self.consumer.assignment_lost();
        let Some(revoking) = &self.revoking else {
            return;
        };
        if !revoking.left.is_empty() && !lost && Instant::now() < revoking.until {
            return;
        }
        let Some(revoking) = self.revoking.take() else {
            return;
        };
        let left: Vec<_> = revoking.left.into_iter().collect();
        self.shared.disown(&left);
        self.say(self.consumer.incremental_unassign(&revoking.list));
        if !left.is_empty() {
            self.shared.say(GroupEvent::Lost(left));
        }
    }
}
