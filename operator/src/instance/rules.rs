//! The rules between the fields of an `MqttInstance`.

use crate::rules::{KindRules, Rule};

/// All of them.
pub const RULES: KindRules = KindRules {
    root: &[&NAME],
    spec: &[
        &REPLICAS_SLOTS,
        &SLOTS,
        &IMAGE,
        &LISTENER,
        &PORTS,
        &PEERS_PORT,
        &PATH,
        &MQTT_NODE_PORT,
        &WS_NODE_PORT,
        &NODE_PORTS,
        &MQTT_LOAD_BALANCER,
        &WS_LOAD_BALANCER,
        &MQTT_TRAFFIC,
        &WS_TRAFFIC,
        &BOOTSTRAP,
        &PREFIX_CHARACTERS,
        &PREFIX_RESERVED,
        &PREFIX,
        &EXPIRY,
        &MAX_EXPIRY,
        &ANONYMOUS_ACL,
        &POD_LABELS,
        &POD_ANNOTATIONS,
        &INTERVAL,
        &POD_MONITOR_LABELS,
        &PROMETHEUS_RULE_LABELS,
    ],
};

pub(super) const NAME: Rule = Rule {
    cel: "size(self.metadata.name) <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    message: "an instance's name has at most 40 characters: lower-case letters, digits and -, a letter first, no - at the end",
    field: "metadata.name",
};

pub(super) const REPLICAS_SLOTS: Rule = Rule {
    cel: "self.replicas <= self.slots",
    message: "must not be more than spec.slots",
    field: "spec.replicas",
};

pub(super) const SLOTS: Rule = Rule {
    cel: "self.slots == oldSelf.slots",
    message: "cannot be changed: sessions are stored by slot; make a new instance",
    field: "spec.slots",
};

pub(super) const IMAGE: Rule = Rule {
    cel: r"!has(self.image) || self.image.matches('^[!-~]+$')",
    message: "must be an image's name, such as example.com/isthmus-broker:1.0, without spaces",
    field: "spec.image",
};

pub(super) const LISTENER: Rule = Rule {
    cel: "self.listeners.mqtt.enabled || self.listeners.ws.enabled",
    message: "at least one listener must be enabled",
    field: "spec.listeners",
};

pub(super) const PORTS: Rule = Rule {
    cel: "!(self.listeners.mqtt.enabled && self.listeners.ws.enabled && self.listeners.mqtt.port == self.listeners.ws.port) \
          && !(self.listeners.mqtt.enabled && self.listeners.mqtt.port == self.monitoring.port) \
          && !(self.listeners.ws.enabled && self.listeners.ws.port == self.monitoring.port)",
    message: "the ports of the enabled listeners and of monitoring must differ",
    field: "spec.listeners",
};

pub(super) const PEERS_PORT: Rule = Rule {
    cel: "!(self.listeners.mqtt.enabled && self.listeners.mqtt.port == 7883) \
          && !(self.listeners.ws.enabled && self.listeners.ws.port == 7883) \
          && self.monitoring.port != 7883",
    message: "7883 is where the brokers of an instance reach each other: use another port",
    field: "spec.listeners",
};

pub(super) const PATH: Rule = Rule {
    cel: "self.listeners.ws.path.matches('^/[!-~]*$') && !self.listeners.ws.path.matches('[?#]')",
    message: "must start with / and have visible ASCII characters only, without ? and #",
    field: "spec.listeners.ws.path",
};

pub(super) const MQTT_NODE_PORT: Rule = Rule {
    cel: "self.listeners.mqtt.service.type != 'ClusterIP' || !has(self.listeners.mqtt.service.nodePort)",
    message: "needs type NodePort or LoadBalancer",
    field: "spec.listeners.mqtt.service.nodePort",
};

pub(super) const WS_NODE_PORT: Rule = Rule {
    cel: "self.listeners.ws.service.type != 'ClusterIP' || !has(self.listeners.ws.service.nodePort)",
    message: "needs type NodePort or LoadBalancer",
    field: "spec.listeners.ws.service.nodePort",
};

pub(super) const NODE_PORTS: Rule = Rule {
    cel: "!has(self.listeners.mqtt.service.nodePort) || !has(self.listeners.ws.service.nodePort) \
          || self.listeners.mqtt.service.nodePort != self.listeners.ws.service.nodePort",
    message: "the node ports of the listeners must differ",
    field: "spec.listeners",
};

const LOAD_BALANCER: &str =
    "loadBalancerClass and loadBalancerSourceRanges need type: LoadBalancer";

pub(super) const MQTT_LOAD_BALANCER: Rule = Rule {
    cel: "self.listeners.mqtt.service.type == 'LoadBalancer' \
          || !(has(self.listeners.mqtt.service.loadBalancerClass) \
          || (has(self.listeners.mqtt.service.loadBalancerSourceRanges) && size(self.listeners.mqtt.service.loadBalancerSourceRanges) > 0))",
    message: LOAD_BALANCER,
    field: "spec.listeners.mqtt.service",
};

pub(super) const WS_LOAD_BALANCER: Rule = Rule {
    cel: "self.listeners.ws.service.type == 'LoadBalancer' \
          || !(has(self.listeners.ws.service.loadBalancerClass) \
          || (has(self.listeners.ws.service.loadBalancerSourceRanges) && size(self.listeners.ws.service.loadBalancerSourceRanges) > 0))",
    message: LOAD_BALANCER,
    field: "spec.listeners.ws.service",
};

const TRAFFIC: &str = "Local needs type NodePort or LoadBalancer";

pub(super) const MQTT_TRAFFIC: Rule = Rule {
    cel: "self.listeners.mqtt.service.type != 'ClusterIP' || self.listeners.mqtt.service.externalTrafficPolicy != 'Local'",
    message: TRAFFIC,
    field: "spec.listeners.mqtt.service.externalTrafficPolicy",
};

pub(super) const WS_TRAFFIC: Rule = Rule {
    cel: "self.listeners.ws.service.type != 'ClusterIP' || self.listeners.ws.service.externalTrafficPolicy != 'Local'",
    message: TRAFFIC,
    field: "spec.listeners.ws.service.externalTrafficPolicy",
};

pub(super) const BOOTSTRAP: Rule = Rule {
    cel: r"self.kafka.bootstrapServers.matches('^(\\[[0-9a-fA-F:.]+\\]|[^\\[\\] ,:]+):[0-9]{1,5}(,(\\[[0-9a-fA-F:.]+\\]|[^\\[\\] ,:]+):[0-9]{1,5})*$')",
    message: "must be host:port, several with commas and without spaces between them",
    field: "spec.kafka.bootstrapServers",
};

pub(super) const PREFIX_CHARACTERS: Rule = Rule {
    cel: "self.kafka.topicPrefix.matches('^[A-Za-z0-9._-]*$')",
    message: "Kafka topic names have letters, digits, dots, - and _ only",
    field: "spec.kafka.topicPrefix",
};

pub(super) const PREFIX_RESERVED: Rule = Rule {
    cel: "!self.kafka.topicPrefix.startsWith('__')",
    message: "names that start with __ are Kafka's and the brokers' own",
    field: "spec.kafka.topicPrefix",
};

pub(super) const PREFIX: Rule = Rule {
    cel: "self.kafka.topicPrefix == oldSelf.kafka.topicPrefix",
    message: "cannot be changed: it is part of every topic's name; make a new instance",
    field: "spec.kafka.topicPrefix",
};

pub(super) const EXPIRY: Rule = Rule {
    cel: "duration(self.session.expiry) <= duration(self.session.maxExpiry)",
    message: "must not be longer than spec.session.maxExpiry",
    field: "spec.session.expiry",
};

pub(super) const MAX_EXPIRY: Rule = Rule {
    cel: "duration(self.session.maxExpiry) <= duration('720h')",
    message: "must be at most 720h",
    field: "spec.session.maxExpiry",
};

pub(super) const ANONYMOUS_ACL: Rule = Rule {
    cel: "self.authentication.allowAnonymous || !has(self.authentication.anonymousAcl)",
    message: "needs allowAnonymous: true",
    field: "spec.authentication.anonymousAcl",
};

/// Those that pods are found by.
pub(super) const OWN_LABELS: [&str; 3] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
];

const LABELS: &str =
    "the labels app.kubernetes.io/name, instance and managed-by are the operator's own";

pub(super) const POD_LABELS: Rule = Rule {
    cel: "!has(self.pod.labels) || !['app.kubernetes.io/name', 'app.kubernetes.io/instance', \
          'app.kubernetes.io/managed-by'].exists(k, k in self.pod.labels)",
    message: LABELS,
    field: "spec.pod.labels",
};

pub(super) const POD_ANNOTATIONS: Rule = Rule {
    cel: "!has(self.pod.annotations) || !('mqtt.isthmus.dev/config' in self.pod.annotations)",
    message: "the annotation mqtt.isthmus.dev/config is the operator's own",
    field: "spec.pod.annotations",
};

pub(super) const INTERVAL: Rule = Rule {
    cel: "duration(self.monitoring.podMonitor.interval) >= duration('1s')",
    message: "must be at least 1s",
    field: "spec.monitoring.podMonitor.interval",
};

pub(super) const POD_MONITOR_LABELS: Rule = Rule {
    cel: "!has(self.monitoring.podMonitor.labels) || !['app.kubernetes.io/name', 'app.kubernetes.io/instance', \
          'app.kubernetes.io/managed-by'].exists(k, k in self.monitoring.podMonitor.labels)",
    message: LABELS,
    field: "spec.monitoring.podMonitor.labels",
};

pub(super) const PROMETHEUS_RULE_LABELS: Rule = Rule {
    cel: "!has(self.monitoring.prometheusRule.labels) || !['app.kubernetes.io/name', 'app.kubernetes.io/instance', \
          'app.kubernetes.io/managed-by'].exists(k, k in self.monitoring.prometheusRule.labels)",
    message: LABELS,
    field: "spec.monitoring.prometheusRule.labels",
};
