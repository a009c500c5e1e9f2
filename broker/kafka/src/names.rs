//! The names of every Kafka topic of an instance (architecture section 2).

/// The system names (contract sections 3 and 4), without the prefix.
pub const DOWNLINK: &str = "mq2mqtt";
/// Records of `mq2mqtt` that could not be delivered to anyone, with the reason.
pub const DEAD_LETTER: &str = "mq2mqtt-dead-letter";
/// Presence: one record per CONNACK with success.
pub const CONNECT: &str = "mqtt-device-connect";
/// Presence: one record per connection end.
pub const DISCONNECT: &str = "mqtt-device-disconnect";
/// The four names that are never parents.
pub const SYSTEM: [&str; 4] = [DOWNLINK, DEAD_LETTER, CONNECT, DISCONNECT];

/// The topic names of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    internal: String,
}

impl Names {
    /// `prefix` is the instance's topic prefix, empty by default.
    #[must_use]
    pub fn new(prefix: &str, namespace: &str, instance: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            internal: format!("__mqtt.{namespace}.{instance}"),
        }
    }

    /// The Kafka topic of a parent topic or of a system name.
    #[must_use]
    pub fn of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// `__mqtt.<namespace>.<instance>`, the stem of internal topics, groups and transactional ids.
    #[must_use]
    pub fn stem(&self) -> &str {
        &self.internal
    }

    /// `<i>.routes`: S partitions, compacted.
    #[must_use]
    pub fn routes(&self) -> String {
        format!("{}.routes", self.internal)
    }

    /// `<i>.state`: S partitions, compacted.
    #[must_use]
    pub fn state(&self) -> String {
        format!("{}.state", self.internal)
    }

    /// `<i>.inbox`: S partitions, retention `session.maxExpiry` + 1 h.
    #[must_use]
    pub fn inbox(&self) -> String {
        format!("{}.inbox", self.internal)
    }

    /// `<i>.retained`: 8 partitions, compacted.
    #[must_use]
    pub fn retained(&self) -> String {
        format!("{}.retained", self.internal)
    }

    /// `<i>.directory`: 1 partition, compacted.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("{}.directory", self.internal)
    }

    /// `<i>.trace`: 8 partitions, 7 days.
    #[must_use]
    pub fn trace(&self) -> String {
        format!("{}.trace", self.internal)
    }

    /// `<i>.usage`: 1 partition, 31 days.
    #[must_use]
    pub fn usage(&self) -> String {
        format!("{}.usage", self.internal)
    }
}
