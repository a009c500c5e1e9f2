//! The end of an instance: its topics go when it says so, and nothing hangs.

use std::time::Duration;

use kube::ResourceExt as _;
use kube::runtime::controller::Action;

use super::dereference::{cluster_id, settings};
use super::objects::Kind;
use super::reconcile::FINALIZER;
use super::resource::MqttInstance;
use super::{ValidInstance, build};
use crate::control::apply::remove;
use crate::control::events::reference_of;
use crate::control::{Context, Error, finalizer};
use crate::references::DeletionPolicy;

/// Does what the deletion is to do, then lets go.
///
/// # Errors
/// The API server cannot be asked.
pub(super) async fn delete(
    ctx: &Context,
    resource: &MqttInstance,
    instance: Option<&ValidInstance>,
) -> Result<Action, Error> {
    let uid = resource.uid().unwrap_or_default();
    let namespace = resource.namespace().unwrap_or_default();
    let name = resource.name_any();
    if finalizer::has(resource, FINALIZER) {
        let policy = resource.spec.deletion_policy;
        let began = cluster_id(resource).is_some();
        if instance.is_none() && policy == DeletionPolicy::Delete && began {
            let note = "the instance's topics were left behind: its spec has faults, so which ones they are cannot be told";
            let about = reference_of(resource);
            ctx.events.warn(&about, "TopicsLeftBehind", note).await;
        }
        if let Some(instance) = instance.filter(|_| policy == DeletionPolicy::Delete && began) {
            // Brokers would wait for topics that are gone.
            remove(ctx, &namespace, &uid, Kind::StatefulSet, &name).await?;
            let topics: Vec<String> = build::topics(instance)
                .into_iter()
                .map(|t| t.name)
                .collect();
            let gone = match settings(ctx, resource, instance).await {
                Ok(settings) => ctx.kafkas.of(&uid, &settings).delete(topics).await,
                Err(problem) => Err(problem),
            };
            if let Err(problem) = gone {
                if !finalizer::waited(resource) {
                    return Ok(Action::requeue(Duration::from_secs(5)));
                }
                let note = format!("the instance's topics were left behind: {problem}");
                let about = reference_of(resource);
                ctx.events.warn(&about, "TopicsLeftBehind", &note).await;
            }
        }
        finalizer::keep(ctx, resource, FINALIZER, false).await?;
    }
    ctx.kafkas.forget(&uid);
    ctx.figures.forget(&uid);
    ctx.events.forget(&uid);
    ctx.backoffs.reset(&uid);
    ctx.stores.wake_those_of(&namespace, &name);
    Ok(Action::await_change())
}
