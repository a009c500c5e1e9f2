//! An orderly leave: everything is given up while the member stands, and then it goes.
//!
//! A static member that ends says nothing to the coordinator (KIP-345); one that unsubscribes leaves
//! at once (librdkafka 2.12). So the group divides the partitions once, and not before others can
//! take them.

use std::time::Instant;

use rdkafka::consumer::Consumer as _;

use super::super::GroupEvent;
use super::super::lists::list;
use super::Member;
use crate::support::read;

/// How far it is.
pub(super) enum Leaving {
    /// What is ours is finished; nobody waits for longer.
    Until(Instant),
    /// The coordinator is told.
    Told,
}

impl Leaving {
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::Until(at) => Some(*at),
            Self::Told => None,
        }
    }
}

impl Member {
    /// Gives up all that is ours.
    pub(super) fn leave(&mut self) {
        if self.leaving.is_some() {
            return;
        }
        self.claims_nothing = false;
        self.pulse.quicken();
        let grace = self.shared.config.revoke_grace;
        self.leaving = Some(Leaving::Until(Instant::now() + grace));
        let mut partitions: Vec<_> = read(&self.shared.owned).keys().cloned().collect();
        if let Some(revoking) = &self.revoking {
            partitions.retain(|partition| !revoking.left.contains(partition));
        }
        if partitions.is_empty() {
            return;
        }
        self.stop_reading(&partitions);
        self.say(self.consumer.pause(&list(&partitions)));
        self.shared.say(GroupEvent::Revoked(partitions));
    }

    /// Leaves once everything is released, or the grace is over.
    pub(super) fn finish_leaving(&mut self) {
        let Some(until) = self.leaving.as_ref().and_then(Leaving::until) else {
            return;
        };
        let settled = read(&self.shared.owned).is_empty();
        if self.revoking.is_some() || !settled && Instant::now() < until {
            return;
        }
        self.leaving = Some(Leaving::Told);
        self.pulse.quicken();
        self.lose_all();
        self.consumer.unsubscribe();
    }
}
