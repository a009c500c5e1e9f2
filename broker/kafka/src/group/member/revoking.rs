//! Partitions that the group wants back: ours until they are released, or the grace is over.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use super::super::lists::list;
use super::super::rebalance::Change;
use super::super::{GroupEvent, TopicPartition};
use super::Member;
use crate::support::read;

/// librdkafka joins at most once a second, and all have just joined: what is given up sooner is nobody's
/// until the others may join again. Less than the second by what giving up takes, and a heartbeat.
const TURN: Duration = Duration::from_millis(700);

/// Partitions that the group has asked for.
pub(super) struct Wanted {
    list: TopicPartitionList,
    /// When they are to be given up.
    pub(super) at: Instant,
}

/// Partitions on their way to others.
pub(super) struct Revoking {
    list: TopicPartitionList,
    left: HashSet<TopicPartition>,
    pub(super) until: Instant,
}

impl Member {
    /// The group wants these back: at once where this member gave rise to it.
    pub(super) fn want_back(&mut self, list: TopicPartitionList) {
        let owns = |(topic, partition): &TopicPartition| self.shared.owns(topic, *partition);
        let at_once = self.narrowed || !self.wanted(&list).iter().any(owns);
        let wait = if at_once { Duration::ZERO } else { TURN };
        let at = Instant::now() + wait;
        self.wanted_back = Some(Wanted { list, at });
        self.give_up_when_due();
    }

    /// Begins to give up what the group wants back, when others can take it.
    pub(super) fn give_up_when_due(&mut self) {
        let due = |wanted: &Wanted| wanted.at <= Instant::now() || self.consumer.assignment_lost();
        if self.wanted_back.as_ref().is_some_and(due) {
            self.give_up_now();
        }
    }

    /// The same without waiting for others.
    pub(super) fn give_up_now(&mut self) {
        let Some(Wanted { list, .. }) = self.wanted_back.take() else {
            return;
        };
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
        self.give_up_now();
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
        let wanted_back = self.wanted_back.take().map(|wanted| wanted.list);
        let revoking = self.revoking.take().map(|revoking| revoking.list);
        for list in wanted_back.into_iter().chain(revoking) {
            self.say(self.consumer.incremental_unassign(&list));
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
