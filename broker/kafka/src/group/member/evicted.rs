//! A member that the coordinator had put out of the group, and that joined again as another one.
//!
//! With the cooperative protocol librdkafka says nothing then: it goes on with its assignment, claims
//! it, and gives back what the new one has not as if it had been its own all the time (2.12, the
//! answer to a JoinGroup of an unknown member). Others may have had the partitions meanwhile, and may
//! have them still where the claim was believed; and the new member's generation would let through
//! what the earlier one wanted to write. So they are lost, and the member claims nothing before it is
//! given any again.

use std::sync::Arc;

use isthmus_kafka_ffi::member_id;
use rdkafka::consumer::Consumer as _;

use super::super::GroupEvent;
use super::super::rebalance::Change;
use super::Member;

impl Member {
    /// Empty where the coordinator has not said.
    pub(super) fn member_id(&self) -> Arc<str> {
        let id = member_id(self.consumer.client());
        Arc::from(id.unwrap_or_default())
    }

    /// Loses what was assigned to an earlier member; whether librdkafka still claims any of it.
    pub(super) fn lose_void(&mut self, change: &Change) -> bool {
        let member = self.member_id();
        if member.is_empty() {
            return false;
        }
        let lost = self.shared.take_void(&member);
        if lost.is_empty() {
            return false;
        }
        tracing::warn!(
            group = %self.shared.config.group_id,
            partitions = lost.len(),
            "joined the group as a new member: what was assigned before is lost"
        );
        self.stop_reading(&lost);
        let claimed = self.consumer.assignment();
        let claimed = claimed.map_or_else(|_| Vec::new(), |list| self.wanted(&list));
        let going = match change {
            Change::Assign(_) => Vec::new(),
            Change::Revoke(list) | Change::Lose(list) => self.wanted(list),
        };
        let left = lost
            .iter()
            .any(|partition| claimed.contains(partition) && !going.contains(partition));
        self.shared.say(GroupEvent::Lost(lost));
        left
    }

    /// Joins without a claim, then with all topics.
    pub(super) fn claim_nothing(&mut self) {
        self.narrow();
        self.claims_nothing = self.shared.config.park.is_some();
        if !self.claims_nothing {
            self.say(self.subscribe());
        }
    }

    /// The group has taken note.
    pub(super) fn claim_again(&mut self) {
        if std::mem::take(&mut self.claims_nothing) {
            self.say(self.subscribe());
        }
    }
}
