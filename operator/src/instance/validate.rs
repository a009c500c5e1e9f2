//! From the written `MqttInstance` to one that `build` can rely on. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::access::{KafkaSasl, KafkaTls};
use super::build::PEERS_PORT;
use super::deployment::{ListenerService, Pod, PullPolicy, PullSecret, ServiceType, TrafficPolicy};
use super::limits;
use super::monitoring::{Monitoring, PodMonitor, PrometheusRule};
use super::objects::CONFIG_HASH;
use super::resource::{Listeners, MqttInstance, MqttInstanceSpec, Session};
use super::rules;
use crate::acl;
use crate::fault::{Fault, FieldPath};
use crate::references::DeletionPolicy;

/// An `MqttInstance` without faults, its texts read and its limits filled.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidInstance {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Reconciling is paused.
    pub suspend: bool,
    /// Broker processes.
    pub replicas: u16,
    /// Slots.
    pub slots: u16,
    /// Port of the MQTT listener, when enabled.
    pub mqtt: Option<u16>,
    /// Port and path of the WebSocket listener, when enabled.
    pub ws: Option<(u16, String)>,
    /// Port of health and metrics.
    pub monitoring: u16,
    /// Kafka, as written.
    pub bootstrap_servers: String,
    /// TLS to Kafka.
    pub kafka_tls: Option<KafkaTls>,
    /// Name and password for Kafka.
    pub kafka_sasl: Option<KafkaSasl>,
    /// Goes before parent and system topics.
    pub topic_prefix: String,
    /// Partitions of each system topic.
    pub system_partitions: i32,
    /// Replicas of the system topics.
    pub system_replication_factor: Option<i32>,
    /// How long records of the system topics are kept.
    pub system_retention: std::time::Duration,
    /// Replicas of the internal topics.
    pub internal_replication_factor: Option<i32>,
    /// What a session may keep.
    pub session: isthmus_config::Session,
    /// Limits.
    pub limits: isthmus_config::Limits,
    /// Who may connect without an account.
    pub authentication: isthmus_config::Authentication,
    /// What becomes of internal and system topics with the instance.
    pub deletion_policy: DeletionPolicy,
    /// What only a cluster knows.
    pub deployment: Deployment,
}

/// The part of an instance that only a cluster knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// The broker's image, when it is not the operator's own release.
    pub image: Option<String>,
    /// When a node fetches it.
    pub pull_policy: PullPolicy,
    /// Credentials for it.
    pub pull_secrets: Vec<PullSecret>,
    /// CPU and memory, as in a container.
    pub resources: Option<Value>,
    /// How the MQTT listener is reached.
    pub mqtt: ListenerService,
    /// How the WebSocket listener is reached.
    pub ws: ListenerService,
    /// What the pods have besides.
    pub pod: Pod,
    /// Whether evictions take one broker at a time.
    pub disruption_budget: bool,
    /// Whether a policy says who may reach the brokers.
    pub network_policy: bool,
    /// Whether and how Prometheus collects the metrics.
    pub pod_monitor: PodMonitor,
    /// Whether and when Prometheus warns.
    pub prometheus_rule: PrometheusRule,
}

/// Checks everything that the instance alone tells; `previous` is the one applied before.
///
/// # Errors
/// Every fault.
pub fn validate(
    instance: &MqttInstance,
    previous: Option<&MqttInstance>,
) -> Result<ValidInstance, Vec<Fault>> {
    let spec = &instance.spec;
    let name = instance.metadata.name.clone().unwrap_or_default();
    let mut faults = Vec::new();

    rules::NAME.check(legal_name(&name), &mut faults);
    rules::REPLICAS_SLOTS.check(spec.replicas <= spec.slots, &mut faults);
    let image = spec.image.as_deref();
    rules::IMAGE.check(image.is_none_or(legal_image), &mut faults);
    listeners(spec, &mut faults);
    kafka(spec, &mut faults);
    pods(&spec.pod, &mut faults);
    monitoring(&spec.monitoring, &mut faults);
    if let Some(previous) = previous {
        let (old, new) = (&previous.spec, spec);
        rules::SLOTS.check(old.slots == new.slots, &mut faults);
        rules::PREFIX.check(
            old.kafka.topic_prefix == new.kafka.topic_prefix,
            &mut faults,
        );
    }
    let session = session(&spec.session, &mut faults);
    let retention = spec
        .kafka
        .system_topics
        .retention
        .seconds()
        .unwrap_or_else(|message| {
            faults.push(Fault::at("spec.kafka.systemTopics.retention", message));
            0
        });
    let limits = limits::fill(&spec.limits, &mut faults);
    let authentication = authentication(spec, &mut faults);

    let Listeners { mqtt, ws } = &spec.listeners;
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(ValidInstance {
        namespace: namespace(instance),
        name,
        suspend: spec.suspend,
        replicas: spec.replicas,
        slots: spec.slots,
        mqtt: mqtt.enabled.then_some(mqtt.port),
        ws: ws.enabled.then(|| (ws.port, ws.path.clone())),
        monitoring: spec.monitoring.port,
        bootstrap_servers: spec.kafka.bootstrap_servers.clone(),
        kafka_tls: spec.kafka.tls.clone(),
        kafka_sasl: spec.kafka.sasl.clone(),
        topic_prefix: spec.kafka.topic_prefix.clone(),
        system_partitions: spec.kafka.system_topics.partitions,
        system_replication_factor: spec.kafka.system_topics.replication_factor,
        system_retention: std::time::Duration::from_secs(retention),
        internal_replication_factor: spec.kafka.internal_topics.replication_factor,
        session,
        limits,
        authentication,
        deletion_policy: spec.deletion_policy,
        deployment: Deployment {
            image: spec.image.clone(),
            pull_policy: spec.image_pull_policy,
            pull_secrets: spec.image_pull_secrets.clone(),
            resources: spec.resources.clone(),
            mqtt: mqtt.service.clone(),
            ws: ws.service.clone(),
            pod: spec.pod.clone(),
            disruption_budget: spec.pod_disruption_budget.enabled,
            network_policy: spec.network_policy.enabled,
            pod_monitor: spec.monitoring.pod_monitor.clone(),
            prometheus_rule: spec.monitoring.prometheus_rule.clone(),
        },
    })
}

fn namespace(instance: &MqttInstance) -> String {
    instance
        .metadata
        .namespace
        .clone()
        .unwrap_or_else(|| "default".to_owned())
}

fn legal_name(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn legal_image(image: &str) -> bool {
    !image.is_empty() && image.bytes().all(|b| b.is_ascii_graphic())
}

fn listeners(spec: &MqttInstanceSpec, faults: &mut Vec<Fault>) {
    let Listeners { mqtt, ws } = &spec.listeners;
    rules::LISTENER.check(mqtt.enabled || ws.enabled, faults);
    let ports: Vec<u16> = [
        (mqtt.enabled, mqtt.port),
        (ws.enabled, ws.port),
        (true, spec.monitoring.port),
    ]
    .iter()
    .filter_map(|(enabled, port)| enabled.then_some(*port))
    .collect();
    let differ = ports
        .iter()
        .enumerate()
        .all(|(at, port)| !ports.iter().take(at).any(|p| p == port));
    rules::PORTS.check(differ, faults);
    let visible = ws
        .path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"?#".contains(&b));
    rules::PATH.check(ws.path.starts_with('/') && visible, faults);
    rules::PEERS_PORT.check(!ports.contains(&PEERS_PORT), faults);
    services(&mqtt.service, &ws.service, faults);
}

fn services(mqtt: &ListenerService, ws: &ListenerService, faults: &mut Vec<Fault>) {
    let inside = |service: &ListenerService| service.kind == ServiceType::ClusterIP;
    let node_port = |service: &ListenerService| !inside(service) || service.node_port.is_none();
    rules::MQTT_NODE_PORT.check(node_port(mqtt), faults);
    rules::WS_NODE_PORT.check(node_port(ws), faults);
    let differ = mqtt.node_port.is_none() || mqtt.node_port != ws.node_port;
    rules::NODE_PORTS.check(differ, faults);
    let balancer = |service: &ListenerService| {
        service.kind == ServiceType::LoadBalancer
            || (service.load_balancer_class.is_none()
                && service.load_balancer_source_ranges.is_empty())
    };
    rules::MQTT_LOAD_BALANCER.check(balancer(mqtt), faults);
    rules::WS_LOAD_BALANCER.check(balancer(ws), faults);
    let traffic = |service: &ListenerService| {
        !inside(service) || service.external_traffic_policy == TrafficPolicy::Cluster
    };
    rules::MQTT_TRAFFIC.check(traffic(mqtt), faults);
    rules::WS_TRAFFIC.check(traffic(ws), faults);
}

fn has_own(labels: &BTreeMap<String, String>) -> bool {
    let mut own = rules::OWN_LABELS.iter();
    own.any(|label| labels.contains_key(*label))
}

fn pods(pod: &Pod, faults: &mut Vec<Fault>) {
    rules::POD_LABELS.check(!has_own(&pod.labels), faults);
    let own = pod.annotations.contains_key(CONFIG_HASH);
    rules::POD_ANNOTATIONS.check(!own, faults);
}

fn monitoring(monitoring: &Monitoring, faults: &mut Vec<Fault>) {
    let Monitoring {
        pod_monitor,
        prometheus_rule,
        ..
    } = monitoring;
    match pod_monitor.interval.seconds() {
        Ok(seconds) => rules::INTERVAL.check(seconds > 0, faults),
        Err(message) => faults.push(Fault::at(rules::INTERVAL.field, message)),
    }
    rules::POD_MONITOR_LABELS.check(!has_own(&pod_monitor.labels), faults);
    rules::PROMETHEUS_RULE_LABELS.check(!has_own(&prometheus_rule.labels), faults);
}

fn kafka(spec: &MqttInstanceSpec, faults: &mut Vec<Fault>) {
    rules::BOOTSTRAP.check(
        spec.kafka.bootstrap_servers.split(',').all(legal_server),
        faults,
    );
    let prefix = &spec.kafka.topic_prefix;
    let legal = prefix
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    rules::PREFIX_CHARACTERS.check(legal, faults);
    rules::PREFIX_RESERVED.check(!prefix.starts_with("__"), faults);
}

/// `host:port` or `[address]:port`.
fn legal_server(server: &str) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else {
        return false;
    };
    let in_brackets = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let legal_host = match in_brackets {
        Some(address) => address
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || b":.".contains(&b)),
        None => !host.contains([' ', ':', '[', ']']),
    };
    let legal_port = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    legal_host && legal_port && !in_brackets.unwrap_or(host).is_empty()
}

fn session(session: &Session, faults: &mut Vec<Fault>) -> isthmus_config::Session {
    let mut read = |path: &str, duration: &crate::values::Duration| {
        duration
            .seconds()
            .map_err(|message| faults.push(Fault::at(path, message)))
            .ok()
    };
    let expiry = read("spec.session.expiry", &session.expiry);
    let max_expiry = read("spec.session.maxExpiry", &session.max_expiry);
    if let Some(most) = max_expiry {
        rules::MAX_EXPIRY.check(most <= 720 * 3600, faults);
        rules::EXPIRY.check(expiry.is_none_or(|e| e <= most), faults);
    }
    let path = "spec.session.maxQueuedBytes";
    let queued = limits::bytes(path, &session.max_queued_bytes, 1, u64::MAX, faults);
    let seconds = |read: Option<u64>| read.and_then(|s| u32::try_from(s).ok()).unwrap_or_default();
    isthmus_config::Session {
        expiry_seconds: seconds(expiry),
        max_expiry_seconds: seconds(max_expiry),
        max_queued_messages: session.max_queued_messages,
        max_queued_bytes: queued.unwrap_or_default(),
    }
}

fn authentication(
    spec: &MqttInstanceSpec,
    faults: &mut Vec<Fault>,
) -> isthmus_config::Authentication {
    let written = &spec.authentication;
    let rules = written.anonymous_acl.as_deref();
    rules::ANONYMOUS_ACL.check(written.allow_anonymous || rules.is_none(), faults);
    let rules = rules.unwrap_or_default();
    acl::validate(
        rules,
        &FieldPath::of("spec.authentication.anonymousAcl"),
        faults,
    );
    isthmus_config::Authentication {
        allow_anonymous: written.allow_anonymous,
        anonymous_acl: acl::build(rules),
    }
}

#[cfg(test)]
mod tests;
