//! What the group's thread, librdkafka's callbacks and the handles share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use super::commits::Commits;
use super::offsets::Asking;
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
    Leave,
    Rebalance,
    Rejoin,
    Close,
}

/// One assignment of a partition.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) number: u64,
    /// The id of the member that it was assigned to.
    member: Arc<str>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Assigned.
    Waiting,
    /// It may be written about.
    Admitted,
    /// The coordinator had put that member out of the group, and knows this one by another id.
    Void,
}

impl Term {
    /// Whether the partition may be written about.
    pub(super) fn admitted(&self) -> bool {
        self.standing == Standing::Admitted
    }
}

/// What the group's thread, librdkafka's callbacks and the handles share.
pub(super) struct Shared {
    pub(super) config: GroupConfig,
    /// What is assigned.
    pub(super) owned: RwLock<HashMap<TopicPartition, Term>>,
    /// Numbers assignments.
    pub(super) terms: AtomicU64,
    pub(super) outstanding: AtomicU64,
    pub(super) bound: u64,
    /// Reading is paused because too much is outstanding.
    pub(super) choked: AtomicBool,
    pub(super) ended: AtomicBool,
    pub(super) on_event: Box<dyn Fn(GroupEvent) + Send + Sync>,
    pub(super) voice: Voice,
    /// What the rebalance callback leaves for the group's thread, which called it.
    pub(super) pending: Mutex<Vec<Change>>,
    pub(super) asking: Asking,
    pub(super) commits: Commits,
}

impl Shared {
    /// Whether the partition is assigned.
    pub(super) fn owns(&self, topic: &str, partition: i32) -> bool {
        self.term(topic, partition).is_some()
    }

    /// The partition's assignment.
    pub(super) fn term(&self, topic: &str, partition: i32) -> Option<Term> {
        let owned = read(&self.owned);
        let mut all = owned.iter();
        all.find(|((of, number), _)| *number == partition && **of == *topic)
            .map(|(_, term)| term.clone())
    }

    pub(super) fn own(&self, partitions: &[TopicPartition], member: &Arc<str>) {
        let number = self.terms.fetch_add(1, Ordering::Relaxed) + 1;
        let mut owned = write(&self.owned);
        for partition in partitions {
            let standing = match self.config.wait_for_admission {
                true => Standing::Waiting,
                false => Standing::Admitted,
            };
            let member = Arc::clone(member);
            owned.entry(partition.clone()).or_insert(Term {
                number,
                member,
                standing,
            });
        }
    }

    /// Nothing may be written about what was assigned to another member than this.
    pub(super) fn void(&self, member: &str) {
        let void = |term: &Term| term.standing != Standing::Void && *term.member != *member;
        if !read(&self.owned).values().any(void) {
            return;
        }
        for term in write(&self.owned).values_mut().filter(|term| void(term)) {
            term.standing = Standing::Void;
        }
    }

    /// Takes out what was assigned to another member than this.
    pub(super) fn take_void(&self, member: &str) -> Vec<TopicPartition> {
        self.void(member);
        let mut void = Vec::new();
        write(&self.owned).retain(|partition, term| {
            let keep = term.standing != Standing::Void;
            if !keep {
                void.push(partition.clone());
            }
            keep
        });
        void
    }

    /// Allows writing about a partition in this assignment; false where it has ended.
    pub(super) fn admit(&self, topic: &str, partition: i32, number: u64) -> bool {
        let mut owned = write(&self.owned);
        let found = owned
            .iter_mut()
            .find(|((of, at), term)| *at == partition && **of == *topic && term.number == number);
        let found = found.filter(|(_, term)| term.standing != Standing::Void);
        found
            .map(|(_, term)| term.standing = Standing::Admitted)
            .is_some()
    }

    /// Takes the word of [`Shared::admit`] back.
    pub(super) fn withdraw(&self, topic: &str, partition: i32) {
        let mut owned = write(&self.owned);
        let mut found = owned
            .iter_mut()
            .filter(|((of, at), _)| *at == partition && **of == *topic);
        if let Some((_, term)) = found.find(|(_, term)| term.admitted()) {
            term.standing = Standing::Waiting;
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
