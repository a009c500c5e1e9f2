//! What an instance depends on besides its spec: the Secrets for Kafka, the cluster that it began
//! with, what was applied before. Reads only.

use kube::ResourceExt as _;

use super::resource::MqttInstance;
use super::{ValidInstance, access, build, objects, rules};
use crate::control::Context;
use crate::control::kafka::{Problem, Settings};
use crate::control::secrets::read;
use crate::control::stores::get;
use crate::fault::Fault;

/// How an instance's Kafka is reached.
///
/// # Errors
/// A Secret is not there or does not hold what it is to.
pub async fn settings(
    ctx: &Context,
    resource: &MqttInstance,
    instance: &ValidInstance,
) -> Result<Settings, Problem> {
    let mut secrets = access::Secrets::new();
    let sasl = instance.kafka_sasl.as_ref();
    for name in access::needed(instance.kafka_tls.as_ref(), sasl) {
        let read = read(ctx, &instance.namespace, &name).await;
        let read = read.map_err(|error| Problem {
            reason: "SecretNotFound",
            message: format!("the API server was asked for Secret {name}: {error}"),
            stalled: false,
        })?;
        secrets.extend(read.map(|data| (name, data)));
    }
    let password = sasl.map(|sasl| {
        let at = &sasl.password_secret_ref;
        format!("key {:?} of Secret {}", at.key, at.name)
    });
    Ok(Settings {
        connection: access::connection(instance, &secrets)?,
        password,
        directory: build::names(instance).directory(),
        cluster_id: cluster_id(resource),
    })
}

/// The Kafka cluster that an instance began with.
#[must_use]
pub fn cluster_id(resource: &MqttInstance) -> Option<String> {
    let kafka = resource.status.as_ref()?.kafka.as_ref()?;
    kafka.cluster_id.clone()
}

/// What cannot change is as it was applied before; the API server's own rule may be switched off.
pub(super) fn as_before(
    ctx: &Context,
    instance: ValidInstance,
) -> Result<ValidInstance, Vec<Fault>> {
    let set = get(&ctx.stores.sets, &instance.namespace, &instance.name);
    let before = |annotation: &str| {
        let set = set.as_ref()?;
        set.annotations().get(annotation).cloned()
    };
    let mut faults = Vec::new();
    let slots = before(objects::SLOTS).is_none_or(|slots| slots == instance.slots.to_string());
    rules::SLOTS.check(slots, &mut faults);
    let prefix = before(objects::PREFIX).is_none_or(|prefix| prefix == instance.topic_prefix);
    rules::PREFIX.check(prefix, &mut faults);
    if faults.is_empty() {
        Ok(instance)
    } else {
        Err(faults)
    }
}
