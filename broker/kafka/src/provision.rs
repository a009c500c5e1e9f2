//! Brings Kafka topics to what an instance and its parent topics ask for.
//!
//! What is to be done is decided by the pure [`plan`]; [`ensure`] describes, plans, applies and
//! describes again until nothing is left to do. Nothing is ever deleted, made anew or shrunk, and
//! of an existing topic only what the specification names is put right.

mod apply;
mod error;
mod plan;
mod specs;

use std::collections::{BTreeMap, BTreeSet};

pub use apply::ensure;
pub use error::ProvisionError;
pub use plan::{Plan, plan};
pub use specs::{InternalSettings, SystemSettings, internal_topics, parent_topic, system_topics};

use crate::admin::TopicState;
use crate::directory::ParentType;

/// Whose topic it is, and so what may change on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKind {
    /// Isthmus's own: the number of partitions must be exactly the one asked for.
    Internal,
    /// A system topic of contract sections 3 and 4: more partitions than asked for are welcome.
    System,
    /// A parent topic. A `PartitionOrdered` one never changes its number of partitions.
    Parent(ParentType),
}

/// What a topic is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The Kafka topic, prefix included.
    pub name: String,
    /// Whose topic it is.
    pub kind: TopicKind,
    /// `None`: Kafka's default, and any number of an existing topic.
    pub partitions: Option<i32>,
    /// `None`: of internal and system topics min(3, brokers), of parents Kafka's default; any
    /// number of an existing topic.
    pub replication_factor: Option<i32>,
    /// What the topic must say. Drift from it is put right.
    pub config: BTreeMap<String, String>,
    /// What a topic made here says besides, where the cluster permits it. Existing topics keep
    /// their own.
    pub defaults: BTreeMap<String, String>,
    /// Configs that an earlier specification named and this one no longer does: back to the
    /// cluster's default.
    pub unset: BTreeSet<String>,
    /// The id by which the caller knows the topic (`status.topicId`); `None` when it is new to it.
    pub topic_id: Option<String>,
}

impl TopicSpec {
    /// A topic of which nothing is asked but to exist.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: TopicKind) -> Self {
        Self {
            name: name.into(),
            kind,
            partitions: None,
            replication_factor: None,
            config: BTreeMap::new(),
            defaults: BTreeMap::new(),
            unset: BTreeSet::new(),
            topic_id: None,
        }
    }
}

/// How a topic came to be what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Made by this call.
    Created,
    /// A parent topic that existed and that the caller did not know by its id; perhaps changed.
    Adopted,
    /// Nothing was to be done.
    Unchanged,
    /// Put right; [`Ensured::changes`] says what.
    Changed,
}

/// A topic that is what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// How it came to be so.
    pub outcome: Outcome,
    /// What was changed on an existing topic, for people (`partitions 3 -> 6`).
    pub changes: Vec<String>,
    /// The topic as Kafka has it now.
    pub state: TopicState,
    /// What works but should be known, each with the way out.
    pub warnings: Vec<String>,
}
