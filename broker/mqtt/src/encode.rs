//! Packets to bytes, appended to the caller's buffer.
//!
//! [`encode`] takes any packet; [`publish`], [`ack`] and [`pingresp`] are the broker's data path.
//! An encoder writes what it is told: it refuses what has no encoding, not what is illegal.

mod connect;
mod data;
mod subscribe;
pub(crate) mod write;

use crate::packet::{Ack, AckType, Auth, ConnAck, Disconnect, Packet, Version};
use crate::property::read::id;
use crate::property::write as property;
use crate::reason::ReasonCode;
pub use data::{PublishHead, ack, patch_dup, patch_packet_id, pingresp, publish, publish_len};
use write::framed;

/// Why a packet has no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Sections 1.5.4 and 1.5.6: two bytes hold the length.
    #[error("string or binary value of {0} bytes, more than 65,535")]
    StringTooLong(usize),
    /// [MQTT-1.5.4-2]; only where User Properties are made.
    #[error("string holds the null character")]
    NullCharacter,
    /// Section 2.1.4: the Remaining Length is at most 268,435,455. So is a Property Length.
    #[error("{0} bytes are more than a packet can have")]
    PacketTooLarge(usize),
    /// Section 1.5.5: a Subscription Identifier is at most 268,435,455.
    #[error("Subscription Identifier {0} is more than 268,435,455")]
    SubscriptionId(u32),
    /// AUTH exists in MQTT 5 only.
    #[error("AUTH before MQTT 5")]
    AuthBeforeV5,
}

/// Appends any packet. What the version does not have is left out: properties and Reason Codes
/// in 3.x, and a whole DISCONNECT in 3.x that does not mean a normal disconnection. A CONNECT is
/// encoded in its own version.
///
/// # Errors
/// The packet has no encoding; `out` stays as it was.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let before = out.len();
    let written = write_packet(packet, version, out);
    if written.is_err() {
        out.truncate(before);
    }
    written
}

fn write_packet(
    packet: &Packet<'_>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(connect) => connect::connect(out, connect),
        Packet::ConnAck(connack) => self::connack(out, version, connack),
        Packet::Publish(publish) => data::any_publish(out, version, publish),
        Packet::PubAck(ack) => any_ack(out, version, AckType::PubAck, ack),
        Packet::PubRec(ack) => any_ack(out, version, AckType::PubRec, ack),
        Packet::PubRel(ack) => any_ack(out, version, AckType::PubRel, ack),
        Packet::PubComp(ack) => any_ack(out, version, AckType::PubComp, ack),
        Packet::Subscribe(packet) => subscribe::subscribe(out, version, packet),
        Packet::SubAck(packet) => subscribe::suback(out, version, packet),
        Packet::Unsubscribe(packet) => subscribe::unsubscribe(out, version, packet),
        Packet::UnsubAck(packet) => subscribe::unsuback(out, version, packet),
        Packet::PingReq => {
            out.extend_from_slice(&[0xC0, 0]);
            Ok(())
        }
        Packet::PingResp => {
            pingresp(out);
            Ok(())
        }
        Packet::Disconnect(packet) => disconnect(out, version, packet),
        Packet::Auth(_) if version != Version::V5 => Err(EncodeError::AuthBeforeV5),
        Packet::Auth(packet) => auth(out, packet),
    }
}

fn connack(out: &mut Vec<u8>, version: Version, packet: &ConnAck<'_>) -> Result<(), EncodeError> {
    framed(out, 0x20, |out| {
        let session_present = packet.session_present && version != Version::V31;
        out.push(u8::from(session_present));
        if version != Version::V5 {
            out.push(packet.reason.to_v3_connack());
            return Ok(());
        }
        out.push(packet.reason.0);
        property::section(out, |out| connack_properties(out, packet))
    })
}

fn connack_properties(out: &mut Vec<u8>, packet: &ConnAck<'_>) -> Result<(), EncodeError> {
    let maximum_qos = packet
        .maximum_qos
        .map(|qos| qos as u8)
        .filter(|&qos| qos < 2);
    property::four(out, id::SESSION_EXPIRY, packet.session_expiry);
    property::two(out, id::RECEIVE_MAXIMUM, packet.receive_maximum);
    property::byte(out, id::MAXIMUM_QOS, maximum_qos);
    property::boolean(out, id::RETAIN_AVAILABLE, packet.retain_available);
    property::four(out, id::MAXIMUM_PACKET_SIZE, packet.maximum_packet_size);
    property::string(out, id::ASSIGNED_CLIENT_ID, packet.assigned_client_id)?;
    property::two(out, id::TOPIC_ALIAS_MAXIMUM, packet.topic_alias_maximum);
    property::string(out, id::REASON_STRING, packet.reason_string)?;
    property::user(out, &packet.user_properties)?;
    property::boolean(out, id::WILDCARD_AVAILABLE, packet.wildcard_available);
    let subscription_ids = packet.subscription_ids_available;
    property::boolean(out, id::SUBSCRIPTION_IDS_AVAILABLE, subscription_ids);
    property::boolean(out, id::SHARED_AVAILABLE, packet.shared_available);
    property::two(out, id::SERVER_KEEP_ALIVE, packet.server_keep_alive);
    property::string(out, id::RESPONSE_INFORMATION, packet.response_information)?;
    property::string(out, id::SERVER_REFERENCE, packet.server_reference)?;
    property::string(out, id::AUTHENTICATION_METHOD, packet.authentication_method)?;
    property::binary(out, id::AUTHENTICATION_DATA, packet.authentication_data)
}

fn any_ack(
    out: &mut Vec<u8>,
    version: Version,
    kind: AckType,
    packet: &Ack<'_>,
) -> Result<(), EncodeError> {
    let short = packet.reason_string.is_none() && packet.user_properties.is_empty();
    if short || version != Version::V5 {
        ack(out, version, kind, packet.packet_id, packet.reason);
        return Ok(());
    }
    framed(out, data::ack_first_byte(kind), |out| {
        out.extend_from_slice(&packet.packet_id.to_be_bytes());
        out.push(packet.reason.0);
        property::section(out, |out| {
            property::string(out, id::REASON_STRING, packet.reason_string)?;
            property::user(out, &packet.user_properties)
        })
    })
}

fn disconnect(
    out: &mut Vec<u8>,
    version: Version,
    packet: &Disconnect<'_>,
) -> Result<(), EncodeError> {
    let normal = packet.reason == ReasonCode::NORMAL_DISCONNECTION;
    if version != Version::V5 {
        if normal {
            out.extend_from_slice(&[0xE0, 0]);
        }
        return Ok(());
    }
    framed(out, 0xE0, |out| {
        let start = out.len();
        out.push(packet.reason.0);
        property::section(out, |out| {
            property::four(out, id::SESSION_EXPIRY, packet.session_expiry);
            property::string(out, id::REASON_STRING, packet.reason_string)?;
            property::user(out, &packet.user_properties)?;
            property::string(out, id::SERVER_REFERENCE, packet.server_reference)
        })?;
        // Without properties their length can go, and then a normal reason.
        if out.len() == start + 2 {
            out.truncate(if normal { start } else { start + 1 });
        }
        Ok(())
    })
}

fn auth(out: &mut Vec<u8>, packet: &Auth<'_>) -> Result<(), EncodeError> {
    framed(out, 0xF0, |out| {
        let start = out.len();
        out.push(packet.reason.0);
        property::section(out, |out| {
            property::string(out, id::AUTHENTICATION_METHOD, packet.authentication_method)?;
            property::binary(out, id::AUTHENTICATION_DATA, packet.authentication_data)?;
            property::string(out, id::REASON_STRING, packet.reason_string)?;
            property::user(out, &packet.user_properties)
        })?;
        if out.len() == start + 2 && packet.reason == ReasonCode::SUCCESS {
            out.truncate(start);
        }
        Ok(())
    })
}
