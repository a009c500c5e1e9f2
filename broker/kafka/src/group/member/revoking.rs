//! Partitions that the group wants back: ours until they are released, or the grace is over.

use std::collections::HashSet;
use std::time::Instant;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use super::super::lists::list;
use super::super::rebalance::Change;
use super::super::{GroupEvent, TopicPartition};
use super::Member;
use crate::support::read;

/// Partitions on their way to others.
pub(super) struct Revoking {
    list: TopicPartitionList,
    left: HashSet<TopicPartition>,
    pub(super) until: Instant,
}

impl Member {
    /// The group wants these back.
    pub(super) fn give_up(&mut self, list: TopicPartitionList) {
        let mut partitions = self.wanted(&list);
        partitions.retain(|(topic, partition)| self.shared.owns(topic, *partition));
        self.stop_reading(&partitions);
        let said = std::mem::take(&mut self.giving);
        self.revoking = Some(Revoking {
            list,
            left: partitions.iter().cloned().collect(),
            until: Instant::now() + self.shared.config.revoke_grace,
        });
        partitions.retain(|partition| !said.contains(partition));
        if !partitions.is_empty() {
            self.shared.say(GroupEvent::Revoked(partitions));
        }
    }

    /// Gives up all that is ours before librdkafka asks for it: while the group waits for a member that
    /// has died, it does not.
    pub(super) fn give_all_up(&mut self) {
        let mut partitions: Vec<_> = read(&self.shared.owned).keys().cloned().collect();
        if let Some(revoking) = &self.revoking {
            partitions.retain(|partition| !revoking.left.contains(partition));
        }
        if partitions.is_empty() {
            return;
        }
        self.stop_reading(&partitions);
        self.say(self.consumer.pause(&list(&partitions)));
        self.giving = partitions.iter().cloned().collect();
        self.shared.say(GroupEvent::Revoked(partitions));
    }

    pub(super) fn release(&mut self, partition: &TopicPartition) {
        let revoking = self.revoking.as_mut();
        let revoked = revoking.is_some_and(|revoking| revoking.left.remove(partition));
        if revoked || self.giving.remove(partition) {
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
