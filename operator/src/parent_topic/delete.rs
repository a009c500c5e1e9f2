//! Deletes the Kafka topic of a parent topic that is deleted, where `deletionPolicy` says so.
//!
//! Invariants: the topic goes only while nobody else names it; whatever becomes of Kafka, the deletion
//! is held up for a minute or so and not longer, and what is left behind is said.

use std::time::Duration;

use isthmus_kafka::directory::Entry;
use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::claims::also;
use super::dereference::{claim, others};
use super::reconcile::FINALIZER;
use super::resource::ParentTopic;
use super::validate::effective_name;
use crate::control::events::reference_of;
use crate::control::kafka::Problem;
use crate::control::verdict::{Home, last_home};
use crate::control::{Context, Error, finalizer};
use crate::references::DeletionPolicy;

/// Until the next try.
const PAUSE: Duration = Duration::from_secs(5);

/// One look at a parent topic that is being deleted.
///
/// # Errors
/// The API server does not take it.
pub(super) async fn delete(ctx: &Context, parent: &ParentTopic) -> Result<Action, Error> {
    let uid = parent.uid().unwrap_or_default();
    if finalizer::has(parent, FINALIZER) {
        match take(ctx, parent).await {
            Ok(()) => {}
            Err(_) if !finalizer::waited(parent) => return Ok(Action::requeue(PAUSE)),
            Err(left) => {
                let about = reference_of(parent);
                ctx.events.warn(&about, "TopicLeftBehind", &left.0).await;
            }
        }
        finalizer::keep(ctx, parent, FINALIZER, false).await?;
    }
    ctx.events.forget(&uid);
    ctx.backoffs.reset(&uid);
    Ok(Action::await_change())
}

/// What is left behind, and why.
struct Left(String);

async fn take(ctx: &Context, parent: &ParentTopic) -> Result<(), Left> {
    let topic = parent.status.as_ref().and_then(|s| s.kafka_topic.clone());
    let (DeletionPolicy::Delete, Some(topic)) = (parent.spec.deletion_policy, topic) else {
        // Nothing is to go, or nothing was made.
        return Ok(());
    };
    let about = reference_of(parent);
    let say = async |why: &str| {
        let note = format!("Kafka topic {topic} was left behind: {why}");
        ctx.events.warn(&about, "TopicLeftBehind", &note).await;
    };
    let namespace = parent.namespace().unwrap_or_default();
    let name = effective_name(parent);
    // With the instance gone nobody knows any more where the topic is: waiting would not help.
    let home = match last_home(ctx, &namespace, &parent.spec.instance_ref.name) {
        Ok(home) => home,
        Err(why) => {
            say(&why.message).await;
            return Ok(());
        }
    };
    let claimed = claim(ctx, parent);
    if let Some(mine) = &claimed
        && let Some(other) = also(mine, &others(ctx, mine, name))
    {
        say(&format!("{other} names it as well")).await;
        return Ok(());
    }
    // Set anew past the schema, it is no longer the topic that the resource once had.
    if claimed.is_none_or(|mine| mine.topic != topic) {
        say("it is no longer the topic that spec.topicName names").await;
        return Ok(());
    }
    let left = |problem: Problem| Left(format!("Kafka topic {topic} was left behind: {problem}"));
    gone(ctx, &home, &topic, name).await.map_err(left)
}

/// The directory first: nobody is to store into a topic that is about to go.
async fn gone(ctx: &Context, home: &Home, topic: &str, name: &str) -> Result<(), Problem> {
    let kafka = home.kafka(ctx).await?;
    // An instance that goes as well has perhaps no directory any more.
    if !home.is_leaving() {
        let entry = Entry::Parent(name.to_owned(), None);
        kafka.write(vec![entry]).await?;
    }
    kafka.delete(vec![topic.to_owned()]).await
}
