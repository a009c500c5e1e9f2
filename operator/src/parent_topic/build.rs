//! What a valid parent topic is made of: the Kafka topic and the directory entry. Pure.

use isthmus_kafka::admin::TopicState;
use isthmus_kafka::directory::{Entry, ManagedBy, Parent, ParentType, VERSION};
use isthmus_kafka::names::{NameFault, Names};
use isthmus_kafka::provision::{self, TopicSpec};

use super::ValidParent;
use super::resource::ParentKind;
use crate::instance::ValidInstance;

/// The Kafka topic's name, prefix included.
///
/// # Errors
/// With the instance's prefix it is no name that Kafka takes.
pub fn kafka_topic(parent: &ValidParent, names: &Names) -> Result<String, NameFault> {
    names.parent(&parent.topic)
}

/// The Kafka topic that is wanted.
///
/// # Errors
/// With the instance's prefix it is no name that Kafka takes.
pub fn topic_spec(
    parent: &ValidParent,
    instance: &ValidInstance,
    names: &Names,
) -> Result<TopicSpec, NameFault> {
    let topic = kafka_topic(parent, names)?;
    let packet = instance.limits.max_packet_size;
    Ok(TopicSpec {
        partitions: parent.partitions,
        replication_factor: parent.replication_factor,
        config: parent.config.clone(),
        ..provision::parent_topic(&topic, parent_type(parent.kind), packet)
    })
}

/// The directory entry of a parent whose Kafka topic is there.
#[must_use]
pub fn entry(parent: &ValidParent, kafka_topic: &str, topic: &TopicState) -> Entry {
    Entry::Parent(
        parent.topic.clone(),
        Some(Parent {
            v: VERSION,
            managed_by: ManagedBy::Operator,
            kind: parent_type(parent.kind),
            kafka_topic: kafka_topic.to_owned(),
            max_message_bytes: topic.max_message_bytes(),
        }),
    )
}

fn parent_type(kind: ParentKind) -> ParentType {
    match kind {
        ParentKind::Normal => ParentType::Normal,
        ParentKind::PartitionOrdered => ParentType::PartitionOrdered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::MqttInstance;
    use crate::parent_topic::ParentTopic;
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value, reason = "called with json!")]
    fn parent(fields: serde_json::Value) -> ValidParent {
        let mut spec = json!({"instanceRef": {"name": "plant"}});
        spec.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let resource: ParentTopic = serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "ParentTopic",
            "metadata": {"name": "topic-1"}, "spec": spec,
        }))
        .unwrap();
        crate::parent_topic::validate(&resource, None).unwrap()
    }

    fn instance() -> ValidInstance {
        let resource: MqttInstance = serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttInstance",
            "metadata": {"name": "plant"},
            "spec": {"kafka": {"bootstrapServers": "kafka:9092", "topicPrefix": "eu."}},
        }))
        .unwrap();
        crate::instance::validate(&resource, None).unwrap()
    }

    #[test]
    fn a_topic_holds_six_times_a_packet_and_says_what_the_user_wrote() {
        let parent = parent(json!({
            "partitions": 3, "retention": "unlimited", "config": {"cleanup.policy": "compact"},
        }));
        let instance = instance();
        let names = crate::instance::build::names(&instance);
        let spec = topic_spec(&parent, &instance, &names).unwrap();
        assert_eq!(spec.name, "eu.topic-1");
        assert_eq!((spec.partitions, spec.replication_factor), (Some(3), None));
        assert_eq!(spec.defaults["max.message.bytes"], "12648448");
        assert_eq!(spec.config["retention.ms"], "-1");
        assert_eq!(spec.config["cleanup.policy"], "compact");
    }

    #[test]
    fn a_name_too_long_with_the_prefix_is_refused() {
        let parent = parent(json!({"topicName": "a".repeat(249)}));
        let instance = instance();
        let names = crate::instance::build::names(&instance);
        assert!(topic_spec(&parent, &instance, &names).is_err());
    }

    #[test]
    fn the_entry_says_what_the_topic_really_takes() {
        let parent = parent(json!({"topicName": "orderMsg2mq-a", "type": "PartitionOrdered"}));
        let state = TopicState {
            topic_id: String::new(),
            partitions: 1,
            replication_factor: 1,
            config: [("max.message.bytes".to_owned(), "1000".to_owned())].into(),
            overridden: std::collections::BTreeSet::new(),
        };
        let (key, value) = entry(&parent, "eu.orderMsg2mq-a", &state).encode();
        assert_eq!(key, "parent/orderMsg2mq-a");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&value.unwrap()).unwrap(),
            json!({
                "v": 1, "managedBy": "operator", "type": "PartitionOrdered",
                "kafkaTopic": "eu.orderMsg2mq-a", "maxMessageBytes": 1000,
            })
        );
    }
}
