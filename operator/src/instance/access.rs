//! How one gets into Kafka: `spec.kafka.tls` and `spec.kafka.sasl`, and what their Secrets say. Pure.
//!
//! Invariant: what is said of a Secret names it, its key and the field, and never what is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use isthmus_kafka::client::{Connection, Identity, Sasl, Tls};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ValidInstance;
use crate::references::{CaRef, PasswordRef, SecretName};

/// TLS to Kafka. Empty: the authorities of the system are trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KafkaTls {
    /// The authority that signed Kafka's certificate; absent: those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<CaRef>,
    /// A certificate for Kafka to know us by, keys tls.crt and tls.key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<SecretName>,
}

/// Name and password for Kafka.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaSasl {
    /// How the password is proved.
    pub mechanism: SaslMechanism,
    /// Kafka's user.
    #[schemars(length(min = 1, max = 256))]
    pub username: String,
    /// Where the password stands; its exact bytes count.
    pub password_secret_ref: PasswordRef,
}

/// How the password is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SaslMechanism {
    /// Sent as it is: over TLS only.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge and response.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with the longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl From<SaslMechanism> for isthmus_config::SaslMechanism {
    fn from(mechanism: SaslMechanism) -> Self {
        match mechanism {
            SaslMechanism::Plain => Self::Plain,
            SaslMechanism::ScramSha256 => Self::ScramSha256,
            SaslMechanism::ScramSha512 => Self::ScramSha512,
        }
    }
}

/// What a Secret holds.
pub type Data = BTreeMap<String, Vec<u8>>;

/// The Secrets of one namespace that are there, by name.
pub type Secrets = BTreeMap<String, Arc<Data>>;

/// Keys of a client certificate's Secret.
pub(super) const CERTIFICATE: &str = "tls.crt";
/// The same.
pub(super) const KEY: &str = "tls.key";

/// What is wrong with a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFault {
    /// It is not there, or has not the key: it may come. Else what it holds is wrong.
    pub absent: bool,
    /// What is wrong, and the way out.
    pub message: String,
}

/// The names of the Secrets that an instance's Kafka needs.
#[must_use]
pub fn needed(tls: Option<&KafkaTls>, sasl: Option<&KafkaSasl>) -> Vec<String> {
    let ca = tls.and_then(|tls| tls.ca_secret_ref.as_ref());
    let certificate = tls.and_then(|tls| tls.cert_secret_ref.as_ref());
    let mut names: Vec<String> = ca.map(|ca| ca.name.clone()).into_iter().collect();
    names.extend(certificate.map(|certificate| certificate.name.clone()));
    names.extend(sasl.map(|sasl| sasl.password_secret_ref.name.clone()));
    names.sort();
    names.dedup();
    names
}

/// Where Kafka is and how one gets in.
///
/// # Errors
/// A Secret is not there or does not hold what it is to.
pub fn connection(instance: &ValidInstance, secrets: &Secrets) -> Result<Connection, SecretFault> {
    let tls = instance.kafka_tls.as_ref();
    let sasl = instance.kafka_sasl.as_ref();
    Ok(Connection {
        bootstrap_servers: instance.bootstrap_servers.clone(),
        tls: tls.map(|tls| read_tls(tls, secrets)).transpose()?,
        sasl: sasl.map(|sasl| read_sasl(sasl, secrets)).transpose()?,
    })
}

fn read_tls(tls: &KafkaTls, secrets: &Secrets) -> Result<Tls, SecretFault> {
    let ca = tls.ca_secret_ref.as_ref().map(|ca| Place {
        field: "spec.kafka.tls.caSecretRef",
        secret: &ca.name,
        key: &ca.key,
    });
    let identity = |secret: &SecretName| {
        let place = |key| Place {
            field: "spec.kafka.tls.certSecretRef",
            secret: &secret.name,
            key,
        };
        Ok(Identity {
            certificate: place(CERTIFICATE).pem(secrets, "CERTIFICATE", "PEM certificate")?,
            key: place(KEY).pem(secrets, "PRIVATE KEY", "PEM private key")?,
        })
    };
    Ok(Tls {
        ca: ca
            .map(|ca| ca.pem(secrets, "CERTIFICATE", "PEM certificate"))
            .transpose()?,
        identity: tls.cert_secret_ref.as_ref().map(identity).transpose()?,
    })
}

fn read_sasl(sasl: &KafkaSasl, secrets: &Secrets) -> Result<Sasl, SecretFault> {
    let place = Place {
        field: "spec.kafka.sasl.passwordSecretRef",
        secret: &sasl.password_secret_ref.name,
        key: &sasl.password_secret_ref.key,
    };
    let password = place.text(secrets)?;
    if password.is_empty() {
        return Err(place.wrong("is empty: set Kafka's password"));
    }
    Ok(Sasl {
        mechanism: sasl.mechanism.into(),
        username: sasl.username.clone(),
        password,
    })
}

/// A key of a Secret, and the field that names it.
struct Place<'a> {
    field: &'static str,
    secret: &'a str,
    key: &'a str,
}

impl Place<'_> {
    fn text(&self, secrets: &Secrets) -> Result<String, SecretFault> {
        let Self { field, secret, key } = self;
        let absent = |message| SecretFault {
            absent: true,
            message,
        };
        let Some(data) = secrets.get(*secret) else {
            return Err(absent(format!(
                "{field}: Secret {secret} is not in this namespace: make it with the key {key:?}"
            )));
        };
        let Some(bytes) = data.get(*key) else {
            let keys: Vec<&str> = data.keys().map(String::as_str).collect();
            return Err(absent(format!(
                "{field}: Secret {secret} has no key {key:?}, it has: {}",
                keys.join(", ")
            )));
        };
        let text = std::str::from_utf8(bytes).ok();
        let text = text.filter(|text| !text.contains('\0'));
        text.map(str::to_owned)
            .ok_or_else(|| self.wrong("is not UTF-8 text"))
    }

    fn pem(&self, secrets: &Secrets, kind: &str, called: &str) -> Result<String, SecretFault> {
        let text = self.text(secrets)?;
        let begins = |line: &str| {
            line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{kind}-----"))
        };
        if text.lines().any(begins) {
            return Ok(text);
        }
        Err(self.wrong(&format!("holds no {called}")))
    }

    fn wrong(&self, what: &str) -> SecretFault {
        let Self { field, secret, key } = self;
        SecretFault {
            absent: false,
            message: format!("{field}: key {key:?} of Secret {secret} {what}"),
        }
    }
}

/// Changes with what the Secrets hold, and tells nothing of it; `None` without any.
#[must_use]
pub fn fingerprint(connection: &Connection) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    let mut any = false;
    let mut add = |text: &str| {
        any = true;
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    if let Some(tls) = &connection.tls {
        tls.ca.as_deref().into_iter().for_each(&mut add);
        if let Some(identity) = &tls.identity {
            add(&identity.certificate);
            add(&identity.key);
        }
    }
    if let Some(sasl) = &connection.sasl {
        add(&sasl.password);
    }
    any.then(|| hasher.finalize().to_hex().chars().take(32).collect())
}

#[cfg(test)]
mod tests;
