//! An Application Message on its way through the broker: immutable, shared by reference count.

use isthmus_mqtt::QoS;
use isthmus_mqtt::encode::PublishHead;
use std::sync::Arc;

/// Where a message came from; it decides what may be done with it (contract 2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Origin {
    /// A client's PUBLISH or Will.
    Device,
    /// A record of `mq2mqtt`, or the HTTP API: never stored in a parent topic.
    Cloud,
    /// The broker itself (`$SYS`).
    Broker,
}

/// One message. Topic, payload and forwarded properties share one allocation.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Box<[u8]>,
    topic_len: u32,
    payload_at: u32,
    /// The QoS it was published with.
    pub qos: QoS,
    /// The RETAIN flag it was published with.
    pub retain: bool,
    /// Where it came from.
    pub origin: Origin,
    /// When the Message Expiry Interval passes, epoch ms.
    pub expires_at: Option<u64>,
    /// The publisher's clientId, for No Local; empty for the cloud.
    pub publisher: Arc<str>,
}

impl Message {
    /// Copies topic, forwarded properties (MQTT 5 property bytes) and payload.
    #[must_use]
    pub fn new(topic: &str, forwarded: &[u8], payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(topic.len() + forwarded.len() + payload.len());
        bytes.extend_from_slice(topic.as_bytes());
        bytes.extend_from_slice(forwarded);
        let payload_at = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(payload);
        Self {
            bytes: bytes.into_boxed_slice(),
            topic_len: u32::try_from(topic.len()).unwrap_or(u32::MAX),
            payload_at,
            qos: QoS::AtMostOnce,
            retain: false,
            origin: Origin::Device,
            expires_at: None,
            publisher: Arc::default(),
        }
    }

    fn part(&self, from: u32, to: usize) -> &[u8] {
        self.bytes.get(from as usize..to).unwrap_or_default()
    }

    /// The Topic Name; for the filter form of a downlink record the Topic Filter.
    #[must_use]
    pub fn topic(&self) -> &str {
        std::str::from_utf8(self.part(0, self.topic_len as usize)).unwrap_or_default()
    }

    /// MQTT 5 properties that are forwarded unaltered, as property bytes.
    #[must_use]
    pub fn forwarded(&self) -> &[u8] {
        self.part(self.topic_len, self.payload_at as usize)
    }

    /// The Payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.part(self.payload_at, self.bytes.len())
    }

    /// What it counts for in a queue, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether its expiry has passed.
    #[must_use]
    pub fn expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// What is left of the Message Expiry Interval, whole seconds, at least 1 [MQTT-3.3.2-6].
    #[must_use]
    pub fn remaining_expiry(&self, now: u64) -> Option<u32> {
        self.expires_at.map(|at| {
            u32::try_from(at.saturating_sub(now).div_ceil(1000))
                .unwrap_or(u32::MAX)
                .max(1)
        })
    }

    /// As an encoder takes it, under another name where the filter form decided one.
    #[must_use]
    pub fn head<'a>(&'a self, topic: Option<&'a str>) -> PublishHead<'a> {
        PublishHead {
            topic: topic.unwrap_or_else(|| self.topic()),
            forwarded: self.forwarded(),
            payload: self.payload(),
        }
    }
}

impl std::fmt::Debug for Message {
    /// Never the payload.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("payload_len", &self.payload().len())
            .finish_non_exhaustive()
    }
}
