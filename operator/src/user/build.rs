//! What a valid user is made of: two directory entries and, where it has no Secret, a generated
//! one. Pure but for the salt and the password, which are given.

use isthmus_kafka::directory::{Acl, Entry, ManagedBy, User, VERSION};

use super::ValidUser;

/// The account and its rules.
#[must_use]
pub fn entries(user: &ValidUser, password_hash: String) -> [Entry; 2] {
    let account = User {
        v: VERSION,
        managed_by: ManagedBy::Operator,
        enabled: user.enabled,
        password_hash,
    };
    let acl = Acl {
        v: VERSION,
        managed_by: ManagedBy::Operator,
        rules: user.acl.clone(),
    };
    [
        Entry::User(user.username.clone(), Some(account)),
        Entry::Acl(user.username.clone(), Some(acl)),
    ]
}

/// The keys of a generated Secret; `address` is `host:port`, or the URI of a listener.
#[must_use]
pub fn secret_data(user: &ValidUser, password: &str, address: &str) -> [(&'static str, String); 3] {
    let (scheme, address) = address.split_once("://").unwrap_or(("mqtt", address));
    let uri = format!(
        "{scheme}://{}:{}@{address}",
        percent(&user.username),
        percent(password)
    );
    [
        ("username", user.username.clone()),
        ("password", password.to_owned()),
        ("uri", uri),
    ]
}

/// RFC 3986: everything but the unreserved characters.
fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::MqttUser;
    use serde_json::{Value, json};

    fn user() -> ValidUser {
        let resource: MqttUser = serde_json::from_value(json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttUser",
            "metadata": {"name": "demo"},
            "spec": {
                "instanceRef": {"name": "plant"}, "username": "de mo",
                "acl": [{"topic": "a/#", "action": "sub"}],
            },
        }))
        .unwrap();
        crate::user::validate(&resource, None).unwrap()
    }

    #[test]
    fn a_user_is_an_account_and_its_rules() {
        let records = entries(&user(), "$argon2id$x".to_owned()).map(|entry| {
            let (key, value) = entry.encode();
            (
                key,
                serde_json::from_slice::<Value>(&value.unwrap()).unwrap(),
            )
        });
        assert_eq!(
            records,
            [
                (
                    "user/de mo".to_owned(),
                    json!({"v": 1, "managedBy": "operator", "enabled": true, "passwordHash": "$argon2id$x"})
                ),
                (
                    "acl/de mo".to_owned(),
                    json!({"v": 1, "managedBy": "operator", "rules": [{"topic": "a/#", "action": "sub"}]})
                ),
            ]
        );
    }

    #[test]
    fn a_generated_secret_has_a_uri_that_clients_take() {
        let data = secret_data(&user(), "p/w", "localhost:1883");
        assert_eq!(
            data[2],
            ("uri", "mqtt://de%20mo:p%2Fw@localhost:1883".to_owned())
        );
        let data = secret_data(&user(), "p", "ws://plant-ws.iot.svc:8083/mqtt");
        assert_eq!(data[2].1, "ws://de%20mo:p@plant-ws.iot.svc:8083/mqtt");
    }
}
