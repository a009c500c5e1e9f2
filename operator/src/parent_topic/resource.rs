//! The `ParentTopic` resource as users write it.

#![allow(
    clippy::duplicated_attributes,
    reason = "each printer column has a type_ of its own"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::references::{DeletionPolicy, InstanceRef};
use crate::values::Retention;

/// A parent topic: messages under it are stored in the Kafka topic of the same name.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mqtt.isthmus.dev",
    version = "v1alpha1",
    kind = "ParentTopic",
    doc = "The first level of MQTT topics whose messages are stored in one Kafka topic.",
    plural = "parenttopics",
    shortname = "mqttpt",
    category = "isthmus",
    namespaced,
    derive = "PartialEq",
    status = "ParentTopicStatus",
    printcolumn(
        name = "Instance",
        type_ = "string",
        json_path = ".spec.instanceRef.name"
    ),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.kafkaTopic"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(
        name = "Partitions",
        type_ = "integer",
        json_path = ".status.partitions"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        json_path = ".status.replicationFactor"
    ),
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
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ParentTopicSpec {
    /// Reconciling is paused; the topic stays as it is.
    #[serde(default)]
    pub suspend: bool,
    /// The instance, in the same namespace. Cannot be changed.
    pub instance_ref: InstanceRef,
    /// The parent topic's name; absent: the name of this resource. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249))]
    pub topic_name: Option<String>,
    /// `PartitionOrdered`: a failed write is never overtaken by a later one of the same device,
    /// and the number of partitions is fixed. Cannot be changed.
    #[serde(default, rename = "type")]
    pub kind: ParentKind,
    /// Partitions of the Kafka topic; absent: Kafka's default. They can grow, never shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub partitions: Option<i32>,
    /// Replicas of each partition; absent: Kafka's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32767))]
    pub replication_factor: Option<i32>,
    /// How long messages are kept, `168h` or `unlimited`; absent: Kafka's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Any config of a Kafka topic.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub config: BTreeMap<String, String>,
    /// `Delete`: the Kafka topic and all messages in it go with this resource.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// How strictly the order of a device's messages is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ParentKind {
    /// In order per device.
    #[default]
    Normal,
    /// In order per device even over failed writes; its name starts with `orderMsg2mq-`.
    PartitionOrdered,
}

/// What the operator observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentTopicStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready; Stalled when only a person can help.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"],
    ))]
    pub conditions: Vec<Condition>,
    /// The Kafka topic, prefix included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka_topic: Option<String>,
    /// The id that Kafka gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Partitions it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Replicas it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// The configs that the topic itself sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}

impl crate::control::status::Report for ParentTopicStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
