//! CONNACK, section 3.2.

use super::DecodeError;
use super::reader::Reader;
use crate::packet::{ConnAck, PacketType, Version};
use crate::property::read::{Properties, Property};
use crate::reason::ReasonCode;

pub(super) fn decode<'a>(
    body: &mut Reader<'a>,
    version: Version,
) -> Result<ConnAck<'a>, DecodeError> {
    let flags = body.u8()?;
    let reason = reason(body.u8()?, version)?;
    let mut connack = ConnAck {
        // MQTT 3.1 does not use this byte.
        session_present: flags == 1 && version != Version::V31,
        reason,
        ..ConnAck::default()
    };
    if flags > 1 && version != Version::V31 {
        return Err(DecodeError::ConnAckFlags);
    }
    if connack.session_present && reason != ReasonCode::SUCCESS {
        return Err(DecodeError::SessionPresentWithRefusal);
    }
    if version == Version::V5 {
        properties(body, &mut connack)?;
    }
    Ok(connack)
}

fn reason(byte: u8, version: Version) -> Result<ReasonCode, DecodeError> {
    let undefined = DecodeError::ReasonCode(ReasonCode(byte));
    match version {
        Version::V31 | Version::V311 => ReasonCode::from_v3_connack(byte).ok_or(undefined),
        Version::V5 if ReasonCode(byte).is_legal_in(PacketType::ConnAck) => Ok(ReasonCode(byte)),
        Version::V5 => Err(undefined),
    }
}

fn properties<'a>(body: &mut Reader<'a>, connack: &mut ConnAck<'a>) -> Result<(), DecodeError> {
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::SessionExpiry(value) => connack.session_expiry = Some(value),
            Property::ReceiveMaximum(value) => connack.receive_maximum = Some(value),
            Property::MaximumQos(value) => connack.maximum_qos = Some(value),
            Property::RetainAvailable(value) => connack.retain_available = Some(value),
            Property::MaximumPacketSize(value) => connack.maximum_packet_size = Some(value),
            Property::AssignedClientId(value) => connack.assigned_client_id = Some(value),
            Property::TopicAliasMaximum(value) => connack.topic_alias_maximum = Some(value),
            Property::ReasonString(value) => connack.reason_string = Some(value),
            Property::WildcardAvailable(value) => connack.wildcard_available = Some(value),
            Property::SubscriptionIdsAvailable(value) => {
                connack.subscription_ids_available = Some(value);
            }
            Property::SharedAvailable(value) => connack.shared_available = Some(value),
            Property::ServerKeepAlive(value) => connack.server_keep_alive = Some(value),
            Property::ResponseInformation(value) => connack.response_information = Some(value),
            Property::ServerReference(value) => connack.server_reference = Some(value),
            Property::AuthenticationMethod(value) => connack.authentication_method = Some(value),
            Property::AuthenticationData(value) => connack.authentication_data = Some(value),
            Property::User(..) => {}
            other => return Err(other.not_allowed()),
        }
    }
    connack.user_properties = properties.user_properties();
    if connack.authentication_data.is_some() && connack.authentication_method.is_none() {
        return Err(DecodeError::AuthenticationDataWithoutMethod);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::testing::assert_same;
    use crate::packet::{Packet, QoS};
    use crate::property::UserPropertiesBuf;

    #[test]
    fn accepted() {
        let present = ConnAck {
            session_present: true,
            ..ConnAck::default()
        };
        assert_same(
            Version::V31,
            "20 02 00 00",
            &Packet::ConnAck(ConnAck::default()),
        );
        assert_same(
            Version::V311,
            "20 02 01 00",
            &Packet::ConnAck(present.clone()),
        );
        assert_same(Version::V5, "20 03 01 00 00", &Packet::ConnAck(present));
    }

    #[test]
    fn refused() {
        let refused = ConnAck {
            reason: ReasonCode::NOT_AUTHORIZED,
            ..ConnAck::default()
        };
        assert_same(
            Version::V311,
            "20 02 00 05",
            &Packet::ConnAck(refused.clone()),
        );
        assert_same(Version::V5, "20 03 00 87 00", &Packet::ConnAck(refused));
    }

    #[test]
    fn with_every_property() {
        let user = UserPropertiesBuf::from_pairs([("k", "v")]).unwrap();
        let expected = ConnAck {
            session_present: false,
            reason: ReasonCode::SUCCESS,
            session_expiry: Some(1),
            receive_maximum: Some(64),
            maximum_qos: Some(QoS::AtLeastOnce),
            retain_available: Some(false),
            maximum_packet_size: Some(256),
            assigned_client_id: Some("id"),
            topic_alias_maximum: Some(0),
            reason_string: Some("r"),
            user_properties: user.as_user_properties(),
            wildcard_available: Some(true),
            subscription_ids_available: Some(true),
            shared_available: Some(false),
            server_keep_alive: Some(30),
            response_information: Some("i"),
            server_reference: Some("s"),
            authentication_method: Some("m"),
            authentication_data: Some(&[]),
        };
        let hex = "20 3f 00 00 3c 1100000001 210040 2401 2500 2700000100 1200026964 220000 \
                   1f000172 2600016b000176 2801 2901 2a00 13001e 1a000169 1c000173 1500016d 160000";
        assert_same(Version::V5, hex, &Packet::ConnAck(expected));
    }
}
