//! The `MqttUser` resource as users write it.

#![allow(
    clippy::duplicated_attributes,
    reason = "each printer column has a type_ of its own"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::acl::AclRule;
use crate::references::{InstanceRef, PasswordRef};

/// An account: its password and what it may publish and subscribe to.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mqtt.isthmus.dev",
    version = "v1alpha1",
    kind = "MqttUser",
    doc = "An account of an MqttInstance and what it may do.",
    plural = "mqttusers",
    shortname = "mqttu",
    category = "isthmus",
    namespaced,
    derive = "PartialEq",
    status = "MqttUserStatus",
    printcolumn(
        name = "Instance",
        type_ = "string",
        json_path = ".spec.instanceRef.name"
    ),
    printcolumn(name = "Username", type_ = "string", json_path = ".status.username"),
    printcolumn(name = "ACL", type_ = "integer", json_path = ".status.aclRules"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretName"),
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
pub struct MqttUserSpec {
    /// Reconciling is paused; the account stays as it is.
    #[serde(default)]
    pub suspend: bool,
    /// The instance, in the same namespace. Cannot be changed.
    pub instance_ref: InstanceRef,
    /// The username; absent: the name of this resource. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub username: Option<String>,
    /// `false`: the user is refused, and disconnected where connected.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Where the password stands; its exact bytes count. Absent: a Secret is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<PasswordRef>,
    /// The generated Secret's name; absent: `<name>-mqtt`. Its keys: username, password, uri.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub generated_secret_name: Option<String>,
    /// What the user may do; nothing else is allowed.
    #[serde(default)]
    #[schemars(length(max = 256), extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["topic", "action"],
    ))]
    pub acl: Vec<AclRule>,
}

fn yes() -> bool {
    true
}

/// What the operator observed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MqttUserStatus {
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
    /// The username in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The Secret that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Rules in effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl_rules: Option<i32>,
}

impl crate::control::status::Report for MqttUserStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
