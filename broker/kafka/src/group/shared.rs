//! What the group's thread, librdkafka's callbacks and the handles share.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};

use super::rebalance::Change;
use super::{GroupConfig, GroupEvent, TopicPartition};
use crate::support::{Voice, lock, read, write};

/// What the group's thread is asked to do.
pub(super) enum Command {
    /// librdkafka has something, or something else is to be looked at.
    Ready,
    Resume(Arc<str>, i32, Option<i64>),
    Pause(Arc<str>, i32),
    Release(Vec<TopicPartition>),
    Narrow,
    Rejoin,
    Close,
}

/// What the group's thread, librdkafka's callbacks and the handles share.
pub(super) struct Shared {
    pub(super) config: GroupConfig,
    pub(super) owned: RwLock<HashSet<TopicPartition>>,
    pub(super) outstanding: AtomicU64,
    pub(super) bound: u64,
    /// Reading is paused because too much is outstanding.
    pub(super) choked: AtomicBool,
    pub(super) ended: AtomicBool,
    pub(super) on_event: Box<dyn Fn(GroupEvent) + Send + Sync>,
    pub(super) voice: Voice,
    /// What the rebalance callback leaves for the group's thread, which called it.
    pub(super) pending: Mutex<Vec<Change>>,
}

impl Shared {
    pub(super) fn owns(&self, topic: &str, partition: i32) -> bool {
        read(&self.owned)
            .iter()
            .any(|(of, number)| *number == partition && **of == *topic)
    }

    pub(super) fn own(&self, partitions: &[TopicPartition]) {
        write(&self.owned).extend(partitions.iter().cloned());
    }

    pub(super) fn disown(&self, partitions: &[TopicPartition]) {
        let mut owned = write(&self.owned);
        partitions.iter().for_each(|partition| {
            owned.remove(partition);
        });
    }

    /// Whether partitions of this topic are what the group is for.
    pub(super) fn wants(&self, topic: &str) -> bool {
        self.config.topics.iter().any(|wanted| wanted == topic)
    }

    pub(super) fn say(&self, event: GroupEvent) {
        (self.on_event)(event);
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.pending))
    }
}
