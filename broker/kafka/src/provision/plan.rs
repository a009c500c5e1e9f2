//! What is to be done about one topic: a pure function of what is asked and what is there.

use std::collections::BTreeSet;

use super::{ProvisionError, TopicKind, TopicSpec};
use crate::admin::{Cluster, ConfigOp, NewTopic, TopicState};
use crate::directory::ParentType;
use crate::names;

/// The config that bounds a record batch.
pub(super) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const MIN_INSYNC: &str = "min.insync.replicas";
/// librdkafka's own bound.
const MAX_PARTITIONS: i32 = 100_000;

/// What is to be done about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// There is none: make it.
    Create {
        /// What to make.
        topic: NewTopic,
        /// The configs in it that may be left out where the cluster refuses them.
        optional: BTreeSet<String>,
        /// What should be known.
        warnings: Vec<String>,
    },
    /// It is there: put right what differs, which may be nothing.
    Keep {
        /// The new total of partitions.
        partitions: Option<i32>,
        /// Config changes, only of what the specification names.
        configs: Vec<ConfigOp>,
        /// What should be known.
        warnings: Vec<String>,
    },
}

/// Decides what is to be done about one topic.
///
/// # Errors
/// What is asked cannot be had, and why.
pub fn plan(
    spec: &TopicSpec,
    state: Option<&TopicState>,
    cluster: &Cluster,
) -> Result<Plan, ProvisionError> {
    check(spec)?;
    match state {
        None => Ok(create(spec, cluster)),
        Some(state) => keep(spec, state, cluster),
    }
}

/// What no Kafka would take, found before it is asked.
fn check(spec: &TopicSpec) -> Result<(), ProvisionError> {
    if let Err(fault) = names::check_topic(&spec.name) {
        return Err(ProvisionError::InvalidName {
            message: format!("{:?} is not a Kafka topic's name: {fault}", spec.name),
        });
    }
    let reject = |message: String| Err(ProvisionError::KafkaRejected { message });
    if let Some(n) = spec.partitions
        && !(1..=MAX_PARTITIONS).contains(&n)
    {
        return reject(format!(
            "partitions {n} is out of range: set it to 1 to {MAX_PARTITIONS}"
        ));
    }
    if let Some(n) = spec.replication_factor
        && !(1..=i32::from(i16::MAX)).contains(&n)
    {
        return reject(format!(
            "replicationFactor {n} is out of range: set it to 1 or more"
        ));
    }
    for (key, value) in spec.config.iter().chain(&spec.defaults) {
        if key.is_empty() || key.contains('\0') || value.contains('\0') {
            return reject(format!(
                "config {key:?} has no name or holds a zero byte: correct it"
            ));
        }
    }
    Ok(())
}

fn create(spec: &TopicSpec, cluster: &Cluster) -> Plan {
    let replication_factor = spec.replication_factor.or(match spec.kind {
        TopicKind::Internal | TopicKind::System => Some(default_replication(cluster)),
        TopicKind::Parent(_) => None,
    });
    let mut config = spec.defaults.clone();
    config.extend(spec.config.clone());
    if let (TopicKind::Internal | TopicKind::System, Some(replicas)) =
        (spec.kind, replication_factor)
    {
        let least = if replicas >= 3 { "2" } else { "1" };
        config
            .entry(MIN_INSYNC.to_owned())
            .or_insert_with(|| least.to_owned());
    }
    let mut warnings = Vec::new();
    if let Some(id) = &spec.topic_id {
        warnings.push(format!(
            "Kafka topic {} (id {id}) had vanished from Kafka and was made again: the records in \
             it are gone; look for who deleted it",
            spec.name
        ));
    }
    Plan::Create {
        topic: NewTopic {
            name: spec.name.clone(),
            partitions: spec.partitions,
            replication_factor,
            config: config.into_iter().collect(),
        },
        optional: spec
            .defaults
            .keys()
            .filter(|k| !spec.config.contains_key(*k))
            .cloned()
            .collect(),
        warnings,
    }
}

fn keep(spec: &TopicSpec, state: &TopicState, cluster: &Cluster) -> Result<Plan, ProvisionError> {
    let partitions = partitions(spec, state)?;
    if let Some(asked) = spec.replication_factor
        && asked != state.replication_factor
    {
        return Err(ProvisionError::ReplicationMismatch {
            message: format!(
                "Kafka topic {} has {have} replicas, {asked} are asked for, and Isthmus moves no \
                 replicas: set replicationFactor to {have}, or move them with \
                 kafka-reassign-partitions.sh",
                spec.name,
                have = state.replication_factor
            ),
        });
    }
    Ok(Plan::Keep {
        partitions,
        configs: configs(spec, state),
        warnings: warnings(spec, state, cluster),
    })
}

fn partitions(spec: &TopicSpec, state: &TopicState) -> Result<Option<i32>, ProvisionError> {
    let (name, have) = (&spec.name, state.partitions);
    let Some(want) = spec.partitions.filter(|&want| want != have) else {
        return Ok(None);
    };
    let refuse = |message| Err(ProvisionError::PartitionsMismatch { message });
    match spec.kind {
        TopicKind::Internal if names::is_per_slot(name) => refuse(format!(
            "Kafka topic {name} has {have} partitions, and {want} slots are asked for: slots never \
             change once an instance is made; set slots to {have}, or give the instance another \
             name"
        )),
        TopicKind::Internal => refuse(format!(
            "Kafka topic {name} has {have} partitions and must have {want}: it was not made by \
             Isthmus; give the instance another name, or delete the topic if nobody needs it"
        )),
        TopicKind::Parent(ParentType::PartitionOrdered) => refuse(format!(
            "Kafka topic {name} has {have} partitions, {want} are asked for, and the number never \
             changes on a PartitionOrdered topic, for devices would lose their order: set \
             partitions to {have}, or leave it out"
        )),
        TopicKind::Parent(ParentType::Normal) if have > want => refuse(format!(
            "Kafka topic {name} has {have} partitions, {want} are asked for, and Kafka cannot \
             shrink a topic: set partitions to {have} or more"
        )),
        TopicKind::System if have > want => Ok(None),
        TopicKind::System | TopicKind::Parent(ParentType::Normal) => Ok(Some(want)),
    }
}

fn configs(spec: &TopicSpec, state: &TopicState) -> Vec<ConfigOp> {
    let ours = match spec.kind {
        TopicKind::Internal | TopicKind::System => true,
        TopicKind::Parent(_) => false,
    };
    let mut ops: Vec<_> = spec
        .config
        .iter()
        .filter(|(key, want)| {
            let have = state.config.get(*key).map(String::as_str);
            // Our own topics need room for a record; more than that is no drift.
            let enough = ours
                && *key == MAX_MESSAGE_BYTES
                && want
                    .parse()
                    .is_ok_and(|want: u32| state.max_message_bytes() >= want);
            !enough && !have.is_some_and(|have| same(have, want))
        })
        .map(|(key, want)| ConfigOp::Set(key.clone(), want.clone()))
        .collect();
    if ours
        && !spec.config.contains_key(MIN_INSYNC)
        && let Some(have) = state
            .config
            .get(MIN_INSYNC)
            .and_then(|v| v.parse::<i32>().ok())
    {
        let replicas = state.replication_factor;
        if replicas >= 3 && have < 2 {
            ops.push(ConfigOp::Set(MIN_INSYNC.to_owned(), "2".to_owned()));
        } else if replicas < 3 && have > replicas {
            // As it stands nobody could write with acks=all.
            ops.push(ConfigOp::Set(MIN_INSYNC.to_owned(), "1".to_owned()));
        }
    }
    ops.extend(
        spec.unset
            .iter()
            .filter(|key| !spec.config.contains_key(*key) && state.overridden.contains(*key))
            .map(|key| ConfigOp::Delete(key.clone())),
    );
    ops
}

fn warnings(spec: &TopicSpec, state: &TopicState, cluster: &Cluster) -> Vec<String> {
    let mut warnings = Vec::new();
    let name = &spec.name;
    if let Some(known) = spec
        .topic_id
        .as_ref()
        .filter(|known| **known != state.topic_id)
    {
        warnings.push(format!(
            "Kafka topic {name} was deleted and made again by somebody else (id {known}, now {}): \
             the records that were in it are gone",
            state.topic_id
        ));
    }
    match spec.kind {
        TopicKind::Internal | TopicKind::System => {
            let want = default_replication(cluster);
            if spec.replication_factor.is_none() && state.replication_factor < want {
                warnings.push(format!(
                    "Kafka topic {name} has {} replicas where the cluster can hold {want}: move \
                     them with kafka-reassign-partitions.sh, or messages are lost with a Kafka \
                     node",
                    state.replication_factor
                ));
            }
        }
        TopicKind::Parent(_) => {
            let want = spec
                .defaults
                .get(MAX_MESSAGE_BYTES)
                .and_then(|v| v.parse::<u32>().ok());
            if let Some(want) = want.filter(|&want| state.max_message_bytes() < want)
                && !spec.config.contains_key(MAX_MESSAGE_BYTES)
            {
                warnings.push(size_warning(name, state, want));
            }
        }
    }
    warnings
}

/// What it means that a parent topic takes less than the largest packet can need.
fn size_warning(name: &str, state: &TopicState, want: u32) -> String {
    format!(
        "Kafka topic {name} takes records up to {} bytes, and the largest MQTT packet can need \
         {want}: larger ones are refused; set config max.message.bytes to raise it",
        state.max_message_bytes()
    )
}

/// min(3, brokers).
fn default_replication(cluster: &Cluster) -> i32 {
    match cluster.brokers {
        0 | 1 => 1,
        2 => 2,
        _ => 3,
    }
}

/// Whether Kafka's spelling of a value means the same as the user's.
pub(super) fn same(have: &str, want: &str) -> bool {
    fn items(list: &str) -> Vec<&str> {
        list.split(',').map(str::trim).collect()
    }
    let (have, want) = (have.trim(), want.trim());
    if have == want || (have.eq_ignore_ascii_case(want) && matches!(have, "true" | "false")) {
        return true;
    }
    if let (Ok(have), Ok(want)) = (have.parse::<i64>(), want.parse::<i64>()) {
        return have == want;
    }
    if let (Ok(have), Ok(want)) = (have.parse::<f64>(), want.parse::<f64>()) {
        return (have - want).abs() < f64::EPSILON;
    }
    items(have) == items(want)
}

#[cfg(test)]
mod tests;
