//! What an instance is on a cluster: the objects that the operator applies. Pure.
//!
//! Invariant: the pod template changes only with what a running broker cannot take over, so nothing
//! else replaces pods.

mod kafka;
mod monitors;
mod network;
mod pods;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ValidInstance;
use super::build::{self, Authority, PEERS_PORT, Placement};
use super::deployment::{ListenerService, ServiceType};

/// The label that every object of the operator has.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value, and the field manager.
pub const MANAGER: &str = "isthmus-operator";
/// The label with the instance's name.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// What the pod template says about the configuration that its pods read at their start.
pub const CONFIG_HASH: &str = "mqtt.isthmus.dev/config";

/// The API of Prometheus's operator.
pub const MONITORING: &str = "monitoring.coreos.com/v1";

/// On the StatefulSet: which objects of kinds that are not watched the instance has.
pub const HAS: &str = "mqtt.isthmus.dev/has";
/// On the StatefulSet: the slots that its brokers began with.
pub const SLOTS: &str = "mqtt.isthmus.dev/slots";
/// On the StatefulSet: the prefix of the topics that its brokers began with.
pub const PREFIX: &str = "mqtt.isthmus.dev/topic-prefix";

/// Where the broker's files are in a pod.
const CONFIG: &str = "/etc/isthmus";

/// What the builders are told besides the instance.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The image of this release.
    pub image: String,
    /// What owns the objects.
    pub owner: Value,
    /// Certificate and key of the instance's authority, in PEM; absent: its Secret is there.
    pub authority: Option<(String, String)>,
    /// Changes with what the Secrets for Kafka hold.
    pub access: Option<String>,
}

/// A kind of object that the operator applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1`.
    Secret,
    /// `v1`.
    ConfigMap,
    /// `v1`.
    ServiceAccount,
    /// `v1`.
    Service,
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
    /// `policy/v1`.
    PodDisruptionBudget,
    /// `monitoring.coreos.com/v1`, where the cluster knows it.
    PodMonitor,
    /// `monitoring.coreos.com/v1`, where the cluster knows it.
    PrometheusRule,
    /// `apps/v1`.
    StatefulSet,
}

impl Kind {
    /// All, in the order in which they are applied.
    pub const ALL: [Self; 9] = [
        Self::Secret,
        Self::ConfigMap,
        Self::ServiceAccount,
        Self::Service,
        Self::NetworkPolicy,
        Self::PodDisruptionBudget,
        Self::PodMonitor,
        Self::PrometheusRule,
        Self::StatefulSet,
    ];

    /// Those that a cluster may not know; they are not watched.
    pub const OPTIONAL: [Self; 2] = [Self::PodMonitor, Self::PrometheusRule];

    /// Its name in a manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::ServiceAccount => "ServiceAccount",
            Self::Service => "Service",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::PodMonitor => "PodMonitor",
            Self::PrometheusRule => "PrometheusRule",
            Self::StatefulSet => "StatefulSet",
        }
    }

    /// Its group and version.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Secret | Self::ConfigMap | Self::ServiceAccount | Self::Service => "v1",
            Self::NetworkPolicy => "networking.k8s.io/v1",
            Self::PodDisruptionBudget => "policy/v1",
            Self::PodMonitor | Self::PrometheusRule => MONITORING,
            Self::StatefulSet => "apps/v1",
        }
    }
}

/// One object to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it.
    pub body: Value,
}

/// The names of the objects that an instance has at most, by kind: what is not built any more goes.
#[must_use]
pub fn possible(name: &str) -> Vec<(Kind, String)> {
    vec![
        (Kind::Service, format!("{name}-mqtt")),
        (Kind::Service, format!("{name}-ws")),
        (Kind::ServiceAccount, name.to_owned()),
        (Kind::PodDisruptionBudget, name.to_owned()),
        (Kind::NetworkPolicy, name.to_owned()),
    ]
}

/// The name of the Secret with the instance's authority.
#[must_use]
pub fn authority_secret(instance: &str) -> String {
    format!("{instance}-ca")
}

/// All objects of an instance, in the order in which they are applied.
#[must_use]
pub fn build(instance: &ValidInstance, around: &Surroundings) -> Vec<Object> {
    let config = broker_json(instance);
    let maker = Maker { instance, around };
    let mut objects = Vec::new();
    if let Some((certificate, key)) = &around.authority {
        let data = json!({"ca.crt": certificate, "ca.key": key});
        let name = authority_secret(&instance.name);
        let body = json!({"type": "Opaque", "stringData": data});
        objects.push(maker.object(Kind::Secret, &name, body));
    }
    let body = json!({"data": {"broker.json": config}});
    objects.push(maker.object(Kind::ConfigMap, &format!("{}-config", instance.name), body));
    if instance.deployment.pod.service_account_name.is_none() {
        let body = json!({"automountServiceAccountToken": false});
        objects.push(maker.object(Kind::ServiceAccount, &instance.name, body));
    }
    objects.extend(network::objects(&maker));
    objects.push(pods::stateful_set(&maker, &config));
    // The StatefulSet notes them, so that they are found again when they are wanted no more.
    objects.extend(monitors::objects(&maker));
    objects
}

/// The brokers' configuration; what differs from pod to pod comes by the command line.
#[must_use]
pub fn broker_json(instance: &ValidInstance) -> String {
    let place = Placement {
        bind: std::net::Ipv4Addr::UNSPECIFIED.into(),
        port_offset: 0,
        peers_port: PEERS_PORT,
        bootstrap_servers: instance.bootstrap_servers.clone(),
        authority: Authority {
            certificate: format!("{CONFIG}/ca/ca.crt").into(),
            key: format!("{CONFIG}/ca/ca.key").into(),
        },
    };
    let mut config = build::broker_config(instance, &place, 0);
    config.node = instance.name.clone();
    if let Some(peers) = &mut config.peers {
        peers.advertised = String::new();
    }
    (config.kafka.tls, config.kafka.sasl) = kafka::files(instance);
    serde_json::to_string_pretty(&config).unwrap_or_default()
}

/// Whose objects are made, and with what.
struct Maker<'a> {
    instance: &'a ValidInstance,
    around: &'a Surroundings,
}

impl Maker<'_> {
    fn selector(&self) -> Value {
        json!({
            "app.kubernetes.io/name": "isthmus-broker",
            INSTANCE: self.instance.name,
        })
    }

    fn labels(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("app.kubernetes.io/name", "isthmus-broker".to_owned()),
            (INSTANCE, self.instance.name.clone()),
            (MANAGED_BY, MANAGER.to_owned()),
        ])
    }

    fn image(&self) -> &str {
        let own = self.instance.deployment.image.as_deref();
        own.unwrap_or(&self.around.image)
    }

    fn object(&self, kind: Kind, name: &str, mut body: Value) -> Object {
        let annotations = body.pointer("/metadata/annotations").cloned();
        let mut metadata = json!({
            "name": name,
            "namespace": self.instance.namespace,
            "labels": self.labels(),
            "ownerReferences": [self.around.owner],
        });
        if let Some(annotations) = annotations {
            put(&mut metadata, "annotations", annotations);
        }
        put(&mut body, "apiVersion", json!(kind.api_version()));
        put(&mut body, "kind", json!(kind.name()));
        put(&mut body, "metadata", metadata);
        Object {
            kind,
            name: name.to_owned(),
            body,
        }
    }

    /// The enabled listeners: name, port, how they are reached.
    fn listeners(&self) -> Vec<(&'static str, u16, &ListenerService)> {
        let of = &self.instance.deployment;
        let mqtt = self.instance.mqtt.map(|port| ("mqtt", port, &of.mqtt));
        let ws = self.instance.ws.as_ref();
        let ws = ws.map(|(port, _)| ("ws", *port, &of.ws));
        mqtt.into_iter().chain(ws).collect()
    }
}

/// Sets a field of an object.
fn put(of: &mut Value, field: &str, value: Value) {
    if let Value::Object(fields) = of {
        fields.insert(field.to_owned(), value);
    }
}

/// `type` of a Service.
fn service_type(service: &ListenerService) -> &'static str {
    match service.kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    }
}

#[cfg(test)]
mod tests;
