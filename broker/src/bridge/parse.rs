//! Headers of a downlink record (contract 3.1, ruling 9).

use crate::telemetry::DownlinkHeader;
use isthmus_config::Limits;
use isthmus_kafka::record::Message;
use isthmus_mqtt::{QoS, topic};

/// Why a record goes to the dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    MissingTopic,
    InvalidTopic,
    ReservedTopic,
    TooLarge,
}

impl Bad {
    /// The `error` header.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::MissingTopic => "missing-topic",
            Self::InvalidTopic => "invalid-topic",
            Self::ReservedTopic => "reserved-topic",
            Self::TooLarge => "too-large",
        }
    }
}

/// What a good record asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) topic: String,
    pub(super) qos: QoS,
    pub(super) only_online: bool,
    pub(super) invalid: Vec<DownlinkHeader>,
}

/// Reads the headers: names without regard to case, the last wins, null is absent.
pub(super) fn parse(limits: &Limits, record: &Message) -> Result<Good, Bad> {
    let last = |name: &str| {
        let mut backwards = record.headers.iter().rev();
        let found = backwards.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_deref())
    };
    let mut invalid = Vec::new();
    let topic = std::str::from_utf8(last("mqttTopic").ok_or(Bad::MissingTopic)?);
    let topic = topic.map_err(|_| Bad::InvalidTopic)?;
    if topic.starts_with("$share/") || topic.starts_with("$SYS/") || topic == "$SYS" {
        return Err(Bad::ReservedTopic);
    }
    let length = if limits.lengths_in_characters {
        topic.chars().count()
    } else {
        topic.len()
    };
    let levels = topic.split('/').count();
    if topic::validate_filter(topic).is_err()
        || length > limits.max_topic_length as usize
        || levels > limits.max_topic_levels as usize
    {
        return Err(Bad::InvalidTopic);
    }
    // Topic, fixed header, packet id and property length of the PUBLISH that it becomes.
    let packet = record.value.as_ref().map_or(0, Vec::len) + topic.len() + 10;
    if packet > limits.max_packet_size as usize {
        return Err(Bad::TooLarge);
    }
    let qos = match last("qosLevel").map(<[u8]>::trim_ascii) {
        None | Some(b"1") => QoS::AtLeastOnce,
        Some(b"0") => QoS::AtMostOnce,
        Some(b"2") => QoS::ExactlyOnce,
        Some(_) => {
            invalid.push(DownlinkHeader::QosLevel);
            QoS::AtLeastOnce
        }
    };
    let only_online = match last("cleanSession").map(<[u8]>::trim_ascii) {
        None => false,
        Some(value) if value.eq_ignore_ascii_case(b"true") => true,
        Some(value) if value.eq_ignore_ascii_case(b"false") => false,
        Some(_) => {
            invalid.push(DownlinkHeader::CleanSession);
            false
        }
    };
    Ok(Good {
        topic: topic.to_owned(),
        qos,
        only_online,
        invalid,
    })
}
