//! Brings a `ParentTopic` about: dereference, validate, build, apply to Kafka, report.
//!
//! Invariants: a topic that somebody else's resource has is not touched; a finalizer is there only
//! where a deletion has something to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use isthmus_kafka::provision::Ensured;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::claims::{Lost, contest};
use super::delete::delete;
use super::dereference::{claim, others};
use super::memory::Memory;
use super::resource::ParentTopic;
use super::status::{Done, reason, report};
use super::{ValidParent, build, validate};
use crate::control::kafka::Problem;
use crate::control::verdict::{Stop, Verdict, home};
use crate::control::{Context, Error, Guarded, finalizer, status};
use crate::instance;
use crate::references::DeletionPolicy;

/// Holds a deletion until the Kafka topic is gone.
pub(super) const FINALIZER: &str = "mqtt.isthmus.dev/topic";

/// One look at one parent topic.
///
/// # Errors
/// What is tried again.
pub async fn reconcile(
    object: Arc<Guarded<ParentTopic>>,
    ctx: Arc<Context>,
) -> Result<Action, Error> {
    let parent = match &object.0 {
        Ok(parent) => parent,
        Err(invalid) => {
            status::undecodable(&ctx, &*object, &invalid.error).await?;
            return Ok(Action::await_change());
        }
    };
    if parent.metadata.deletion_timestamp.is_some() {
        return delete(&ctx, parent).await;
    }
    let before = Memory::of(parent);
    let (verdict, done, memory) = match judge(&ctx, parent, &before).await {
        Ok((verdict, done, memory)) => (verdict, Some(done), memory),
        Err(Stop::Said(verdict)) => (verdict, None, before.clone()),
        Err(Stop::Failed(error)) => return Err(error),
    };
    report(&ctx, parent, &verdict, done.as_ref()).await?;
    // After the status: whoever is woken by this finds the topic's id there.
    if memory != before {
        finalizer::merge(&ctx, parent, &memory.patch()).await?;
    }
    Ok(verdict.again(&ctx, &parent.uid().unwrap_or_default()))
}

async fn judge(
    ctx: &Context,
    parent: &ParentTopic,
    memory: &Memory,
) -> Result<(Verdict, Done, Memory), Stop> {
    if parent.spec.suspend {
        let message = "spec.suspend is true: the topic stays as it is";
        return Err(Verdict::no("Suspended", message).into());
    }
    let valid = validate(parent, None)
        .map_err(|faults| Verdict::faults(&faults, Some(super::rules::CHARACTERS.field)))?;
    let home = home(ctx, &valid.namespace, &valid.instance)?;
    let names = instance::build::names(&home.instance);
    let mut spec = build::topic_spec(&valid, &home.instance, &names)
        .map_err(|why| Verdict::stalled("InvalidName", format!("{:?}: {why}", valid.topic)))?;
    unchanged(parent, &spec.name)?;
    uncontested(ctx, parent)?;
    // Before anything is made that is to be deleted.
    let deletes = valid.deletion_policy == DeletionPolicy::Delete;
    finalizer::keep(ctx, parent, FINALIZER, deletes).await?;
    let kafka = home.kafka(ctx).await?;
    let topic = spec.name.clone();
    let known = parent.status.as_ref();
    spec.topic_id = known.and_then(|status| status.topic_id.clone());
    let configs: BTreeSet<String> = spec.config.keys().cloned().collect();
    spec.unset = memory.configs.difference(&configs).cloned().collect();
    let mut made = kafka.ensure(vec![spec]).await?;
    let ensured = match made.answers.pop() {
        Some(answer) => answer.map_err(Problem::from)?,
        None => return Err(Verdict::no("KafkaUnavailable", "Kafka said nothing").into()),
    };
    let entry = build::entry(&valid, &topic, &ensured.state);
    kafka.write(vec![entry]).await?;
    let memory = memory.after(configs, &ensured);
    let reason = reason(&ensured, memory.adopted.as_deref());
    let verdict = Verdict::yes(reason, message(&valid, &topic, &ensured));
    Ok((verdict, Done { topic, ensured }, memory))
}

fn message(valid: &ValidParent, topic: &str, done: &Ensured) -> String {
    let parent = &valid.topic;
    let served = format!("Kafka topic {topic} takes what is published under {parent}/");
    let warnings = done.warnings.iter().map(String::as_str);
    let parts: Vec<&str> = std::iter::once(&*served).chain(warnings).collect();
    parts.join("; ")
}

/// A name or prefix that is another one than before would leave the former topic behind in silence.
fn unchanged(parent: &ParentTopic, topic: &str) -> Result<(), Verdict> {
    let before = parent.status.as_ref();
    let before = before.and_then(|status| status.kafka_topic.as_deref());
    match before {
        Some(before) if before != topic => {
            let message = format!(
                "spec.topicName: this resource has Kafka topic {before}, and by its name and the instance's topicPrefix it would now be {topic}: set them back, or make another ParentTopic"
            );
            Err(Verdict::stalled("InvalidName", message))
        }
        _ => Ok(()),
    }
}

fn uncontested(ctx: &Context, parent: &ParentTopic) -> Result<(), Verdict> {
    let Some(mine) = claim(ctx, parent) else {
        return Ok(());
    };
    let others = others(ctx, &mine, super::validate::effective_name(parent));
    match contest(&mine, &others) {
        None => Ok(()),
        Some(Lost::Claimed(by)) => {
            let message = format!(
                "Kafka topic {} belongs to {by}, which is older: use another spec.topicName, or delete one of the two",
                mine.topic
            );
            Err(Verdict::stalled("TopicClaimed", message))
        }
        Some(Lost::Collides(by, topic)) => {
            let message = format!(
                "Kafka takes '.' and '_' in names for the same, and {topic} of {by} is there: use another spec.topicName"
            );
            Err(Verdict::no("NameCollision", message))
        }
    }
}
