//! A Kafka that lets in only who knows the password or has a certificate.

use std::sync::OnceLock;

use isthmus_tests::cluster::{Space, condition};
use isthmus_tests::kafka::{PASSWORD, USERNAME};
use isthmus_tests::{Client, Kafka, Options, QoS, Tail};

const OPEN: &str =
    "authentication: {allowAnonymous: true, anonymousAcl: [{topic: \"#\", action: pubsub}]}";

fn guarded() -> &'static Kafka {
    static GUARDED: OnceLock<Kafka> = OnceLock::new();
    GUARDED.get_or_init(Kafka::secured)
}

fn secret(name: &str, entries: &[(&str, &str)]) -> String {
    let data: serde_json::Map<_, _> = entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), serde_json::json!(value)))
        .collect();
    let secret = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data,
    });
    secret.to_string()
}

/// An instance with these lines in `kafka`.
fn instance(space: &Space, servers: &str, kafka: &str) -> String {
    format!(
        "apiVersion: mqtt.isthmus.dev/v1alpha1\nkind: MqttInstance\nmetadata: {{name: plant}}\n\
         spec: {{replicas: 1, slots: 4, {OPEN}, kafka: {{bootstrapServers: \"{servers}\", \
         topicPrefix: \"{}.\", {kafka}}}}}\n",
        space.name
    )
}

fn by_password(mechanism: &str) -> String {
    format!(
        "tls: {{caSecretRef: {{name: authority}}}}, \
         sasl: {{mechanism: {mechanism}, username: {USERNAME}, passwordSecretRef: {{name: login}}}}"
    )
}

/// What a device publishes arrives.
fn serves(space: &Space) {
    space.apply(&Space::of_plant("ParentTopic", "up", ""));
    space.ready("mqtti", "plant");
    space.ready("mqttpt", "up");
    let mut tail = Tail::from_now(&guarded().bootstrap(), &space.topic("up"));
    let mut device = Client::connect(&space.address("plant"), &Options::new("device").anonymous());
    let hello = isthmus_tests::client::Outgoing::new("up/1", "hello");
    device.publish(&hello.qos(QoS::AtLeastOnce));
    assert_eq!(tail.keyed("device").json()["payload"], "hello");
}

#[test]
#[ignore = "make e2e"]
fn kafka_is_used_over_tls_with_a_password() {
    let space = Space::new("password");
    space.apply(&secret(
        "authority",
        &[("ca.crt", &guarded().guard().authority)],
    ));
    space.apply(&secret("login", &[("password", PASSWORD)]));
    let servers = guarded().bootstrap_by_password();
    space.apply(&instance(&space, &servers, &by_password("SCRAM-SHA-512")));
    serves(&space);
}

#[test]
#[ignore = "make e2e"]
fn kafka_is_used_with_a_certificate() {
    let space = Space::new("certificate");
    let guard = guarded().guard();
    space.apply(&secret("authority", &[("ca.crt", &guard.authority)]));
    let pair = [("tls.crt", &*guard.certificate), ("tls.key", &*guard.key)];
    space.apply(&secret("pair", &pair));
    let servers = guarded().bootstrap_by_certificate();
    let tls = "tls: {caSecretRef: {name: authority}, certSecretRef: {name: pair}}";
    space.apply(&instance(&space, &servers, tls));
    serves(&space);
}

#[test]
#[ignore = "make e2e"]
fn a_wrong_password_of_kafka_is_said_and_the_right_one_taken_when_it_comes() {
    let space = Space::new("wrong");
    space.apply(&secret(
        "authority",
        &[("ca.crt", &guarded().guard().authority)],
    ));
    space.apply(&secret("login", &[("password", "not this one")]));
    let servers = guarded().bootstrap_by_password();
    space.apply(&instance(&space, &servers, &by_password("PLAIN")));
    let plant = space.until("mqtti", "plant", "refused by Kafka", |plant| {
        condition(plant, "KafkaConnected", "status") == "False"
    });
    let said = condition(&plant, "KafkaConnected", "message");
    assert!(
        said.contains("login") && said.contains("password"),
        "{said}"
    );
    assert_ne!(condition(&plant, "Ready", "status"), "True");
    space.apply(&secret("login", &[("password", PASSWORD)]));
    serves(&space);
}

#[test]
#[ignore = "make e2e"]
fn a_secret_for_kafka_that_is_missing_is_named_and_taken_when_it_comes() {
    let space = Space::new("missing");
    space.apply(&secret("login", &[("password", PASSWORD)]));
    let servers = guarded().bootstrap_by_password();
    space.apply(&instance(&space, &servers, &by_password("SCRAM-SHA-256")));
    let plant = space.until("mqtti", "plant", "without its authority", |plant| {
        condition(plant, "Ready", "message").contains("authority")
    });
    assert_ne!(condition(&plant, "Ready", "status"), "True");
    space.apply(&secret(
        "authority",
        &[("ca.crt", &guarded().guard().authority)],
    ));
    serves(&space);
}
