//! Every rule, accepted and refused, by the Rust and by the CEL of the schema alike.

use serde_json::{Value, json};

use crate::testing::{Verdict, check_updates, check_values};
use crate::user::validate::PasswordSource;
use crate::user::{MqttUser, validate};

#[allow(clippy::needless_pass_by_value, reason = "called with json!")]
fn user(fields: Value) -> Value {
    let mut spec = json!({"instanceRef": {"name": "plant"}});
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({
        "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttUser",
        "metadata": {"name": "demo", "namespace": "iot"}, "spec": spec,
    })
}

fn read(value: &Value) -> MqttUser {
    serde_json::from_value(value.clone()).unwrap()
}

fn verdict(new: &Value, old: Option<&Value>) -> Verdict {
    let faults = validate(&read(new), old.map(read).as_ref())
        .err()
        .unwrap_or_default();
    Verdict::new(&faults, "MqttUser", new, old)
}

#[test]
fn values() {
    let characters = "spec.username: a username has 1 to 256 characters, none of + # / and no control characters";
    let secret = "spec.generatedSecretName: a Secret's name has lower-case letters, digits, - and . only, a letter or digit at both ends";
    check_values(
        verdict,
        &[
            (user(json!({})), &[]),
            (user(json!({"username": "Überwachung 1@x:y"})), &[]),
            (user(json!({"username": "a+b"})), &[characters]),
            (user(json!({"username": "a#"})), &[characters]),
            (user(json!({"username": "a/b"})), &[characters]),
            (user(json!({"username": "a\n"})), &[characters]),
            (user(json!({"username": "\u{7f}"})), &[characters]),
            (user(json!({"username": "\u{85}"})), &[characters]),
            (user(json!({"passwordSecretRef": {"name": "s"}})), &[]),
            (user(json!({"generatedSecretName": "s"})), &[]),
            (user(json!({"generatedSecretName": "../S"})), &[secret]),
            (user(json!({"generatedSecretName": "a-"})), &[secret]),
            (
                user(json!({"passwordSecretRef": {"name": "s"}, "generatedSecretName": "t"})),
                &[
                    "spec.generatedSecretName: goes without passwordSecretRef: either you give the password or it is generated",
                ],
            ),
            (
                user(json!({"acl": [{"topic": "a/#"}, {"topic": "a/#", "action": "sub"}]})),
                &[],
            ),
            (
                user(json!({"acl": [{"topic": "a#"}, {"topic": "$share/g/a"}]})),
                &[
                    "spec.acl[0].topic: \"a#\" is not a topic filter: + must fill a whole level, # must be the whole last level",
                    "spec.acl[1].topic: write the filter inside $share/<group>/: it allows the shared subscription too",
                ],
            ),
        ],
    );
}

#[test]
fn changes() {
    let fixed = |field: &str| format!("{field}: cannot be changed: make another MqttUser");
    check_updates(
        verdict,
        &[
            (user(json!({})), user(json!({"username": "demo"})), &[]),
            (
                user(json!({})),
                user(json!({"enabled": false, "acl": [{"topic": "#"}]})),
                &[],
            ),
            (
                user(json!({})),
                user(json!({"username": "other"})),
                &[&fixed("spec.username")],
            ),
            (
                user(json!({})),
                user(json!({"instanceRef": {"name": "b"}})),
                &[&fixed("spec.instanceRef.name")],
            ),
        ],
    );
}

#[test]
fn a_password_is_given_or_generated() {
    let source = |fields| validate(&read(&user(fields)), None).unwrap().password;
    assert_eq!(
        source(json!({})),
        PasswordSource::Generated("demo-mqtt".into())
    );
    assert_eq!(
        source(json!({"generatedSecretName": "x"})),
        PasswordSource::Generated("x".into())
    );
    let PasswordSource::Given(given) = source(json!({"passwordSecretRef": {"name": "s"}})) else {
        panic!("generated");
    };
    assert_eq!((given.name.as_str(), given.key.as_str()), ("s", "password"));
}
