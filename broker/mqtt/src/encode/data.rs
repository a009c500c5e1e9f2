//! The broker's data path: PUBLISH, its acknowledgements and PINGRESP, without a packet to fill.

use super::EncodeError;
use super::property;
use super::subscribe::put_subscription_id;
use super::write::{VARINT_MAX, put_len, put_string, varint_len};
use crate::packet::{AckType, Publish, QoS, Version};
use crate::property::read::id;
use crate::reason::ReasonCode;

/// What of a PUBLISH is the same for every receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishHead<'a> {
    /// Topic Name.
    pub topic: &'a str,
    /// What [`MessageProperties::encode_forwarded`](crate::MessageProperties::encode_forwarded)
    /// wrote; left out in 3.x.
    pub forwarded: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
}

/// The bytes that [`publish`] appends for the same arguments.
#[must_use]
pub fn publish_len(
    version: Version,
    qos: QoS,
    head: &PublishHead<'_>,
    expiry: Option<u32>,
    subscription_ids: &[u32],
) -> usize {
    let form = PublishForm {
        version,
        dup: false,
        qos,
        retain: false,
        packet_id: 0,
        head: *head,
        expiry,
        topic_alias: None,
        subscription_ids,
    };
    let remaining = form.remaining_len();
    1 + varint_len(remaining) + remaining
}

/// Appends a PUBLISH. Yields where in `out` the Packet Identifier stands, for
/// [`patch_packet_id`]; QoS 0 has none. `packet_id` is not looked at for QoS 0; `expiry`,
/// `subscription_ids` and the forwarded properties are not in 3.x.
///
/// # Errors
/// It has no encoding; `out` stays as it was.
#[expect(
    clippy::too_many_arguments,
    reason = "what differs between receivers, beside the head that does not"
)]
pub fn publish(
    out: &mut Vec<u8>,
    version: Version,
    dup: bool,
    qos: QoS,
    retain: bool,
    packet_id: u16,
    head: &PublishHead<'_>,
    expiry: Option<u32>,
    subscription_ids: &[u32],
) -> Result<Option<usize>, EncodeError> {
    let form = PublishForm {
        version,
        dup,
        qos,
        retain,
        packet_id,
        head: *head,
        expiry,
        topic_alias: None,
        subscription_ids,
    };
    let before = out.len();
    let written = form.write(out);
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// Any PUBLISH, Topic Alias included.
pub(super) fn any_publish(
    out: &mut Vec<u8>,
    version: Version,
    packet: &Publish<'_>,
) -> Result<(), EncodeError> {
    let mut forwarded = Vec::new();
    packet.properties.encode_forwarded(&mut forwarded)?;
    let form = PublishForm {
        version,
        dup: packet.dup,
        qos: packet.qos,
        retain: packet.retain,
        packet_id: packet.packet_id,
        head: PublishHead {
            topic: packet.topic,
            forwarded: &forwarded,
            payload: packet.payload,
        },
        expiry: packet.properties.expiry,
        topic_alias: packet.topic_alias,
        subscription_ids: &packet.subscription_ids,
    };
    form.write(out).map(|_| ())
}

struct PublishForm<'a> {
    version: Version,
    dup: bool,
    qos: QoS,
    retain: bool,
    packet_id: u16,
    head: PublishHead<'a>,
    expiry: Option<u32>,
    topic_alias: Option<u16>,
    subscription_ids: &'a [u32],
}

impl PublishForm<'_> {
    fn properties_len(&self) -> usize {
        let ids = self.subscription_ids.iter();
        let expiry = self.expiry.map_or(0, |_| 5);
        let topic_alias = self.topic_alias.map_or(0, |_| 3);
        let ids: usize = ids.map(|&id| 1 + varint_len(id as usize)).sum();
        self.head.forwarded.len() + expiry + topic_alias + ids
    }

    fn remaining_len(&self) -> usize {
        let packet_id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties = match self.version {
            Version::V31 | Version::V311 => 0,
            Version::V5 => {
                let len = self.properties_len();
                varint_len(len) + len
            }
        };
        2 + self.head.topic.len() + packet_id + properties + self.head.payload.len()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<Option<usize>, EncodeError> {
        let remaining = self.remaining_len();
        if remaining > VARINT_MAX as usize {
            return Err(EncodeError::PacketTooLarge(remaining));
        }
        out.reserve(1 + varint_len(remaining) + remaining);
        out.push(first_byte(self.dup, self.qos, self.retain));
        put_len(out, remaining)?;
        put_string(out, self.head.topic)?;
        let packet_id_at = (self.qos != QoS::AtMostOnce).then_some(out.len());
        if packet_id_at.is_some() {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if self.version == Version::V5 {
            put_len(out, self.properties_len())?;
            property::four(out, id::MESSAGE_EXPIRY, self.expiry);
            property::two(out, id::TOPIC_ALIAS, self.topic_alias);
            for &id in self.subscription_ids {
                put_subscription_id(out, id)?;
            }
            out.extend_from_slice(self.head.forwarded);
        }
        out.extend_from_slice(self.head.payload);
        Ok(packet_id_at)
    }
}

const fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    0x30 | (dup as u8) << 3 | (qos as u8) << 1 | retain as u8
}

/// Writes another Packet Identifier into an encoded PUBLISH, at the place that [`publish`]
/// yielded. Nothing happens where `bytes` has no such place.
pub fn patch_packet_id(bytes: &mut [u8], at: usize, packet_id: u16) {
    let place = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
    if let Some(place) = place {
        *place = packet_id.to_be_bytes();
    }
}

/// Sets or clears DUP in the encoded PUBLISH that `bytes` begins with.
pub fn patch_dup(bytes: &mut [u8], dup: bool) {
    if let Some(first) = bytes.first_mut() {
        *first = *first & !0x08 | u8::from(dup) << 3;
    }
}

/// Appends an acknowledgement in its shortest form. In 3.x there is no Reason Code.
pub fn ack(out: &mut Vec<u8>, version: Version, kind: AckType, packet_id: u16, reason: ReasonCode) {
    let first = ack_first_byte(kind);
    let [high, low] = packet_id.to_be_bytes();
    if version == Version::V5 && reason != ReasonCode::SUCCESS {
        out.extend_from_slice(&[first, 3, high, low, reason.0]);
    } else {
        out.extend_from_slice(&[first, 2, high, low]);
    }
}

pub(super) const fn ack_first_byte(kind: AckType) -> u8 {
    match kind {
        AckType::PubAck => 0x40,
        AckType::PubRec => 0x50,
        AckType::PubRel => 0x62,
        AckType::PubComp => 0x70,
    }
}

/// Appends a PINGRESP.
pub fn pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xD0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::testing::unhex;

    const HEAD: PublishHead<'_> = PublishHead {
        topic: "a/b",
        forwarded: &[0x01, 0x01],
        payload: b"hi",
    };

    #[test]
    fn publish_differs_by_version_and_receiver() {
        let (v3, v5) = (Version::V311, Version::V5);
        let (qos0, qos1) = (QoS::AtMostOnce, QoS::AtLeastOnce);
        for (version, qos, expiry, ids, hex, place) in [
            (v3, qos0, None, &[][..], "30 07 0003 612f62 6869", None),
            (
                v3,
                qos1,
                Some(1),
                &[1],
                "32 09 0003 612f62 0009 6869",
                Some(8),
            ),
            (v5, qos0, None, &[], "30 0a 0003 612f62 02 0101 6869", None),
            (
                v5,
                qos1,
                Some(256),
                &[1, 200],
                "32 16 0003 612f62 0009 0c 0200000100 0b01 0bc801 0101 6869",
                Some(8),
            ),
        ] {
            let mut out = vec![0xEE];
            let at = publish(&mut out, version, false, qos, false, 9, &HEAD, expiry, ids).unwrap();
            assert_eq!(out[1..], unhex(hex), "{hex}");
            assert_eq!(at, place, "{hex}");
            assert_eq!(publish_len(version, qos, &HEAD, expiry, ids), out.len() - 1);
        }
    }

    #[test]
    fn one_encoding_serves_many_receivers() {
        let mut out = Vec::new();
        let (qos, version) = (QoS::ExactlyOnce, Version::V5);
        let at = publish(&mut out, version, false, qos, true, 0, &HEAD, None, &[]).unwrap();
        patch_packet_id(&mut out, at.unwrap(), 0x1234);
        patch_dup(&mut out, true);
        let mut again = Vec::new();
        publish(
            &mut again,
            version,
            true,
            qos,
            true,
            0x1234,
            &HEAD,
            None,
            &[],
        )
        .unwrap();
        assert_eq!(out, again);

        patch_dup(&mut out, false);
        assert_eq!(out[0], 0x35);
        let before = out.clone();
        for at in [out.len() - 1, out.len(), usize::MAX] {
            patch_packet_id(&mut out, at, 7);
        }
        patch_dup(&mut [], true);
        assert_eq!(out, before);
    }

    #[test]
    fn what_has_no_encoding_leaves_the_buffer_as_it_was() {
        let mut out = vec![1, 2];
        let (qos, version) = (QoS::AtMostOnce, Version::V5);
        let long = "x".repeat(65_536);
        let head = PublishHead {
            topic: &long,
            ..HEAD
        };
        let error = publish(&mut out, version, false, qos, false, 0, &head, None, &[]);
        assert_eq!(error, Err(EncodeError::StringTooLong(65_536)));

        let ids = [1, 268_435_456];
        let error = publish(&mut out, version, false, qos, false, 0, &HEAD, None, &ids);
        assert_eq!(error, Err(EncodeError::SubscriptionId(268_435_456)));

        let payload = vec![0; 268_435_455];
        let head = PublishHead {
            payload: &payload,
            ..HEAD
        };
        let error = publish(&mut out, version, false, qos, false, 0, &head, None, &[]);
        assert_eq!(error, Err(EncodeError::PacketTooLarge(268_435_463)));
        assert_eq!(out, [1, 2]);
    }

    #[test]
    fn acknowledgements() {
        let (v3, v5) = (Version::V31, Version::V5);
        for (version, kind, reason, hex) in [
            (
                v3,
                AckType::PubAck,
                ReasonCode::NOT_AUTHORIZED,
                "40 02 0102",
            ),
            (v5, AckType::PubAck, ReasonCode::SUCCESS, "40 02 0102"),
            (
                v5,
                AckType::PubRec,
                ReasonCode::NO_MATCHING_SUBSCRIBERS,
                "50 03 0102 10",
            ),
            (v5, AckType::PubRel, ReasonCode::SUCCESS, "62 02 0102"),
            (
                v5,
                AckType::PubComp,
                ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
                "70 03 0102 92",
            ),
        ] {
            let mut out = Vec::new();
            ack(&mut out, version, kind, 0x0102, reason);
            assert_eq!(out, unhex(hex), "{hex}");
        }
        let mut out = Vec::new();
        pingresp(&mut out);
        assert_eq!(out, unhex("d0 00"));
    }
}
