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

/// What the name of every `PartitionOrdered` parent starts with, and of no other.
pub const ORDERED_PREFIX: &str = "orderMsg2mq-";
/// Kafka's bound of a topic's name, in bytes.
pub const MAX_TOPIC_BYTES: usize = 249;

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

    /// The Kafka topic of a parent topic by its first MQTT level, if that can be a parent's.
    ///
    /// # Errors
    /// Why it cannot (contract, rulings 10.1 and 10.2).
    pub fn parent(&self, level: &str) -> Result<String, NameFault> {
        if SYSTEM.contains(&level) {
            return Err(NameFault::System);
        }
        // `.` and `..` are no topics of Kafka's, and no parents behind a prefix either.
        check_topic(level)?;
        let topic = self.of(level);
        check_topic(&topic)?;
        if level.starts_with("__") || topic.starts_with("__") {
            return Err(NameFault::Internal);
        }
        Ok(topic)
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

/// Why a name is not one that a topic may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// No name, or more than Kafka takes.
    #[error("it must have 1 to {MAX_TOPIC_BYTES} bytes, the instance's prefix included")]
    Length,
    /// A character that Kafka does not take.
    #[error("only ASCII letters, digits, '.', '_' and '-' are allowed")]
    Character,
    /// `.` or `..`.
    #[error("'.' and '..' are not allowed")]
    Dots,
    /// Kafka's and our own internal topics.
    #[error("names that start with '__' are internal")]
    Internal,
    /// One of [`SYSTEM`].
    #[error("this name belongs to the system topics")]
    System,
}

/// Whether Kafka takes this name.
///
/// # Errors
/// Why it does not.
pub fn check_topic(name: &str) -> Result<(), NameFault> {
    if name.is_empty() || name.len() > MAX_TOPIC_BYTES {
        return Err(NameFault::Length);
    }
    if name == "." || name == ".." {
        return Err(NameFault::Dots);
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    {
        return Err(NameFault::Character);
    }
    Ok(())
}

/// Whether a topic is one of those with a partition for each slot.
pub(crate) fn is_per_slot(topic: &str) -> bool {
    topic.starts_with("__mqtt.")
        && [".routes", ".state", ".inbox"]
            .iter()
            .any(|suffix| topic.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_a_legal_kafka_name_with_the_prefix_before_it() {
        let names = Names::new("p.", "ns", "shop");
        let longest = "x".repeat(MAX_TOPIC_BYTES - 2);
        let too_long = "x".repeat(MAX_TOPIC_BYTES - 1);
        for (level, expected) in [
            ("topic-1", Ok("p.topic-1".to_owned())),
            ("orderMsg2mq-a", Ok("p.orderMsg2mq-a".to_owned())),
            (longest.as_str(), Ok(format!("p.{longest}"))),
            (too_long.as_str(), Err(NameFault::Length)),
            ("", Err(NameFault::Length)),
            (".", Err(NameFault::Dots)),
            ("..", Err(NameFault::Dots)),
            ("a b", Err(NameFault::Character)),
            ("$SYS", Err(NameFault::Character)),
            ("Straße", Err(NameFault::Character)),
            ("__consumer_offsets", Err(NameFault::Internal)),
            ("mq2mqtt", Err(NameFault::System)),
            ("mqtt-device-connect", Err(NameFault::System)),
        ] {
            assert_eq!(names.parent(level), expected, "{level}");
        }
    }
}
