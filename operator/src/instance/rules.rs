//! The rules between the fields of an `MqttInstance`.

use crate::rules::{KindRules, Rule};

/// All of them.
pub const RULES: KindRules = KindRules {
    root: &[&NAME],
    spec: &[
        &REPLICAS_SLOTS,
        &SLOTS,
        &LISTENER,
        &PORTS,
        &PATH,
        &BOOTSTRAP,
        &PREFIX_CHARACTERS,
        &PREFIX_RESERVED,
        &PREFIX,
        &EXPIRY,
        &MAX_EXPIRY,
        &ANONYMOUS_ACL,
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

pub(super) const PATH: Rule = Rule {
    cel: "self.listeners.ws.path.matches('^/[!-~]*$') && !self.listeners.ws.path.matches('[?#]')",
    message: "must start with / and have visible ASCII characters only, without ? and #",
    field: "spec.listeners.ws.path",
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
