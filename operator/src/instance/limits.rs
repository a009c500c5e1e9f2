//! Limits: what a user sets, what the preset fills (contract section 7).
//!
//! Invariant: after `fill` nothing depends on the preset any more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::values::ByteSize;

/// Limits; the preset fills what is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Where absent limits come from.
    pub preset: Preset,
    /// Bytes of a whole packet, 1Ki to 256Mi. `open`: 2Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_packet_size: Option<ByteSize>,
    /// Bytes of a payload that a device publishes. `open`: what the packet holds; `ctyun`: 64Ki.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_payload_size: Option<ByteSize>,
    /// Length of a topic or filter: bytes, with `ctyun` characters. `open`: 65535; `ctyun`: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub max_topic_length: Option<u32>,
    /// Levels of a topic or filter. Default: 128.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub max_topic_levels: Option<u32>,
    /// Length of a clientId: bytes, with `ctyun` characters. `open`: 65535; `ctyun`: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub max_client_id_length: Option<u32>,
    /// Subscriptions of one client. `open`: 1000; `ctyun`: 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_subscriptions_per_client: Option<u32>,
    /// Unacknowledged QoS 1 and 2 messages, each way. Default: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub max_inflight: Option<u16>,
    /// Connections of one pod. Default: 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000000))]
    pub max_connections: Option<u32>,
    /// New connections a second of one pod. Default: without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000000))]
    pub connect_rate: Option<u32>,
    /// Messages that one client may publish a second. Default: without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000000))]
    pub publish_rate_per_client: Option<u32>,
    /// The longest keep-alive granted, seconds. Default: without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub max_keep_alive_seconds: Option<u16>,
    /// Retained messages kept. Default: 100000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100000000))]
    pub max_retained_messages: Option<u32>,
    /// Bytes of retained messages kept. Default: 256Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retained_bytes: Option<ByteSize>,
    /// Bytes waiting to be sent to one client. Default: 4Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_outgoing_bytes_per_client: Option<ByteSize>,
    /// Bytes of one pod waiting for Kafka. Default: 64Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_kafka_backlog_bytes: Option<ByteSize>,
}

/// Where absent limits come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Preset {
    /// Made for an open platform.
    #[default]
    Open,
    /// The managed service's own figures.
    Ctyun,
}

const KI: u64 = 1 << 10;
const MI: u64 = 1 << 20;

/// The limits as the broker reads them, every absent one filled from the preset.
pub(super) fn fill(limits: &Limits, faults: &mut Vec<Fault>) -> isthmus_config::Limits {
    let ctyun = limits.preset == Preset::Ctyun;
    let either = |open: u32, theirs: u32| if ctyun { theirs } else { open };
    let mut size = |name: &str, value: &Option<ByteSize>, least: u64, most: u64| {
        let value = value.as_ref()?;
        bytes(&format!("spec.limits.{name}"), value, least, most, faults)
    };
    let packet = size("maxPacketSize", &limits.max_packet_size, KI, 256 * MI);
    let payload = size("maxPayloadSize", &limits.max_payload_size, 1, 256 * MI);
    let retained = size("maxRetainedBytes", &limits.max_retained_bytes, 1, u64::MAX);
    let outgoing = size(
        "maxOutgoingBytesPerClient",
        &limits.max_outgoing_bytes_per_client,
        KI,
        u64::MAX,
    );
    let backlog = size(
        "maxKafkaBacklogBytes",
        &limits.max_kafka_backlog_bytes,
        KI,
        u64::MAX,
    );
    isthmus_config::Limits {
        max_packet_size: narrow(packet.unwrap_or(2 * MI)),
        max_payload_size: payload.or(ctyun.then_some(64 * KI)).map(narrow),
        max_topic_length: limits.max_topic_length.unwrap_or(either(65535, 64)),
        max_topic_levels: limits.max_topic_levels.unwrap_or(128),
        max_client_id_length: limits.max_client_id_length.unwrap_or(either(65535, 64)),
        lengths_in_characters: ctyun,
        max_subscriptions_per_client: limits
            .max_subscriptions_per_client
            .unwrap_or(either(1000, 30)),
        max_inflight: limits.max_inflight.unwrap_or(64),
        max_connections: limits.max_connections.unwrap_or(100_000),
        connect_rate: limits.connect_rate,
        publish_rate_per_client: limits.publish_rate_per_client,
        max_keep_alive_seconds: limits.max_keep_alive_seconds,
        max_retained_messages: limits.max_retained_messages.unwrap_or(100_000),
        max_retained_bytes: retained.unwrap_or(256 * MI),
        max_outgoing_bytes_per_client: outgoing.unwrap_or(4 * MI),
        max_kafka_backlog_bytes: backlog.unwrap_or(64 * MI),
    }
}

/// Reads a size and keeps it within its bounds.
pub(super) fn bytes(
    path: &str,
    value: &ByteSize,
    least: u64,
    most: u64,
    faults: &mut Vec<Fault>,
) -> Option<u64> {
    match value.bytes() {
        Ok(bytes) if bytes < least => {
            faults.push(Fault::at(
                path,
                format!("{bytes} is too small: at least {least} bytes"),
            ));
            None
        }
        Ok(bytes) if bytes > most => {
            faults.push(Fault::at(
                path,
                format!("{bytes} is too large: at most {most} bytes"),
            ));
            None
        }
        Ok(bytes) => Some(bytes),
        Err(message) => {
            faults.push(Fault::at(path, message));
            None
        }
    }
}

/// The bounds above keep these below 256 MiB.
fn narrow(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(limits: serde_json::Value) -> (isthmus_config::Limits, Vec<String>) {
        let mut faults = Vec::new();
        let filled = fill(&serde_json::from_value(limits).unwrap(), &mut faults);
        (filled, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn open_is_the_default() {
        let (limits, faults) = filled(serde_json::json!({}));
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(limits.max_packet_size, 2 << 20);
        assert_eq!(limits.max_payload_size, None);
        assert_eq!(
            (limits.max_topic_length, limits.max_client_id_length),
            (65535, 65535)
        );
        assert_eq!(
            (limits.max_topic_levels, limits.max_subscriptions_per_client),
            (128, 1000)
        );
        assert_eq!((limits.max_inflight, limits.max_connections), (64, 100_000));
        assert_eq!(
            (limits.connect_rate, limits.publish_rate_per_client),
            (None, None)
        );
        assert_eq!(limits.max_keep_alive_seconds, None);
        assert_eq!(
            (limits.max_retained_messages, limits.max_retained_bytes),
            (100_000, 256 << 20)
        );
        assert_eq!(limits.max_outgoing_bytes_per_client, 4 << 20);
        assert_eq!(limits.max_kafka_backlog_bytes, 64 << 20);
        assert!(!limits.lengths_in_characters);
    }

    #[test]
    fn ctyun_is_the_same_but_for_four_figures_and_what_is_set_wins() {
        let (limits, _) = filled(serde_json::json!({"preset": "ctyun", "maxTopicLength": 100}));
        assert_eq!(limits.max_payload_size, Some(64 << 10));
        assert_eq!(
            (limits.max_topic_length, limits.max_client_id_length),
            (100, 64)
        );
        assert_eq!(limits.max_subscriptions_per_client, 30);
        assert!(limits.lengths_in_characters);
        assert_eq!(limits.max_packet_size, 2 << 20);
    }

    #[test]
    fn sizes_out_of_bounds_are_all_named() {
        let (_, faults) = filled(serde_json::json!({
            "maxPacketSize": "300Mi", "maxPayloadSize": 0, "maxKafkaBacklogBytes": "lots"
        }));
        assert_eq!(
            faults,
            [
                "spec.limits.maxPacketSize: 314572800 is too large: at most 268435456 bytes",
                "spec.limits.maxPayloadSize: 0 is too small: at least 1 bytes",
                "spec.limits.maxKafkaBacklogBytes: \"lots\" is not a size: write 64Mi, 2M or plain bytes",
            ]
        );
    }
}
