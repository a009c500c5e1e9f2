//! Bytes to packets: where a packet ends, and what it says.
//!
//! Strict: a packet that the specification calls malformed or a protocol error is refused, each
//! fault as its own [`DecodeError`]. What 3.1 says to disregard is disregarded in 3.1 alone.
//! Direction is not known here: what only one side may send is left to that side.

mod ack;
mod connack;
mod connect;
mod error;
mod publish;
pub(crate) mod reader;
mod session;
mod subscribe;
#[cfg(test)]
pub(crate) mod testing;

use crate::packet::{Packet, PacketType, Version};
pub use error::DecodeError;
use reader::Reader;

/// One whole packet, not yet decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The first byte: packet type and flags.
    pub first: u8,
    /// What follows the fixed header.
    pub body: &'a [u8],
    /// The bytes of the whole packet, fixed header included.
    pub len: usize,
}

/// The packet at the head of `buf`; `None` while it is incomplete.
///
/// Faults are reported as soon as they can be known: an illegal first byte by itself, an excessive
/// size when the Remaining Length is complete. DUP in a PUBREL, SUBSCRIBE or UNSUBSCRIBE, which
/// MQTT 3.1 has, passes here and is refused by [`decode`] in other versions; likewise a Remaining
/// Length in more bytes than it needs, which only MQTT 5 forbids.
///
/// # Errors
/// The fixed header is illegal, or the packet is larger than `max_packet_size`.
pub fn frame(buf: &[u8], max_packet_size: usize) -> Result<Option<Frame<'_>>, DecodeError> {
    let Some((&first, rest)) = buf.split_first() else {
        return Ok(None);
    };
    check_first_byte(first)?;
    let mut remaining = 0;
    for (position, shift) in [0, 7, 14, 21].into_iter().enumerate() {
        let Some(&byte) = rest.get(position) else {
            return Ok(None);
        };
        remaining |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let header = position + 2;
            let len = header + remaining;
            if len > max_packet_size {
                return Err(DecodeError::PacketTooLarge {
                    size: len,
                    maximum: max_packet_size,
                });
            }
            let body = buf.get(header..len);
            return Ok(body.map(|body| Frame { first, body, len }));
        }
    }
    Err(DecodeError::RemainingLength)
}

/// What a frame says in a connection of this version; a CONNECT names its own.
///
/// # Errors
/// The first fault found.
pub fn decode(frame: Frame<'_>, version: Version) -> Result<Packet<'_>, DecodeError> {
    let kind = check_first_byte(frame.first)?;
    let mut body = Reader::new(frame.body);
    let packet = match kind {
        PacketType::Connect => Packet::Connect(connect::decode(&mut body)?),
        PacketType::ConnAck => Packet::ConnAck(connack::decode(&mut body, version)?),
        PacketType::Publish => Packet::Publish(publish::decode(frame.first, &mut body, version)?),
        PacketType::PubAck => Packet::PubAck(ack::decode(&mut body, version, kind)?),
        PacketType::PubRec => Packet::PubRec(ack::decode(&mut body, version, kind)?),
        PacketType::PubRel => Packet::PubRel(ack::decode(&mut body, version, kind)?),
        PacketType::PubComp => Packet::PubComp(ack::decode(&mut body, version, kind)?),
        PacketType::Subscribe => Packet::Subscribe(subscribe::subscribe(&mut body, version)?),
        PacketType::SubAck => Packet::SubAck(subscribe::suback(&mut body, version)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(subscribe::unsubscribe(&mut body, version)?),
        PacketType::UnsubAck => Packet::UnsubAck(subscribe::unsuback(&mut body, version)?),
        PacketType::PingReq => Packet::PingReq,
        PacketType::PingResp => Packet::PingResp,
        PacketType::Disconnect => Packet::Disconnect(session::disconnect(&mut body, version)?),
        PacketType::Auth => Packet::Auth(session::auth(&mut body, version)?),
    };
    body.finish()?;
    let version = match &packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    };
    check_header(&frame, kind, version)?;
    Ok(packet)
}

/// The packet type, if the flags beside it are legal in some version.
fn check_first_byte(first: u8) -> Result<PacketType, DecodeError> {
    let kind = PacketType::from_first_byte(first).ok_or(DecodeError::ReservedPacketType(0))?;
    let flags = first & 0x0F;
    match kind {
        PacketType::Publish if flags & 0x06 == 0x06 => Err(DecodeError::PublishQos),
        PacketType::Publish if flags & 0x0E == 0x08 => Err(DecodeError::DupWithQos0),
        PacketType::Publish => Ok(kind),
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe
            if flags & 0x07 == 0x02 =>
        {
            Ok(kind)
        }
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => {
            Err(DecodeError::FixedHeaderFlags(first))
        }
        _ if flags == 0 => Ok(kind),
        _ => Err(DecodeError::FixedHeaderFlags(first)),
    }
}

/// What of the fixed header is legal in some versions only.
fn check_header(frame: &Frame<'_>, kind: PacketType, version: Version) -> Result<(), DecodeError> {
    // MQTT 3.1 has DUP in more packets than PUBLISH.
    if version != Version::V31 && kind != PacketType::Publish && frame.first & 0x08 != 0 {
        return Err(DecodeError::FixedHeaderFlags(frame.first));
    }
    // [MQTT-1.5.5-1], of MQTT 5 only: the Remaining Length takes no more bytes than it needs.
    let header = match frame.body.len() {
        0..0x80 => 2,
        0x80..0x4000 => 3,
        0x4000..0x20_0000 => 4,
        _ => 5,
    };
    if version == Version::V5 && frame.len > frame.body.len() + header {
        return Err(DecodeError::NonMinimalInteger);
    }
    Ok(())
}
