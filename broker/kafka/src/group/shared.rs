//! What the group's thread, librdkafka's callbacks and the handles share.

use std::collections::HashMap;
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
    /// What is assigned, and whether it may be written about.
    pub(super) owned: RwLock<HashMap<TopicPartition, bool>>,
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
    /// Whether the partition is assigned.
    pub(super) fn owns(&self, topic: &str, partition: i32) -> bool {
        self.admitted(topic, partition).is_some()
    }

    /// Whether it may be written about; `None`: it is not assigned.
    pub(super) fn admitted(&self, topic: &str, partition: i32) -> Option<bool> {
        let owned = read(&self.owned);
        let mut all = owned.iter();
        all.find(|((of, number), _)| *number == partition && **of == *topic)
            .map(|(_, admitted)| *admitted)
    }

    pub(super) fn own(&self, partitions: &[TopicPartition]) {
        let admitted = !self.config.wait_for_admission;
        let mut owned = write(&self.owned);
        for partition in partitions {
            owned.entry(partition.clone()).or_insert(admitted);
        }
    }

    pub(super) fn admit(&self, topic: &str, partition: i32) {
        let mut owned = write(&self.owned);
        let found = owned
            .iter_mut()
            .find(|((of, number), _)| *number == partition && **of == *topic);
        if let Some((_, admitted)) = found {
            *admitted = true;
        }
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
