//! Every rule, accepted and refused, by the Rust and by the CEL of the schema alike.

use serde_json::{Value, json};

use crate::parent_topic::{ParentTopic, validate};
use crate::testing::{Verdict, check_updates, check_values};

#[allow(clippy::needless_pass_by_value, reason = "called with json!")]
fn parent(name: &str, fields: Value) -> Value {
    let mut spec = json!({"instanceRef": {"name": "plant"}});
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({
        "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "ParentTopic",
        "metadata": {"name": name, "namespace": "iot"}, "spec": spec,
    })
}

fn verdict(new: &Value, old: Option<&Value>) -> Verdict {
    let read = |value: &Value| serde_json::from_value::<ParentTopic>(value.clone()).unwrap();
    let faults = validate(&read(new), old.map(read).as_ref())
        .err()
        .unwrap_or_default();
    Verdict::new(&faults, "ParentTopic", new, old)
}

fn named(topic: &str) -> Value {
    parent("t", json!({"topicName": topic}))
}

#[test]
fn values() {
    let characters =
        "spec.topicName: a parent topic's name has 1 to 249 letters, digits, dots, - and _";
    let together = "spec.topicName: a name that starts with orderMsg2mq- and type PartitionOrdered go together: set both or neither";
    check_values(
        verdict,
        &[
            (parent("topic-1", json!({})), &[]),
            (named("Topic_1.a-b"), &[]),
            (named(&"a".repeat(249)), &[]),
            (named("a/b"), &[characters]),
            (named("töpic"), &[characters]),
            (named("topic 1"), &[characters]),
            (
                parent(
                    "t",
                    json!({"topicName": "orderMsg2mq-x", "type": "PartitionOrdered"}),
                ),
                &[],
            ),
            (named("orderMsg2mq-x"), &[together]),
            (
                parent("t", json!({"type": "PartitionOrdered"})),
                &[together],
            ),
            (
                parent(
                    "t",
                    json!({"retention": "168h", "config": {"cleanup.policy": "delete"}}),
                ),
                &[],
            ),
            (parent("t", json!({"retention": "unlimited"})), &[]),
            (
                parent("t", json!({"config": {"retention.ms": "1000"}})),
                &[],
            ),
            (
                parent(
                    "t",
                    json!({"retention": "1h", "config": {"retention.ms": "1000"}}),
                ),
                &["spec.retention: set either retention or config[\"retention.ms\"], not both"],
            ),
        ],
    );
}

#[test]
fn reserved_names() {
    for topic in [
        ".",
        "..",
        "__x",
        "mq2mqtt",
        "mq2mqtt-dead-letter",
        "mqtt-device-connect",
        "mqtt-device-disconnect",
    ] {
        let expected = format!(
            "spec.topicName: {topic:?} {}",
            super::rules::RESERVED.message
        );
        verdict(&named(topic), None).refused(&[&expected]);
    }
    for topic in ["...", "_x", "mq2mqtt2", "a__"] {
        verdict(&named(topic), None).accepted();
    }
    verdict(&parent("mq2mqtt", json!({})), None).refused(&[&format!(
        "spec.topicName: \"mq2mqtt\" {}",
        super::rules::RESERVED.message
    )]);
}

#[test]
fn changes() {
    let fixed = |field: &str| format!("{field}: cannot be changed: make another ParentTopic");
    let ordered = |partitions: i32| {
        parent(
            "o",
            json!({"topicName": "orderMsg2mq-o", "type": "PartitionOrdered", "partitions": partitions}),
        )
    };
    let shrink =
        "spec.partitions: Kafka cannot take partitions away: set the former number or more";
    check_updates(
        verdict,
        &[
            (parent("t", json!({})), named("t"), &[]),
            (named("t"), parent("t", json!({})), &[]),
            (named("a"), named("b"), &[&fixed("spec.topicName")]),
            (
                named("a"),
                parent("t", json!({})),
                &[&fixed("spec.topicName")],
            ),
            (
                parent("t", json!({})),
                parent("t", json!({"instanceRef": {"name": "other"}})),
                &[&fixed("spec.instanceRef.name")],
            ),
            (
                parent(
                    "t",
                    json!({"topicName": "orderMsg2mq-t", "type": "PartitionOrdered"}),
                ),
                parent("t", json!({})),
                &[&fixed("spec.topicName"), &fixed("spec.type")],
            ),
            (
                parent("t", json!({"partitions": 3})),
                parent("t", json!({"partitions": 6})),
                &[],
            ),
            (
                parent("t", json!({"partitions": 3})),
                parent("t", json!({})),
                &[],
            ),
            (
                parent("t", json!({})),
                parent("t", json!({"partitions": 6})),
                &[],
            ),
            (
                parent("t", json!({"partitions": 3})),
                parent("t", json!({"partitions": 2})),
                &[shrink],
            ),
            (ordered(3), ordered(3), &[]),
            (
                ordered(3),
                ordered(4),
                &[
                    "spec.partitions: cannot be changed with type PartitionOrdered: messages of a device would change partitions",
                ],
            ),
            (ordered(3), ordered(2), &[shrink]),
        ],
    );
}
