//! The rules between the fields of a `ParentTopic`. The effective name is `spec.topicName` or
//! `metadata.name`, so that adding a topicName equal to the name is no change.

use crate::rules::{KindRules, Rule};

/// All of them.
pub const RULES: KindRules = KindRules {
    root: &[&CHARACTERS, &RESERVED, &ORDERED_NAME, &NAME],
    spec: &[&INSTANCE, &TYPE, &SHRINK, &ORDERED_PARTITIONS, &RETENTION],
};

pub(super) const CHARACTERS: Rule = Rule {
    cel: "(has(self.spec.topicName) ? self.spec.topicName : self.metadata.name).matches('^[A-Za-z0-9._-]{1,249}$')",
    message: "a parent topic's name has 1 to 249 letters, digits, dots, - and _",
    field: "spec.topicName",
};

pub(super) const RESERVED: Rule = Rule {
    cel: "!(has(self.spec.topicName) ? self.spec.topicName : self.metadata.name).startsWith('__') \
          && !((has(self.spec.topicName) ? self.spec.topicName : self.metadata.name) in \
          ['.', '..', 'mq2mqtt', 'mq2mqtt-dead-letter', 'mqtt-device-connect', 'mqtt-device-disconnect'])",
    message: "is reserved: \".\", \"..\", names that start with __ and the four system topics (mq2mqtt, mq2mqtt-dead-letter, mqtt-device-connect, mqtt-device-disconnect) cannot be parent topics",
    field: "spec.topicName",
};

pub(super) const ORDERED_NAME: Rule = Rule {
    cel: "(has(self.spec.topicName) ? self.spec.topicName : self.metadata.name).startsWith('orderMsg2mq-') \
          == (self.spec.type == 'PartitionOrdered')",
    message: "a name that starts with orderMsg2mq- and type PartitionOrdered go together: set both or neither",
    field: "spec.topicName",
};

pub(super) const NAME: Rule = Rule {
    cel: "(has(self.spec.topicName) ? self.spec.topicName : self.metadata.name) \
          == (has(oldSelf.spec.topicName) ? oldSelf.spec.topicName : oldSelf.metadata.name)",
    message: "cannot be changed: make another ParentTopic",
    field: "spec.topicName",
};

pub(super) const INSTANCE: Rule = Rule {
    cel: "self.instanceRef.name == oldSelf.instanceRef.name",
    message: "cannot be changed: make another ParentTopic",
    field: "spec.instanceRef.name",
};

pub(super) const TYPE: Rule = Rule {
    cel: "self.type == oldSelf.type",
    message: "cannot be changed: make another ParentTopic",
    field: "spec.type",
};

pub(super) const SHRINK: Rule = Rule {
    cel: "!has(self.partitions) || !has(oldSelf.partitions) || self.partitions >= oldSelf.partitions",
    message: "Kafka cannot take partitions away: set the former number or more",
    field: "spec.partitions",
};

pub(super) const ORDERED_PARTITIONS: Rule = Rule {
    cel: "self.type != 'PartitionOrdered' || !has(self.partitions) || !has(oldSelf.partitions) \
          || self.partitions <= oldSelf.partitions",
    message: "cannot be changed with type PartitionOrdered: messages of a device would change partitions",
    field: "spec.partitions",
};

pub(super) const RETENTION: Rule = Rule {
    cel: "!has(self.retention) || !has(self.config) || !('retention.ms' in self.config)",
    message: "set either retention or config[\"retention.ms\"], not both",
    field: "spec.retention",
};
