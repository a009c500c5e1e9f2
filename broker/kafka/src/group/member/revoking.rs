//! Partitions that the group wants back: ours until they are released, or the grace is over.

use std::collections::HashSet;
use std::time::Instant;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use super::super::rebalance::Change;
use super::super::{GroupEvent, TopicPartition};
use super::Member;

/// Partitions on their way to others.
pub(super) struct Revoking {
    list: TopicPartitionList,
    pub(super) left: HashSet<TopicPartition>,
    pub(super) until: Instant,
}

impl Member {
    /// The group wants these back.
    pub(super) fn give_up(&mut self, list: TopicPartitionList) {
        let mut partitions = self.wanted(&list);
        partitions.retain(|(topic, partition)| self.shared.owns(topic, *partition));
        self.stop_reading(&partitions);
        self.revoking = Some(Revoking {
            list,
            left: partitions.iter().cloned().collect(),
            until: Instant::now() + self.shared.config.revoke_grace,
        });
        // Whoever leaves has said so of all.
        if !partitions.is_empty() && self.leaving.is_none() {
            self.shared.say(GroupEvent::Revoked(partitions));
        }
    }

    pub(super) fn release(&mut self, partition: &TopicPartition) {
        let revoking = self.revoking.as_mut();
        let revoked = revoking.is_some_and(|revoking| revoking.left.remove(partition));
        if revoked || self.leaving.is_some() {
            self.shared.disown(std::slice::from_ref(partition));
        }
    }

    /// Answers every rebalance that librdkafka still waits for: closing would wait for ever.
    pub(super) fn answer_all(&mut self) {
        if let Some(revoking) = self.revoking.take() {
            self.say(self.consumer.incremental_unassign(&revoking.list));
        }
        for change in self.shared.changes() {
            self.say(match change {
                Change::Assign(list) => self.consumer.incremental_assign(&list),
                Change::Revoke(list) | Change::Lose(list) => {
                    self.consumer.incremental_unassign(&list)
                }
            });
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
        self.pulse.quicken();
        if !left.is_empty() {
            self.shared.say(GroupEvent::Lost(left));
        }
    }
}
