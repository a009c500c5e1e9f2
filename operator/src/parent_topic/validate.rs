//! From the written `ParentTopic` to one that `build` can rely on. Pure.

use std::collections::BTreeMap;

use isthmus_kafka::names::SYSTEM;

use super::resource::{ParentKind, ParentTopic};
use super::rules;
use crate::fault::Fault;
use crate::references::DeletionPolicy;

/// A `ParentTopic` without faults.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidParent {
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// Reconciling is paused.
    pub suspend: bool,
    /// The instance's name.
    pub instance: String,
    /// The parent topic: the first level of MQTT topics.
    pub topic: String,
    /// How strictly order is kept.
    pub kind: ParentKind,
    /// Partitions wanted.
    pub partitions: Option<i32>,
    /// Replicas wanted.
    pub replication_factor: Option<i32>,
    /// Topic configs wanted, `retention.ms` included.
    pub config: BTreeMap<String, String>,
    /// What becomes of the Kafka topic.
    pub deletion_policy: DeletionPolicy,
}

/// The parent topic's name: `topicName` or the resource's own.
#[must_use]
pub fn effective_name(parent: &ParentTopic) -> &str {
    let own = || parent.metadata.name.as_deref().unwrap_or_default();
    parent.spec.topic_name.as_deref().unwrap_or_else(own)
}

/// Checks everything that the parent topic alone tells; `previous` is the one applied before.
///
/// # Errors
/// Every fault.
pub fn validate(
    parent: &ParentTopic,
    previous: Option<&ParentTopic>,
) -> Result<ValidParent, Vec<Fault>> {
    let spec = &parent.spec;
    let topic = effective_name(parent);
    let mut faults = Vec::new();

    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let sized = (1..=249).contains(&topic.len());
    rules::CHARACTERS.check(sized && topic.bytes().all(legal), &mut faults);
    let reserved =
        topic.starts_with("__") || [".", ".."].contains(&topic) || SYSTEM.contains(&topic);
    if reserved {
        faults.push(Fault::at(
            rules::RESERVED.field,
            format!("{topic:?} {}", rules::RESERVED.message),
        ));
    }
    let ordered = spec.kind == ParentKind::PartitionOrdered;
    rules::ORDERED_NAME.check(topic.starts_with("orderMsg2mq-") == ordered, &mut faults);

    let mut config = spec.config.clone();
    rules::RETENTION.check(
        spec.retention.is_none() || !config.contains_key("retention.ms"),
        &mut faults,
    );
    if let Some(retention) = &spec.retention {
        match retention.millis() {
            Ok(millis) => {
                config.insert("retention.ms".to_owned(), millis.to_string());
            }
            Err(message) => faults.push(Fault::at("spec.retention", message)),
        }
    }
    if let Some(previous) = previous {
        changes(parent, previous, &mut faults);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(ValidParent {
        namespace: parent
            .metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        name: parent.metadata.name.clone().unwrap_or_default(),
        suspend: spec.suspend,
        instance: spec.instance_ref.name.clone(),
        topic: topic.to_owned(),
        kind: spec.kind,
        partitions: spec.partitions,
        replication_factor: spec.replication_factor,
        config,
        deletion_policy: spec.deletion_policy,
    })
}

fn changes(parent: &ParentTopic, previous: &ParentTopic, faults: &mut Vec<Fault>) {
    let (new, old) = (&parent.spec, &previous.spec);
    rules::NAME.check(effective_name(parent) == effective_name(previous), faults);
    rules::INSTANCE.check(new.instance_ref == old.instance_ref, faults);
    rules::TYPE.check(new.kind == old.kind, faults);
    if let (Some(wanted), Some(before)) = (new.partitions, old.partitions) {
        let ordered = new.kind == ParentKind::PartitionOrdered;
        rules::SHRINK.check(wanted >= before, faults);
        rules::ORDERED_PARTITIONS.check(!ordered || wanted <= before, faults);
    }
}

#[cfg(test)]
mod tests;
