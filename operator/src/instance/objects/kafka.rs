//! The Secrets for Kafka in a pod: a volume each, and the same paths in the configuration.
//!
//! Invariant: the configuration itself holds no secret.

use isthmus_config::{KafkaSasl, KafkaTls};
use serde_json::{Value, json};

use super::CONFIG;
use crate::instance::ValidInstance;
use crate::instance::access::{CERTIFICATE, KEY};

/// The file with the authority, whatever its key in the Secret is called.
const CA: &str = "ca.crt";
/// The file with the password, likewise.
const PASSWORD: &str = "password";

/// Where a broker finds them.
pub(super) fn files(instance: &ValidInstance) -> (Option<KafkaTls>, Option<KafkaSasl>) {
    let tls = instance.kafka_tls.as_ref().map(|tls| {
        let ca = tls.ca_secret_ref.as_ref();
        let client = tls.cert_secret_ref.as_ref();
        KafkaTls {
            ca_file: ca.map(|_| format!("{CONFIG}/kafka-ca/{CA}").into()),
            certificate_file: client.map(|_| format!("{CONFIG}/kafka-client/{CERTIFICATE}").into()),
            key_file: client.map(|_| format!("{CONFIG}/kafka-client/{KEY}").into()),
        }
    });
    let sasl = instance.kafka_sasl.as_ref().map(|sasl| KafkaSasl {
        mechanism: sasl.mechanism.into(),
        username: sasl.username.clone(),
        password_file: format!("{CONFIG}/kafka-password/{PASSWORD}").into(),
    });
    (tls, sasl)
}

/// The volumes and their mounts.
pub(super) fn volumes(instance: &ValidInstance) -> (Vec<Value>, Vec<Value>) {
    let tls = instance.kafka_tls.as_ref();
    let ca = tls.and_then(|tls| tls.ca_secret_ref.as_ref());
    let ca = ca.map(|ca| ("kafka-ca", &ca.name, vec![(ca.key.as_str(), CA)]));
    let client = tls.and_then(|tls| tls.cert_secret_ref.as_ref());
    let pair = vec![(CERTIFICATE, CERTIFICATE), (KEY, KEY)];
    let client = client.map(|client| ("kafka-client", &client.name, pair));
    let sasl = instance.kafka_sasl.as_ref();
    let password = sasl.map(|sasl| {
        let at = &sasl.password_secret_ref;
        (
            "kafka-password",
            &at.name,
            vec![(at.key.as_str(), PASSWORD)],
        )
    });
    let all = ca.into_iter().chain(client).chain(password);
    all.map(|(name, secret, keys)| {
        let items: Vec<Value> = keys
            .into_iter()
            .map(|(key, path)| json!({"key": key, "path": path}))
            .collect();
        let secret = json!({"secretName": secret, "items": items, "defaultMode": 0o440});
        (
            json!({"name": name, "secret": secret}),
            json!({"name": name, "mountPath": format!("{CONFIG}/{name}"), "readOnly": true}),
        )
    })
    .unzip()
}
