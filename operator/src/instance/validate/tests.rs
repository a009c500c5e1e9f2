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
                    json!({"mqtt": {"service": {"type": "NodePort", "nodePort": 31883}}}),
                ),
                &[],
            ),
            (
                with(
                    "listeners",
                    json!({"mqtt": {"service": {"nodePort": 31883}}}),
                ),
                &["spec.listeners.mqtt.service.nodePort: needs type NodePort or LoadBalancer"],
            ),
            (
                with("listeners", json!({"ws": {"service": {"nodePort": 31883}}})),
                &["spec.listeners.ws.service.nodePort: needs type NodePort or LoadBalancer"],
            ),
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
fn values_of_a_cluster() {
    let service = |listener: &str, fields: Value| {
        let enabled = json!({"enabled": true, "service": fields});
        with("listeners", json!({listener: enabled}))
    };
    let node_port = "needs type NodePort or LoadBalancer";
    let mqtt_node_port = format!("spec.listeners.mqtt.service.nodePort: {node_port}");
    let ws_node_port = format!("spec.listeners.ws.service.nodePort: {node_port}");
    let balancer = "loadBalancerClass and loadBalancerSourceRanges need type: LoadBalancer";
    let mqtt_balancer = format!("spec.listeners.mqtt.service: {balancer}");
    let ws_balancer = format!("spec.listeners.ws.service: {balancer}");
    let traffic = "externalTrafficPolicy: Local needs type NodePort or LoadBalancer";
    let mqtt_traffic = format!("spec.listeners.mqtt.service.{traffic}");
    let ws_traffic = format!("spec.listeners.ws.service.{traffic}");
    let peers = "spec.listeners: 7883 is where the brokers of an instance reach each other: use another port";
    let labels = "spec.pod.labels: the labels app.kubernetes.io/name, instance and managed-by are the operator's own";
    let image = "spec.image: must be an image's name, such as example.com/isthmus-broker:1.0, without spaces";
    check_values(
        verdict,
        &[
            (with("image", json!("example.com:5000/a/b:1@sha256:0")), &[]),
            (with("image", json!("a b")), &[image]),
            (with("image", json!("ä")), &[image]),
            (with("listeners", json!({"mqtt": {"port": 7883}})), &[peers]),
            (with("listeners", json!({"ws": {"port": 7883}})), &[]),
            (with("monitoring", json!({"port": 7883})), &[peers]),
            (
                service("mqtt", json!({"type": "NodePort", "nodePort": 31883})),
                &[],
            ),
            (
                service("ws", json!({"type": "LoadBalancer", "nodePort": 31883})),
                &[],
            ),
            (
                service("mqtt", json!({"nodePort": 31883})),
                &[&mqtt_node_port],
            ),
            (service("ws", json!({"nodePort": 31883})), &[&ws_node_port]),
            (
                with(
                    "listeners",
                    json!({
                        "mqtt": {"service": {"type": "NodePort", "nodePort": 31883}},
                        "ws": {"service": {"type": "NodePort", "nodePort": 31883}},
                    }),
                ),
                &["spec.listeners: the node ports of the listeners must differ"],
            ),
            (
                service(
                    "mqtt",
                    json!({
                        "type": "LoadBalancer", "loadBalancerClass": "example.com/a",
                        "loadBalancerSourceRanges": ["10.0.0.0/8"], "externalTrafficPolicy": "Local",
                        "annotations": {"a": "b"},
                    }),
                ),
                &[],
            ),
            (
                service(
                    "mqtt",
                    json!({"type": "NodePort", "loadBalancerClass": "a"}),
                ),
                &[&mqtt_balancer],
            ),
            (
                service("ws", json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]})),
                &[&ws_balancer],
            ),
            (
                service("mqtt", json!({"externalTrafficPolicy": "Local"})),
                &[&mqtt_traffic],
            ),
            (
                service("ws", json!({"externalTrafficPolicy": "Local"})),
                &[&ws_traffic],
            ),
            (
                with("pod", json!({"labels": {"app.kubernetes.io/part-of": "a"}})),
                &[],
            ),
            (
                with(
                    "pod",
                    json!({"labels": {"app.kubernetes.io/instance": "a"}}),
                ),
                &[labels],
            ),
            (
                with(
                    "pod",
                    json!({"annotations": {"mqtt.isthmus.dev/config": "a"}}),
                ),
                &[
                    "spec.pod.annotations: the annotation mqtt.isthmus.dev/config is the operator's own",
                ],
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
