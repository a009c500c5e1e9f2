//! The topics of an instance (architecture section 2) as specifications.

use std::collections::BTreeMap;
use std::time::Duration;

use super::plan::MAX_MESSAGE_BYTES;
use super::{TopicKind, TopicSpec};
use crate::directory::ParentType;
use crate::names::Names;

const KIB: u64 = 1024;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A compacted topic's segment; a closed one is what the log cleaner can clean.
const COMPACT_SEGMENT: u64 = 32 * KIB * KIB;
/// An inbox's segment: deleted records free the disk one closed segment at a time.
const INBOX_SEGMENT: u64 = 128 * KIB * KIB;
/// What our own formats put around an MQTT packet.
const ENVELOPE: u64 = 256 * KIB;
/// Contract, ruling 8.
const DOWNLINK_BYTES: u64 = 2 * KIB * KIB + 64 * KIB;

/// What the internal topics depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalSettings {
    /// `spec.slots`.
    pub slots: u16,
    /// `spec.kafka.internalTopics.replicationFactor`.
    pub replication_factor: Option<i32>,
    /// `spec.session.maxExpiry`.
    pub max_expiry: Duration,
    /// `limits.maxPacketSize` in bytes.
    pub max_packet_size: u32,
}

/// `spec.kafka.systemTopics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemSettings {
    /// For topics that are made, and the least for those that exist.
    pub partitions: i32,
    /// `None`: min(3, brokers).
    pub replication_factor: Option<i32>,
    /// How long records are kept.
    pub retention: Duration,
}

/// The seven topics that only Isthmus reads and writes.
#[must_use]
pub fn internal_topics(names: &Names, settings: &InternalSettings) -> Vec<TopicSpec> {
    let slots = i32::from(settings.slots);
    let bytes = u64::from(settings.max_packet_size) + ENVELOPE;
    let spec = |name: String, partitions: i32, config: BTreeMap<String, String>| TopicSpec {
        partitions: Some(partitions),
        replication_factor: settings.replication_factor,
        config,
        ..TopicSpec::new(name, TopicKind::Internal)
    };
    let compacted = |name, partitions| TopicSpec {
        // How soon the cleaner comes: sooner than by default, for a restore reads the whole log.
        defaults: config([
            ("min.cleanable.dirty.ratio", "0.25".to_owned()),
            ("max.compaction.lag.ms", millis(HOUR)),
        ]),
        ..spec(
            name,
            partitions,
            config([
                ("cleanup.policy", "compact".to_owned()),
                // Kafka refuses a record that is larger than a segment.
                ("segment.bytes", COMPACT_SEGMENT.max(bytes).to_string()),
                (MAX_MESSAGE_BYTES, bytes.to_string()),
            ]),
        )
    };
    let deleted = |name, partitions, retention, segment: Option<u64>| {
        let mut config = config([
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", millis(retention)),
            // A cluster-wide bound by size would drop what is acknowledged.
            ("retention.bytes", "-1".to_owned()),
            (MAX_MESSAGE_BYTES, bytes.to_string()),
        ]);
        if let Some(segment) = segment {
            config.insert("segment.bytes".to_owned(), segment.max(bytes).to_string());
        }
        spec(name, partitions, config)
    };
    vec![
        compacted(names.routes(), slots),
        compacted(names.state(), slots),
        deleted(
            names.inbox(),
            slots,
            settings.max_expiry + HOUR,
            Some(INBOX_SEGMENT),
        ),
        compacted(names.retained(), 8),
        compacted(names.directory(), 1),
        deleted(names.trace(), 8, 7 * DAY, None),
        deleted(names.usage(), 1, 31 * DAY, None),
    ]
}

/// `mq2mqtt`, its dead letter and the two presence topics.
#[must_use]
pub fn system_topics(names: &Names, settings: &SystemSettings) -> Vec<TopicSpec> {
    let spec = |name: &str, bytes: Option<u64>| {
        let mut config = config([
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", millis(settings.retention)),
        ]);
        if let Some(bytes) = bytes {
            config.insert(MAX_MESSAGE_BYTES.to_owned(), bytes.to_string());
        }
        TopicSpec {
            partitions: Some(settings.partitions),
            replication_factor: settings.replication_factor,
            config,
            ..TopicSpec::new(names.of(name), TopicKind::System)
        }
    };
    vec![
        spec(crate::names::DOWNLINK, Some(DOWNLINK_BYTES)),
        spec(crate::names::DEAD_LETTER, Some(DOWNLINK_BYTES)),
        spec(crate::names::CONNECT, None),
        spec(crate::names::DISCONNECT, None),
    ]
}

/// A parent topic with what the instance's packet size asks of it; the caller fills in the rest.
/// `topic` is the Kafka topic, prefix included.
#[must_use]
pub fn parent_topic(topic: &str, kind: ParentType, max_packet_size: u32) -> TopicSpec {
    // JSON may be six times the payload (contract, ruling 7); Kafka's bound is a signed 32-bit one.
    let bytes = (6 * u64::from(max_packet_size) + 64 * KIB).min(i32::MAX.unsigned_abs().into());
    TopicSpec {
        defaults: config([(MAX_MESSAGE_BYTES, bytes.to_string())]),
        ..TopicSpec::new(topic, TopicKind::Parent(kind))
    }
}

fn config<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn millis(duration: Duration) -> String {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_packet_size_stays_within_kafkas_bound() {
        let spec = parent_topic("t", ParentType::Normal, u32::MAX);
        assert_eq!(spec.defaults.get(MAX_MESSAGE_BYTES).unwrap(), "2147483647");
    }

    #[test]
    fn the_topics_of_an_instance_are_those_of_the_architecture() {
        let names = Names::new("p.", "ns", "shop");
        let settings = InternalSettings {
            slots: 32,
            replication_factor: Some(2),
            max_expiry: Duration::from_secs(86_400),
            max_packet_size: 2 << 20,
        };
        let internal: Vec<_> = internal_topics(&names, &settings)
            .into_iter()
            .map(|s| {
                let value = |key: &str| s.config.get(key).cloned().unwrap_or_default();
                assert_eq!(
                    (s.kind, s.replication_factor),
                    (TopicKind::Internal, Some(2))
                );
                assert_eq!(value(MAX_MESSAGE_BYTES), "2359296");
                let name = s.name.strip_prefix("__mqtt.ns.shop.").unwrap().to_owned();
                (
                    name,
                    s.partitions.unwrap(),
                    value("cleanup.policy"),
                    value("retention.ms"),
                )
            })
            .collect();
        let expected = [
            ("routes", 32, "compact", ""),
            ("state", 32, "compact", ""),
            ("inbox", 32, "delete", "90000000"),
            ("retained", 8, "compact", ""),
            ("directory", 1, "compact", ""),
            ("trace", 8, "delete", "604800000"),
            ("usage", 1, "delete", "2678400000"),
        ]
        .map(|(n, p, c, r)| (n.to_owned(), p, c.to_owned(), r.to_owned()));
        assert_eq!(internal, expected);

        let settings = SystemSettings {
            partitions: 12,
            replication_factor: None,
            retention: Duration::from_secs(3600),
        };
        let system: Vec<_> = system_topics(&names, &settings)
            .into_iter()
            .map(|s| {
                assert_eq!((s.kind, s.partitions), (TopicKind::System, Some(12)));
                assert_eq!(s.config["retention.ms"], "3600000");
                (s.name, s.config.get(MAX_MESSAGE_BYTES).cloned())
            })
            .collect();
        let bytes = Some("2162688".to_owned());
        assert_eq!(
            system,
            [
                ("p.mq2mqtt".to_owned(), bytes.clone()),
                ("p.mq2mqtt-dead-letter".to_owned(), bytes),
                ("p.mqtt-device-connect".to_owned(), None),
                ("p.mqtt-device-disconnect".to_owned(), None),
            ]
        );
    }

    #[test]
    fn a_segment_holds_the_largest_record() {
        let settings = InternalSettings {
            slots: 1,
            replication_factor: None,
            max_expiry: Duration::ZERO,
            max_packet_size: 268_435_455,
        };
        for spec in internal_topics(&Names::new("", "n", "i"), &settings) {
            let number = |key: &str| spec.config.get(key).map(|v| v.parse::<u64>().unwrap());
            if let Some(segment) = number("segment.bytes") {
                assert!(
                    segment >= number(MAX_MESSAGE_BYTES).unwrap(),
                    "{}",
                    spec.name
                );
            }
        }
    }
}
