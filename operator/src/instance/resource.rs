//! The `MqttInstance` resource as users write it.
//!
//! A field stands here only when the feature behind it exists; every default is in the schema.

#![allow(
    clippy::duplicated_attributes,
    reason = "each printer column has a type_ of its own"
)]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::access::{KafkaSasl, KafkaTls};
use super::deployment::{
    DisruptionBudget, ListenerService, NetworkPolicy, Pod, PullPolicy, PullSecret,
};
use super::limits::Limits;
use super::monitoring::Monitoring;
use super::status::MqttInstanceStatus;
use crate::acl::AclRule;
use crate::references::DeletionPolicy;
use crate::values::{ByteSize, Duration};

/// One MQTT service: its listeners, its Kafka cluster, what sessions may keep and who may connect.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mqtt.isthmus.dev",
    version = "v1alpha1",
    kind = "MqttInstance",
    doc = "One MQTT service and its Kafka cluster.",
    plural = "mqttinstances",
    shortname = "mqtti",
    category = "isthmus",
    namespaced,
    derive = "PartialEq",
    status = "MqttInstanceStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(
        name = "Connections",
        type_ = "integer",
        json_path = ".status.connections"
    ),
    printcolumn(
        name = "Kafka",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"KafkaConnected\")].status"
    ),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".status.version",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MqttInstanceSpec {
    /// Reconciling is paused; what runs goes on.
    #[serde(default)]
    pub suspend: bool,
    /// The broker's image; absent: the one that this release of the operator belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// When a node fetches the image.
    #[serde(default)]
    pub image_pull_policy: PullPolicy,
    /// Secrets with credentials of the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<PullSecret>,
    /// CPU and memory of a broker, as in a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::deployment::object")]
    pub resources: Option<Value>,
    /// Broker processes; 0 stops the service. Not more than `slots`.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 256))]
    pub replicas: u16,
    /// Units of ownership that sessions are split into. Cannot be changed.
    #[serde(default = "thirty_two")]
    #[schemars(range(min = 1, max = 1024))]
    pub slots: u16,
    /// Where devices connect.
    #[serde(default)]
    pub listeners: Listeners,
    /// The Kafka cluster.
    pub kafka: Kafka,
    /// What a session may keep.
    #[serde(default)]
    pub session: Session,
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// Who may connect without an account.
    #[serde(default)]
    pub authentication: Authentication,
    /// Health and metrics.
    #[serde(default)]
    pub monitoring: Monitoring,
    /// What the broker pods have besides.
    #[serde(default)]
    pub pod: Pod,
    /// Whether evictions take one broker at a time.
    #[serde(default)]
    pub pod_disruption_budget: DisruptionBudget,
    /// Whether a policy says who may reach the brokers.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
    /// `Delete`: internal and system topics go with the instance; parent topics never do.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn two() -> u16 {
    2
}

fn thirty_two() -> u16 {
    32
}

/// Where devices connect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Listeners {
    /// MQTT over TCP.
    pub mqtt: MqttListener,
    /// MQTT over WebSocket.
    pub ws: WsListener,
}

/// MQTT over TCP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MqttListener {
    /// Whether it listens.
    pub enabled: bool,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// How it is reached.
    pub service: ListenerService,
}

impl Default for MqttListener {
    fn default() -> Self {
        Self {
            enabled: true,
            port: 1883,
            service: ListenerService::default(),
        }
    }
}

/// MQTT over WebSocket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WsListener {
    /// Whether it listens.
    pub enabled: bool,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The path of the HTTP request.
    #[schemars(length(max = 256))]
    pub path: String,
    /// How it is reached.
    pub service: ListenerService,
}

impl Default for WsListener {
    fn default() -> Self {
        Self {
            enabled: false,
            port: 8083,
            path: "/mqtt".to_owned(),
            service: ListenerService::default(),
        }
    }
}

/// The Kafka cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kafka {
    /// `host:port,host:port`.
    #[schemars(length(min = 1, max = 4096))]
    pub bootstrap_servers: String,
    /// Goes before the names of parent and system topics. Cannot be changed.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub topic_prefix: String,
    /// TLS to Kafka; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTls>,
    /// Name and password for Kafka; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<KafkaSasl>,
    /// The topics that cloud applications use.
    #[serde(default)]
    pub system_topics: SystemTopics,
    /// The topics in which the brokers keep sessions and retained messages.
    #[serde(default)]
    pub internal_topics: InternalTopics,
}

/// `mq2mqtt`, its dead letter and the two presence topics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SystemTopics {
    /// Partitions of each; they can grow, never shrink.
    #[schemars(range(min = 1, max = 10000))]
    pub partitions: i32,
    /// Replicas of each partition; absent: 3, or as many as there are Kafka brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32767))]
    pub replication_factor: Option<i32>,
    /// How long records are kept.
    pub retention: Duration,
}

impl Default for SystemTopics {
    fn default() -> Self {
        Self {
            partitions: 12,
            replication_factor: None,
            retention: "168h".into(),
        }
    }
}

/// The topics in which the brokers keep sessions and retained messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InternalTopics {
    /// Replicas of each partition; absent: 3, or as many as there are Kafka brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32767))]
    pub replication_factor: Option<i32>,
}

/// What a session may keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Session {
    /// How long a session with cleanSession=0 is kept after its client disconnected.
    pub expiry: Duration,
    /// The most that an MQTT 5 client may ask for; at most 720h.
    pub max_expiry: Duration,
    /// Messages that wait for an offline client; past it the oldest goes.
    #[schemars(range(min = 1, max = 10000000))]
    pub max_queued_messages: u32,
    /// Bytes that wait for an offline client; past it the oldest message goes.
    pub max_queued_bytes: ByteSize,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            expiry: "2h".into(),
            max_expiry: "24h".into(),
            max_queued_messages: 1000,
            max_queued_bytes: "64Mi".into(),
        }
    }
}

/// Who may connect without an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Authentication {
    /// Clients without a username are accepted.
    pub allow_anonymous: bool,
    /// What they may do; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["topic", "action"],
    ))]
    pub anonymous_acl: Option<Vec<AclRule>>,
}
