//! What is said of an instance: only what was seen.

use kube::ResourceExt as _;

use super::ValidInstance;
use super::observe::{self, Pods};
use super::reconcile::Found;
use super::resource::MqttInstance;
use super::status::MqttInstanceStatus;
use crate::control::conditions::{Wanted, is_true, set};
use crate::control::events::reference_of;
use crate::control::{Context, Error, status};

/// Writes the status, says an event where something is wrong; whether the instance is ready.
///
/// # Errors
/// The API server does not take it.
pub(super) async fn report(
    ctx: &Context,
    resource: &MqttInstance,
    instance: Option<&ValidInstance>,
    found: &Found,
) -> Result<bool, Error> {
    let namespace = resource.namespace().unwrap_or_default();
    let pods = observe::pods(ctx, &namespace, &resource.name_any());
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation;
    let updated = observe::updated(ctx, &namespace, &resource.name_any());
    let ready = said_of(instance, &pods, updated, found);
    let is_ready = ready.holds == Some(true);
    let mut wanted = vec![ready.clone()];
    if let Some(instance) = instance {
        let replicas = i32::from(instance.replicas);
        let present = updated == Some(replicas);
        let moving = pods.there != replicas || pods.ready != replicas || !present;
        let progress = format!("{} of {replicas} brokers are ready", pods.ready);
        let reason = if moving { "Rolling" } else { "Settled" };
        wanted.push(Wanted::new("Progressing", moving, reason, &*progress));
        let degraded = found.fault.is_some() || pods.trouble.is_some();
        let reason = if degraded { &*ready.reason } else { "AsWanted" };
        wanted.push(Wanted::new("Degraded", degraded, reason, &*ready.message));
    }
    match &found.connected {
        Some((connected, said)) => {
            let reason = if *connected {
                "Connected"
            } else {
                "NotConnected"
            };
            wanted.push(Wanted::new("KafkaConnected", *connected, reason, &**said));
        }
        None => wanted.push(Wanted::new(
            "KafkaConnected",
            None,
            "NotAsked",
            "Kafka was not asked",
        )),
    }
    if let Some(fault) = found.fault.as_ref().filter(|fault| fault.stalled) {
        wanted.push(Wanted::new("Stalled", true, fault.reason, &*fault.message));
    }
    let mut after = MqttInstanceStatus {
        observed_generation: generation,
        conditions: set(&before.conditions, &wanted, generation),
        replicas: Some(pods.there),
        ready_replicas: Some(pods.ready),
        ..before.clone()
    };
    if let Some(instance) = instance {
        after.selector = Some(format!(
            "app.kubernetes.io/name=isthmus-broker,app.kubernetes.io/instance={}",
            instance.name
        ));
        after.listeners = observe::listeners(ctx, instance);
        let first = after.listeners.first();
        let address = first.and_then(|l| l.uri.split_once("://"));
        after.address = address.map(|(_, address)| address.to_owned());
        let image = instance.deployment.image.as_ref();
        after.image = Some(image.unwrap_or(&ctx.broker_image).clone());
        after.version = Some(env!("CARGO_PKG_VERSION").to_owned());
        let uid = resource.uid().unwrap_or_default();
        let figures = ctx.figures.of(&uid, &pods.addresses, instance.monitoring);
        if let Some((connections, sessions)) = figures.await {
            after.connections = Some(connections);
            after.sessions = Some(sessions);
        }
    }
    if let Some(kafka) = &found.kafka {
        after.kafka = Some(kafka.clone());
    }
    let known_anew = after.kafka != before.kafka;
    let turned = is_true(&after.conditions, "Ready") != is_true(&before.conditions, "Ready");
    status::write(ctx, resource, resource.status.as_ref(), &after).await?;
    if known_anew || turned {
        ctx.stores.wake_those_of(&namespace, &resource.name_any());
    }
    match is_ready || ready.reason == "Suspended" || ready.reason == "Rolling" {
        true => ctx.events.forget(&resource.uid().unwrap_or_default()),
        false => {
            let about = reference_of(resource);
            ctx.events.warn(&about, &ready.reason, &ready.message).await;
        }
    }
    Ok(is_ready)
}

/// What `Ready` says.
fn said_of(
    instance: Option<&ValidInstance>,
    pods: &Pods,
    updated: Option<i32>,
    found: &Found,
) -> Wanted {
    if let Some(fault) = &found.fault {
        let mut message = fault.message.clone();
        if fault.reason == "KafkaUnavailable" && pods.ready > 0 {
            message.push_str("; the brokers that run go on serving what needs no Kafka");
        }
        return Wanted::new("Ready", false, fault.reason, message);
    }
    let replicas = instance.map_or(0, |instance| i32::from(instance.replicas));
    let all_serve = pods.ready >= replicas && pods.there == replicas;
    // Brokers of the configuration before serve as well, but not what was asked for.
    if all_serve && updated == Some(replicas) {
        let served = match replicas {
            0 => "spec.replicas is 0: the service is stopped".to_owned(),
            1 => "the broker serves".to_owned(),
            count => format!("all {count} brokers serve"),
        };
        let notes = found.notes.iter().map(String::as_str);
        let parts: Vec<&str> = std::iter::once(&*served).chain(notes).collect();
        return Wanted::new("Ready", true, "Serving", parts.join("; "));
    }
    if let Some(trouble) = &pods.trouble {
        return Wanted::new("Ready", false, "PodsNotReady", trouble.clone());
    }
    let message = match updated {
        Some(updated) if all_serve => {
            format!("{updated} of {replicas} brokers run the present configuration")
        }
        _ => format!("{} of {replicas} brokers are ready", pods.ready),
    };
    Wanted::new("Ready", false, "Rolling", message)
}
