//! DISCONNECT and AUTH, sections 3.14 and 3.15.

use super::DecodeError;
use super::ack::reason;
use super::reader::Reader;
use crate::packet::{Auth, Disconnect, PacketType, Version};
use crate::property::UserProperties;
use crate::property::read::{Properties, Property};
use crate::reason::ReasonCode;

pub(super) fn disconnect<'a>(
    body: &mut Reader<'a>,
    version: Version,
) -> Result<Disconnect<'a>, DecodeError> {
    let mut disconnect = Disconnect::default();
    if version != Version::V5 || body.is_empty() {
        return Ok(disconnect);
    }
    disconnect.reason = reason(body, PacketType::Disconnect)?;
    if body.is_empty() {
        return Ok(disconnect);
    }
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::SessionExpiry(value) => disconnect.session_expiry = Some(value),
            Property::ReasonString(value) => disconnect.reason_string = Some(value),
            Property::ServerReference(value) => disconnect.server_reference = Some(value),
            Property::User(..) => {}
            other => return Err(other.not_allowed()),
        }
    }
    disconnect.user_properties = properties.user_properties();
    Ok(disconnect)
}

pub(super) fn auth<'a>(body: &mut Reader<'a>, version: Version) -> Result<Auth<'a>, DecodeError> {
    if version != Version::V5 {
        return Err(DecodeError::ReservedPacketType(15));
    }
    let mut auth = Auth {
        reason: ReasonCode::SUCCESS,
        authentication_method: None,
        authentication_data: None,
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    if body.is_empty() {
        return Ok(auth);
    }
    auth.reason = reason(body, PacketType::Auth)?;
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::AuthenticationMethod(value) => auth.authentication_method = Some(value),
            Property::AuthenticationData(value) => auth.authentication_data = Some(value),
            Property::ReasonString(value) => auth.reason_string = Some(value),
            Property::User(..) => {}
            other => return Err(other.not_allowed()),
        }
    }
    auth.user_properties = properties.user_properties();
    if auth.authentication_method.is_none() {
        return Err(DecodeError::AuthenticationMethodMissing);
    }
    Ok(auth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::testing::{assert_same, decoded, unhex};
    use crate::packet::Packet;
    use crate::property::UserPropertiesBuf;

    #[test]
    fn disconnects() {
        let normal = Disconnect::default();
        for version in [Version::V31, Version::V311, Version::V5] {
            assert_same(version, "e0 00", &Packet::Disconnect(normal));
        }
        let taken_over = Disconnect {
            reason: ReasonCode::SESSION_TAKEN_OVER,
            ..normal
        };
        assert_same(Version::V5, "e0 01 8e", &Packet::Disconnect(taken_over));
        let user = UserPropertiesBuf::from_pairs([("k", "v")]).unwrap();
        let explained = Disconnect {
            reason: ReasonCode::USE_ANOTHER_SERVER,
            session_expiry: Some(0),
            reason_string: Some("r"),
            server_reference: Some("s"),
            user_properties: user.as_user_properties(),
        };
        let hex = "e0 16 9c 14 1100000000 1f000172 2600016b000176 1c000173";
        assert_same(Version::V5, hex, &Packet::Disconnect(explained));
    }

    #[test]
    fn normal_disconnect_in_its_longer_forms() {
        for hex in ["e0 01 00", "e0 02 00 00"] {
            let bytes = unhex(hex);
            let expected = Packet::Disconnect(Disconnect::default());
            assert_eq!(decoded(Version::V5, &bytes), Ok(expected), "{hex}");
        }
    }

    /// A 3.x server closes the connection instead.
    #[test]
    fn disconnect_with_a_reason_is_nothing_in_3x() {
        let mut bytes = Vec::new();
        let packet = Packet::Disconnect(Disconnect {
            reason: ReasonCode::SERVER_SHUTTING_DOWN,
            ..Disconnect::default()
        });
        crate::encode(&packet, Version::V311, &mut bytes).unwrap();
        assert_eq!(bytes, []);
    }

    #[test]
    fn auths() {
        let user = UserPropertiesBuf::from_pairs([("k", "v")]).unwrap();
        let bare = Auth {
            reason: ReasonCode::SUCCESS,
            authentication_method: None,
            authentication_data: None,
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        assert_same(Version::V5, "f0 00", &Packet::Auth(bare));
        let explained = Auth {
            reason: ReasonCode::CONTINUE_AUTHENTICATION,
            authentication_method: Some("M"),
            authentication_data: Some(&[9]),
            reason_string: Some("r"),
            user_properties: user.as_user_properties(),
        };
        let hex = "f0 15 18 13 1500014d 16000109 1f000172 2600016b000176";
        assert_same(Version::V5, hex, &Packet::Auth(explained));

        let mut bytes = vec![7];
        let error = crate::encode(&Packet::Auth(bare), Version::V311, &mut bytes);
        assert_eq!(error, Err(crate::EncodeError::AuthBeforeV5));
        assert_eq!(bytes, [7]);
    }

    #[test]
    fn pings() {
        for version in [Version::V31, Version::V311, Version::V5] {
            assert_same(version, "c0 00", &Packet::PingReq);
            assert_same(version, "d0 00", &Packet::PingResp);
        }
    }
}
