//! What the specification says of a script: whether the broker has to close the connection, and
//! which answers it owes.

use isthmus_mqtt::{Packet, QoS, Version, decode, frame};

/// Above what any script sends in one packet and below the broker's limit.
const MAX_PACKET: usize = 2 << 20;

/// What has to come back.
#[derive(Debug, Default)]
pub struct Expected {
    /// The version of the first CONNECT, if that is one.
    pub version: Option<Version>,
    /// Maximum Packet Size of that CONNECT.
    pub maximum: Option<u32>,
    /// Why the broker closes; `None` when it need not.
    pub closes: Option<String>,
    /// PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK and PINGRESP together.
    pub answers: usize,
}

/// Reads a script as the broker does.
#[must_use]
pub fn expected(bytes: &[u8]) -> Expected {
    let mut expected = Expected::default();
    let mut rest = bytes;
    while expected.closes.is_none() {
        let found = match frame(rest, MAX_PACKET) {
            Ok(None) => break,
            Ok(Some(found)) => found,
            Err(fault) => {
                expected.closes = Some(fault.to_string());
                break;
            }
        };
        rest = &rest[found.len..];
        match decode(found, expected.version.unwrap_or(Version::V5)) {
            Ok(packet) => expected.take(&packet),
            Err(fault) => expected.closes = Some(fault.to_string()),
        }
    }
    expected
}

impl Expected {
    fn take(&mut self, packet: &Packet<'_>) {
        let closes = match packet {
            Packet::Connect(connect) if self.version.is_none() => {
                self.version = Some(connect.version);
                self.maximum = connect.maximum_packet_size;
                None
            }
            Packet::Connect(_) => Some("a second CONNECT, [MQTT-3.1.0-2]"),
            _ if self.version.is_none() => Some("no CONNECT, [MQTT-3.1.0-1]"),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Some("a packet that only a server sends, 2.1.2")
            }
            Packet::Disconnect(_) => Some("DISCONNECT, 3.14.4"),
            Packet::Publish(publish) if !publish.subscription_ids.is_empty() => {
                Some("a client's Subscription Identifier, [MQTT-3.3.4-6]")
            }
            Packet::Publish(publish) => {
                self.answers += usize::from(publish.qos != QoS::AtMostOnce);
                None
            }
            Packet::PubRel(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                self.answers += 1;
                None
            }
            Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_) | Packet::Auth(_) => None,
        };
        self.closes = closes.map(str::to_owned);
    }
}
