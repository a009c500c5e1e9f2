//! The broker's configuration file: what the operator writes and the broker reads.
//!
//! JSON, camelCase, every field present once the operator's `build` has filled the defaults.
//! Unknown fields are refused, so that a broker older than its operator says so at the start.

use serde::{Deserialize, Serialize};

/// Everything that one broker process is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BrokerConfig {
    /// Which instance this broker belongs to.
    pub instance: InstanceRef,
    /// The name of this pod, `<instance>-<ordinal>`; unique in the instance.
    pub node: String,
    /// Number of slots, 1 to 1024, the same for every broker of the instance for ever.
    pub slots: u16,
    /// Single-threaded shards; absent: one per core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u16>,
    /// Where Kafka is.
    pub kafka: Kafka,
    /// Where devices connect.
    pub listeners: Listeners,
    /// How the brokers of the instance reach each other; absent: this one is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// Health and metrics.
    pub monitoring: Monitoring,
    /// What a session may keep.
    pub session: Session,
    /// Limits, all filled from the preset.
    pub limits: Limits,
    /// Who may connect without an account.
    pub authentication: Authentication,
}

/// Namespace and name of the `MqttInstance`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceRef {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Resource name.
    pub name: String,
}

/// The Kafka cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kafka {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Goes before parent and system topics.
    #[serde(default)]
    pub topic_prefix: String,
    /// Kafka is reached over TLS; absent: in plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTls>,
    /// Name and password; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<KafkaSasl>,
}

/// TLS to Kafka. The files are read once, at the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaTls {
    /// PEM file with the authorities that are trusted; absent: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<std::path::PathBuf>,
    /// PEM file with the client certificate; together with `keyFile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<std::path::PathBuf>,
    /// PEM file with its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<std::path::PathBuf>,
}

/// Name and password for Kafka. The password is in a file, so that this configuration is no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaSasl {
    /// How the password is proved.
    pub mechanism: SaslMechanism,
    /// Kafka's user.
    pub username: String,
    /// File with the password and nothing else.
    pub password_file: std::path::PathBuf,
}

/// A SASL mechanism of Kafka's, under the name that Kafka gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// The password as it is: over TLS only, if at all.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge and response.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with the longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// Kafka's name for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// The listeners that are enabled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listeners {
    /// MQTT over TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<TcpListener>,
    /// MQTT over WebSocket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ws: Option<WsListener>,
}

/// A TCP listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpListener {
    /// `ip:port`; port 0 takes a free one.
    pub address: String,
}

/// A WebSocket listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WsListener {
    /// `ip:port`; port 0 takes a free one.
    pub address: String,
    /// The request path, `/mqtt`.
    pub path: String,
}

/// Links between the brokers of an instance, over mutual TLS (architecture section 3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peers {
    /// `ip:port` where the others connect.
    pub address: String,
    /// `host:port` under which they find it, told in the directory.
    pub advertised: String,
    /// PEM file with the certificate of the instance's own authority.
    pub ca_certificate: std::path::PathBuf,
    /// PEM file with its private key: each process signs itself a certificate.
    pub ca_key: std::path::PathBuf,
}

/// Health and metrics over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Monitoring {
    /// `ip:port`.
    pub address: String,
}

/// What a session may keep (contract section 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Session {
    /// Kept after a disconnect with cleanSession=0, seconds.
    pub expiry_seconds: u32,
    /// The most that an MQTT 5 client may ask for, seconds.
    pub max_expiry_seconds: u32,
    /// Messages queued per session.
    pub max_queued_messages: u32,
    /// Bytes queued per session.
    pub max_queued_bytes: u64,
}

/// Limits (contract section 7). Absent options are without a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a whole Control Packet.
    pub max_packet_size: u32,
    /// Bytes of a published payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_payload_size: Option<u32>,
    /// Length of a Topic Name or Topic Filter: bytes, or characters where `lengthsInCharacters`.
    pub max_topic_length: u32,
    /// Levels of a Topic Name or Topic Filter.
    pub max_topic_levels: u32,
    /// Length of a ClientId: bytes, or characters where `lengthsInCharacters`.
    pub max_client_id_length: u32,
    /// The ctyun preset counts characters, not bytes.
    #[serde(default)]
    pub lengths_in_characters: bool,
    /// Subscriptions of one client.
    pub max_subscriptions_per_client: u32,
    /// Unacknowledged QoS > 0 messages, either way.
    pub max_inflight: u16,
    /// Connections of this pod.
    pub max_connections: u32,
    /// New connections a second of this pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_rate: Option<u32>,
    /// Publishes a second of one client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_rate_per_client: Option<u32>,
    /// The longest keep-alive granted, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_keep_alive_seconds: Option<u16>,
    /// Retained messages kept.
    pub max_retained_messages: u32,
    /// Bytes of retained messages kept.
    pub max_retained_bytes: u64,
    /// Bytes waiting to be written to one client.
    pub max_outgoing_bytes_per_client: u64,
    /// Bytes of this pod waiting for Kafka.
    pub max_kafka_backlog_bytes: u64,
}

/// Who may connect without an account (contract section 6).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authentication {
    /// CONNECT without a username is accepted.
    pub allow_anonymous: bool,
    /// What an anonymous client may do; empty: nothing.
    #[serde(default)]
    pub anonymous_acl: Vec<AclRule>,
}

/// One allow rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AclRule {
    /// A Topic Filter; `%u` and `%c` stand for username and ClientId.
    pub topic: String,
    /// What is allowed.
    pub action: Action,
}

/// What an ACL rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Publish and subscribe.
    #[serde(rename = "pubsub")]
    PubSub,
    /// Publish.
    Pub,
    /// Subscribe.
    Sub,
}

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a broker configuration.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: String,
        /// Line, column and field.
        #[source]
        source: serde_json::Error,
    },
    /// An address for other brokers, and no port where they are let in.
    #[error("--advertised is given, but the configuration has no \"peers\"")]
    NoPeers,
    /// A value given beside the file is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
}

impl BrokerConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown or a missing field, or one of the wrong type.
    pub fn read(path: &std::path::Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: shown.clone(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|source| ConfigError::Parse {
            path: shown,
            source,
        })
    }

    /// The configuration of one pod: the file is the same for all pods, name and address are not.
    ///
    /// # Errors
    /// When a value is empty, or an address is given to a broker that is alone.
    pub fn of_pod(
        mut self,
        node: Option<String>,
        advertised: Option<String>,
    ) -> Result<Self, ConfigError> {
        if let Some(node) = node {
            self.node = filled("--node", node)?;
        }
        if let Some(advertised) = advertised {
            let peers = self.peers.as_mut().ok_or(ConfigError::NoPeers)?;
            peers.advertised = filled("--advertised", advertised)?;
        }
        Ok(self)
    }
}

fn filled(name: &'static str, value: String) -> Result<String, ConfigError> {
    if value.trim().is_empty() {
        return Err(ConfigError::Empty(name));
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
