//! Every rule, accepted and refused, by the Rust and by the CEL of the schema alike.

use serde_json::{Value, json};

use crate::instance::{MqttInstance, validate};
use crate::testing::{Verdict, check_updates, check_values};

#[allow(clippy::needless_pass_by_value, reason = "called with json!")]
fn instance(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttInstance",
        "metadata": {"name": name, "namespace": "iot"}, "spec": spec,
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut spec = json!({"kafka": {"bootstrapServers": "kafka:9092"}});
    if let Some((outer, inner)) = field.split_once('.') {
        spec[outer][inner] = value;
    } else {
        spec[field] = value;
    }
    instance("plant", spec)
}

fn verdict(new: &Value, old: Option<&Value>) -> Verdict {
    let read = |value: &Value| serde_json::from_value::<MqttInstance>(value.clone()).unwrap();
    let faults = validate(&read(new), old.map(read).as_ref())
        .err()
        .unwrap_or_default();
    Verdict::new(&faults, "MqttInstance", new, old)
}

#[test]
fn names() {
    let spec = json!({"kafka": {"bootstrapServers": "kafka:9092"}});
    let message = "metadata.name: an instance's name has at most 40 characters: lower-case letters, digits and -, a letter first, no - at the end";
    for name in ["a", "plant-1", &"a".repeat(40)] {
        verdict(&instance(name, spec.clone()), None).accepted();
    }
    for name in ["1a", "a-", "a.b", &"a".repeat(41)] {
        verdict(&instance(name, spec.clone()), None).refused(&[message]);
    }
}

#[test]
fn values() {
    let ports = "spec.listeners: the ports of the enabled listeners and of monitoring must differ";
    let bootstrap = "spec.kafka.bootstrapServers: must be host:port, several with commas and without spaces between them";
    let path = "spec.listeners.ws.path: must start with / and have visible ASCII characters only, without ? and #";
    let characters =
        "spec.kafka.topicPrefix: Kafka topic names have letters, digits, dots, - and _ only";
    check_values(
        verdict,
        &[
            (with("replicas", json!(0)), &[]),
            (with("replicas", json!(1)), &[]),
            (with("replicas", json!(3)), &[]),
            (with("listeners", json!({"ws": {"enabled": true}})), &[]),
            (
                with(
                    "listeners",
                    json!({"mqtt": {"enabled": false}, "ws": {"enabled": true}}),
                ),
                &[],
            ),
            (
                with("listeners", json!({"mqtt": {"enabled": false}})),
                &["spec.listeners: at least one listener must be enabled"],
            ),
            (
                with("listeners", json!({"ws": {"enabled": true, "port": 1883}})),
                &[ports],
            ),
            (
                with("listeners", json!({"ws": {"enabled": false, "port": 1883}})),
                &[],
            ),
            (with("listeners", json!({"mqtt": {"port": 9090}})), &[ports]),
            (
                with("listeners", json!({"ws": {"enabled": true, "port": 9090}})),
                &[ports],
            ),
            (with("listeners", json!({"ws": {"path": "/"}})), &[]),
            (with("listeners", json!({"ws": {"path": "mqtt"}})), &[path]),
            (with("listeners", json!({"ws": {"path": "/a b"}})), &[path]),
            (with("listeners", json!({"ws": {"path": "/a?b"}})), &[path]),
            (
                with("kafka.bootstrapServers", json!("a:1,b.c:9092,[::1]:9092")),
                &[],
            ),
            (with("kafka.bootstrapServers", json!("a")), &[bootstrap]),
            (
                with("kafka.bootstrapServers", json!("a:1, b:2")),
                &[bootstrap],
            ),
            (with("kafka.bootstrapServers", json!("a:1,")), &[bootstrap]),
            (with("kafka.bootstrapServers", json!(":9092")), &[bootstrap]),
            (
                with("kafka.bootstrapServers", json!("::1:9092")),
                &[bootstrap],
            ),
            (
                with("kafka.bootstrapServers", json!("[]:9092")),
                &[bootstrap],
            ),
            (
                with("kafka.bootstrapServers", json!("a:123456")),
                &[bootstrap],
            ),
            (with("kafka.topicPrefix", json!("eu-1.")), &[]),
            (with("kafka.topicPrefix", json!("eu/")), &[characters]),
            (
                with("kafka.topicPrefix", json!("__x")),
                &[
                    "spec.kafka.topicPrefix: names that start with __ are Kafka's and the brokers' own",
                ],
            ),
            (
                with("session", json!({"expiry": "24h", "maxExpiry": "24h"})),
                &[],
            ),
            (
                with("session", json!({"expiry": "25h"})),
                &["spec.session.expiry: must not be longer than spec.session.maxExpiry"],
            ),
            (with("session", json!({"maxExpiry": "720h"})), &[]),
            (
                with("session", json!({"maxExpiry": "720h1s"})),
                &["spec.session.maxExpiry: must be at most 720h"],
            ),
            (
                with(
                    "authentication",
                    json!({"allowAnonymous": true, "anonymousAcl": []}),
                ),
                &[],
            ),
            (with("authentication", json!({"allowAnonymous": true})), &[]),
            (
                with("authentication", json!({"anonymousAcl": []})),
                &["spec.authentication.anonymousAcl: needs allowAnonymous: true"],
            ),
        ],
    );
}

#[test]
fn changes() {
    check_updates(
        verdict,
        &[
            (with("slots", json!(8)), with("slots", json!(8)), &[]),
            (
                with("slots", json!(32)),
                instance("plant", json!({"kafka": {"bootstrapServers": "b:1"}})),
                &[],
            ),
            (
                with("slots", json!(8)),
                with("slots", json!(9)),
                &[
                    "spec.slots: cannot be changed: sessions are stored by slot; make a new instance",
                ],
            ),
            (
                with("kafka.topicPrefix", json!("a")),
                with("kafka.topicPrefix", json!("b")),
                &[
                    "spec.kafka.topicPrefix: cannot be changed: it is part of every topic's name; make a new instance",
                ],
            ),
        ],
    );
}

#[test]
fn all_faults_are_listed_at_once() {
    let spec = json!({
        "replicas": 33,
        "kafka": {"bootstrapServers": "a", "systemTopics": {"retention": "a week"}},
        "session": {"expiry": "2 hours", "maxQueuedBytes": "0"},
        "limits": {"maxPacketSize": 5},
    });
    let read: MqttInstance = serde_json::from_value(instance("Plant", spec)).unwrap();
    let faults: Vec<String> = validate(&read, None)
        .unwrap_err()
        .iter()
        .map(|f| f.path.to_string())
        .collect();
    assert_eq!(
        faults,
        [
            "metadata.name",
            "spec.replicas",
            "spec.kafka.bootstrapServers",
            "spec.session.expiry",
            "spec.session.maxQueuedBytes",
            "spec.kafka.systemTopics.retention",
            "spec.limits.maxPacketSize",
        ]
    );
}
