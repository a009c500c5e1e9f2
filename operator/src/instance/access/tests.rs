//! What is missing is named with its field, Secret and key, and no secret is shown.

use super::*;
use crate::instance::{MqttInstance, validate};
use serde_json::{Value, json};

#[allow(clippy::needless_pass_by_value, reason = "called with json!")]
fn instance(fields: Value) -> ValidInstance {
    let mut kafka = json!({"bootstrapServers": "kafka:9093"});
    for (key, value) in fields.as_object().unwrap() {
        kafka[key] = value.clone();
    }
    let resource: MqttInstance = serde_json::from_value(json!({
        "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttInstance",
        "metadata": {"name": "plant", "namespace": "iot"}, "spec": {"kafka": kafka},
    }))
    .unwrap();
    validate(&resource, None).unwrap()
}

fn secrets(of: &[(&str, &[(&str, &str)])]) -> Secrets {
    let data = |keys: &[(&str, &str)]| {
        let entry = |(key, text): &(&str, &str)| ((*key).to_owned(), text.as_bytes().to_vec());
        Arc::new(keys.iter().map(entry).collect())
    };
    of.iter()
        .map(|(name, keys)| ((*name).to_owned(), data(keys)))
        .collect()
}

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
const KEY_PEM: &str = "-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----\n";

fn full() -> ValidInstance {
    instance(json!({
        "tls": {"caSecretRef": {"name": "ca"}, "certSecretRef": {"name": "us"}},
        "sasl": {
            "mechanism": "SCRAM-SHA-512", "username": "isthmus",
            "passwordSecretRef": {"name": "login"},
        },
    }))
}

#[test]
fn everything_comes_from_the_secrets() {
    let full = full();
    let needed = needed(full.kafka_tls.as_ref(), full.kafka_sasl.as_ref());
    assert_eq!(needed, ["ca", "login", "us"]);
    let secrets = secrets(&[
        ("ca", &[("ca.crt", PEM)]),
        ("us", &[("tls.crt", PEM), ("tls.key", KEY_PEM)]),
        ("login", &[("password", "s3cret\n")]),
    ]);
    let connection = connection(&full, &secrets).unwrap();
    let tls = connection.tls.clone().unwrap();
    assert_eq!(tls.ca.as_deref(), Some(PEM));
    assert_eq!(tls.identity.unwrap().key, KEY_PEM);
    // A line break at the end is part of a password.
    assert_eq!(connection.sasl.clone().unwrap().password, "s3cret\n");
    assert!(!format!("{connection:?}").contains("s3cret"));
    assert!(fingerprint(&connection).is_some());
}

#[test]
fn without_secrets_nothing_is_needed() {
    let plain = connection(&instance(json!({})), &Secrets::new()).unwrap();
    assert_eq!(plain, Connection::plain("kafka:9093"));
    assert_eq!(fingerprint(&plain), None);
    let tls = connection(&instance(json!({"tls": {}})), &Secrets::new()).unwrap();
    assert_eq!(tls.tls, Some(Tls::default()));
    assert_eq!(fingerprint(&tls), None);
}

#[test]
fn the_fingerprint_changes_with_the_password_alone() {
    let login = |password| {
        let instance = instance(json!({"sasl": {
            "mechanism": "PLAIN", "username": "u", "passwordSecretRef": {"name": "l", "key": "p"},
        }}));
        let connection = connection(&instance, &secrets(&[("l", &[("p", password)])]));
        fingerprint(&connection.unwrap()).unwrap()
    };
    assert_eq!(login("a"), login("a"));
    assert_ne!(login("a"), login("b"));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let said = |of: &[(&str, &[(&str, &str)])]| {
        let fault = connection(&full(), &secrets(of)).unwrap_err();
        (fault.absent, fault.message)
    };
    let ca = ("ca", &[("ca.crt", PEM)] as &[(&str, &str)]);
    let us = (
        "us",
        &[("tls.crt", PEM), ("tls.key", KEY_PEM)] as &[(&str, &str)],
    );
    assert_eq!(
        said(&[]),
        (true, "spec.kafka.tls.caSecretRef: Secret ca is not in this namespace: make it with the key \"ca.crt\"".to_owned())
    );
    assert_eq!(
        said(&[("ca", &[("tls.crt", PEM)])]),
        (
            true,
            "spec.kafka.tls.caSecretRef: Secret ca has no key \"ca.crt\", it has: tls.crt"
                .to_owned()
        )
    );
    assert_eq!(
        said(&[("ca", &[("ca.crt", "hello")])]),
        (
            false,
            "spec.kafka.tls.caSecretRef: key \"ca.crt\" of Secret ca holds no PEM certificate"
                .to_owned()
        )
    );
    assert_eq!(
        said(&[ca, ("us", &[("tls.crt", PEM), ("tls.key", PEM)])]),
        (
            false,
            "spec.kafka.tls.certSecretRef: key \"tls.key\" of Secret us holds no PEM private key"
                .to_owned()
        )
    );
    assert_eq!(
        said(&[ca, us, ("login", &[("password", "")])]),
        (false, "spec.kafka.sasl.passwordSecretRef: key \"password\" of Secret login is empty: set Kafka's password".to_owned())
    );
}
