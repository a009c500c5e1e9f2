//! PUBACK, PUBREC, PUBREL and PUBCOMP, sections 3.4 to 3.7.

use super::DecodeError;
use super::reader::Reader;
use crate::packet::{Ack, PacketType, Version};
use crate::property::UserProperties;
use crate::property::read::{Properties, Property};
use crate::reason::ReasonCode;

pub(super) fn decode<'a>(
    body: &mut Reader<'a>,
    version: Version,
    kind: PacketType,
) -> Result<Ack<'a>, DecodeError> {
    let mut ack = Ack {
        packet_id: body.packet_id()?,
        reason: ReasonCode::SUCCESS,
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    if version == Version::V5 && !body.is_empty() {
        ack.reason = reason(body, kind)?;
        if !body.is_empty() {
            (ack.reason_string, ack.user_properties) = explanation(body)?;
        }
    }
    Ok(ack)
}

/// A Reason Code that this type of packet may carry.
pub(super) fn reason(body: &mut Reader<'_>, kind: PacketType) -> Result<ReasonCode, DecodeError> {
    let reason = ReasonCode(body.u8()?);
    if reason.is_legal_in(kind) {
        Ok(reason)
    } else {
        Err(DecodeError::ReasonCode(reason))
    }
}

/// The property section of the packets that have no more than Reason String and User Properties.
pub(super) fn explanation<'a>(
    body: &mut Reader<'a>,
) -> Result<(Option<&'a str>, UserProperties<'a>), DecodeError> {
    let mut reason_string = None;
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::ReasonString(value) => reason_string = Some(value),
            Property::User(..) => {}
            other => return Err(other.not_allowed()),
        }
    }
    Ok((reason_string, properties.user_properties()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::testing::{assert_same, decoded, unhex};
    use crate::packet::Packet;
    use crate::property::UserPropertiesBuf;

    fn ack(packet_id: u16, reason: ReasonCode) -> Ack<'static> {
        Ack {
            packet_id,
            reason,
            reason_string: None,
            user_properties: UserProperties::default(),
        }
    }

    #[test]
    fn of_each_type() {
        let success = ack(0x1234, ReasonCode::SUCCESS);
        for version in [Version::V31, Version::V311, Version::V5] {
            assert_same(version, "40 02 1234", &Packet::PubAck(success));
            assert_same(version, "50 02 1234", &Packet::PubRec(success));
            assert_same(version, "62 02 1234", &Packet::PubRel(success));
            assert_same(version, "70 02 1234", &Packet::PubComp(success));
        }
    }

    #[test]
    fn with_a_reason() {
        let refused = ack(1, ReasonCode::QUOTA_EXCEEDED);
        let unknown = ack(1, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
        assert_same(Version::V5, "40 03 0001 97", &Packet::PubAck(refused));
        assert_same(Version::V5, "50 03 0001 97", &Packet::PubRec(refused));
        assert_same(Version::V5, "62 03 0001 92", &Packet::PubRel(unknown));
        assert_same(Version::V5, "70 03 0001 92", &Packet::PubComp(unknown));
    }

    #[test]
    fn with_properties() {
        let user = UserPropertiesBuf::from_pairs([("k", "v")]).unwrap();
        let explained = Ack {
            reason_string: Some("why"),
            user_properties: user.as_user_properties(),
            ..ack(1, ReasonCode::NOT_AUTHORIZED)
        };
        let hex = "40 11 0001 87 0d 1f0003776879 2600016b000176";
        assert_same(Version::V5, hex, &Packet::PubAck(explained));
    }

    #[test]
    fn success_in_its_longer_forms() {
        for hex in ["40 03 0001 00", "40 04 0001 00 00"] {
            let bytes = unhex(hex);
            let expected = Packet::PubAck(ack(1, ReasonCode::SUCCESS));
            assert_eq!(decoded(Version::V5, &bytes), Ok(expected), "{hex}");
        }
    }

    /// MQTT 3.1 section 3.6: a PUBREL that is sent again has DUP.
    #[test]
    fn pubrel_with_dup_in_3_1() {
        let bytes = unhex("6a 02 0001");
        let expected = Packet::PubRel(ack(1, ReasonCode::SUCCESS));
        assert_eq!(decoded(Version::V31, &bytes), Ok(expected));
    }
}
