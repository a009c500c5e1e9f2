//! What a parent topic's reconcile looks up: who else names its Kafka topic. Only watched stores are
//! asked.

use isthmus_kafka::names::{Names, SYSTEM};
use kube::ResourceExt as _;

use super::claims::{Claim, folded};
use super::resource::ParentTopic;
use super::validate::effective_name;
use super::{build, validate};
use crate::control::Context;
use crate::control::age::Age;
use crate::control::stores::{all, get};
use crate::instance::{self, MqttInstance};
use crate::references::DeletionPolicy;

/// What a parent topic claims; `None` while that is not known.
#[must_use]
pub fn claim(ctx: &Context, parent: &ParentTopic) -> Option<Claim> {
    let valid = validate(parent, None).ok()?;
    let found = get(&ctx.stores.instances, &valid.namespace, &valid.instance)?;
    let resource = found.0.as_ref().ok()?;
    let instance = instance::validate(resource, None).ok()?;
    let names = instance::build::names(&instance);
    Some(Claim {
        resource: format!("ParentTopic {}/{}", valid.namespace, valid.name),
        age: Age::of(parent),
        cluster: instance::dereference::cluster_id(resource),
        instance: format!("{}/{}", valid.namespace, valid.instance),
        topic: build::kafka_topic(&valid, &names).ok()?,
        leaving: parent.metadata.deletion_timestamp.is_some()
            && valid.deletion_policy == DeletionPolicy::Delete,
    })
}

/// What others claim that this one may be in the way of.
#[must_use]
pub fn others(ctx: &Context, mine: &Claim, name: &str) -> Vec<Claim> {
    // Cheap first: most names differ, and a prefix is all that may stand before one.
    let name = folded(name);
    let parents = all(&ctx.stores.parents).filter_map(|other| {
        let other = other.0.as_ref().ok()?;
        let theirs = folded(effective_name(other));
        let near = theirs.ends_with(&name) || name.ends_with(&theirs);
        near.then(|| claim(ctx, other)).flatten()
    });
    let mut claims: Vec<Claim> = parents.collect();
    let topic = folded(&mine.topic);
    if SYSTEM.iter().any(|system| topic.ends_with(&folded(system))) {
        let instances = all(&ctx.stores.instances);
        let systems = instances.filter_map(|of| of.0.as_ref().ok().map(system_claims));
        claims.extend(systems.flatten());
    }
    claims
}

/// The system topics of an instance: devices must not write to those of another one.
fn system_claims(resource: &MqttInstance) -> Vec<Claim> {
    let (namespace, name) = (
        resource.namespace().unwrap_or_default(),
        resource.name_any(),
    );
    let names = Names::new(&resource.spec.kafka.topic_prefix, &namespace, &name);
    let cluster = instance::dereference::cluster_id(resource);
    let claims = SYSTEM.iter().map(|system| Claim {
        resource: format!("MqttInstance {namespace}/{name}"),
        age: Age::of(resource),
        cluster: cluster.clone(),
        instance: format!("{namespace}/{name}"),
        topic: names.of(system),
        leaving: false,
    });
    claims.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parent_topic::claims::{Lost, contest};
    use serde_json::json;

    #[test]
    fn the_system_topics_of_another_instance_are_not_to_be_had() {
        let resource: MqttInstance = serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttInstance",
            "metadata": {
                "name": "plant", "namespace": "iot", "uid": "1",
                "creationTimestamp": "2020-01-01T00:00:00Z",
            },
            "spec": {"kafka": {"bootstrapServers": "kafka:9092", "topicPrefix": "eu."}},
            "status": {"kafka": {"clusterId": "c"}},
        }))
        .unwrap();
        let mine = Claim {
            resource: "ParentTopic other/t".to_owned(),
            age: Age::at(i64::MAX, "2"),
            cluster: Some("c".to_owned()),
            instance: "other/x".to_owned(),
            topic: "eu.mq2mqtt".to_owned(),
            leaving: false,
        };
        let theirs = system_claims(&resource);
        assert_eq!(theirs.len(), 4);
        let lost = contest(&mine, &theirs);
        assert_eq!(
            lost,
            Some(Lost::Claimed("MqttInstance iot/plant".to_owned()))
        );
    }
}
