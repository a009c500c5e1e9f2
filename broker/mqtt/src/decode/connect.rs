//! CONNECT, section 3.1.

use super::DecodeError;
use super::reader::Reader;
use crate::packet::{Connect, MessageProperties, QoS, Version, Will};
use crate::property::read::{Properties, Property};
use crate::topic::validate_name;

/// The bit that mosquitto sets in the protocol level of a bridge, in 3.1 and 3.1.1.
const BRIDGE: u8 = 0x80;

pub(super) fn decode<'a>(body: &mut Reader<'a>) -> Result<Connect<'a>, DecodeError> {
    let (version, bridge) = protocol(body)?;
    let flags = Flags::read(body, version)?;
    let mut connect = Connect {
        version,
        bridge,
        clean_start: flags.clean_start,
        keep_alive: body.u16()?,
        client_id: "",
        username: None,
        password: None,
        will: None,
        session_expiry: None,
        receive_maximum: None,
        maximum_packet_size: None,
        topic_alias_maximum: 0,
        request_response_information: false,
        request_problem_information: true,
        user_properties: Default::default(),
        authentication_method: None,
        authentication_data: None,
    };
    if version == Version::V5 {
        properties(body, &mut connect)?;
    }
    connect.client_id = body.string()?;
    if let Some((qos, retain)) = flags.will {
        connect.will = Some(will(body, version, qos, retain)?);
    }
    // MQTT 3.1 section 3.1: the Remaining Length takes precedence over these two flags.
    let present = |body: &Reader<'_>| version != Version::V31 || !body.is_empty();
    if flags.username && present(body) {
        connect.username = Some(body.string()?);
    }
    if flags.password && present(body) {
        connect.password = Some(body.binary()?);
    }
    Ok(connect)
}

fn protocol(body: &mut Reader<'_>) -> Result<(Version, bool), DecodeError> {
    let name = body.binary()?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(DecodeError::ProtocolName);
    }
    let level = body.u8()?;
    let version = match (name, level & !BRIDGE) {
        (b"MQIsdp", 3) => Version::V31,
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) if level == 5 => Version::V5,
        _ => return Err(DecodeError::UnsupportedProtocolVersion(level)),
    };
    Ok((version, level & BRIDGE != 0))
}

struct Flags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    username: bool,
    password: bool,
}

impl Flags {
    fn read(body: &mut Reader<'_>, version: Version) -> Result<Self, DecodeError> {
        let flags = body.u8()?;
        let will = flags & 0x04 != 0;
        let username = flags & 0x80 != 0;
        let password = flags & 0x40 != 0;
        // MQTT 3.1 does not use the reserved bit and disregards Will QoS and Retain without Will.
        if version != Version::V31 {
            if flags & 0x01 != 0 {
                return Err(DecodeError::ConnectFlagsReserved);
            }
            if !will && flags & 0x38 != 0 {
                return Err(DecodeError::WillFlags);
            }
        }
        if password && !username && version != Version::V5 {
            return Err(DecodeError::PasswordWithoutUserName);
        }
        let will = match QoS::from_bits(flags >> 3 & 0x03) {
            _ if !will => None,
            Some(qos) => Some((qos, flags & 0x20 != 0)),
            None => return Err(DecodeError::WillQos),
        };
        Ok(Self {
            clean_start: flags & 0x02 != 0,
            will,
            username,
            password,
        })
    }
}

fn properties<'a>(body: &mut Reader<'a>, connect: &mut Connect<'a>) -> Result<(), DecodeError> {
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::SessionExpiry(value) => connect.session_expiry = Some(value),
            Property::ReceiveMaximum(value) => connect.receive_maximum = Some(value),
            Property::MaximumPacketSize(value) => connect.maximum_packet_size = Some(value),
            Property::TopicAliasMaximum(value) => connect.topic_alias_maximum = value,
            Property::RequestResponseInformation(value) => {
                connect.request_response_information = value;
            }
            Property::RequestProblemInformation(value) => {
                connect.request_problem_information = value;
            }
            Property::AuthenticationMethod(value) => connect.authentication_method = Some(value),
            Property::AuthenticationData(value) => connect.authentication_data = Some(value),
            Property::User(..) => {}
            other => return Err(other.not_allowed()),
        }
    }
    connect.user_properties = properties.user_properties();
    if connect.authentication_data.is_some() && connect.authentication_method.is_none() {
        return Err(DecodeError::AuthenticationDataWithoutMethod);
    }
    Ok(())
}

fn will<'a>(
    body: &mut Reader<'a>,
    version: Version,
    qos: QoS,
    retain: bool,
) -> Result<Will<'a>, DecodeError> {
    let mut delay = 0;
    let mut message = MessageProperties::default();
    if version == Version::V5 {
        let mut properties = Properties::read(body)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::WillDelay(value) => delay = value,
                other => message.set(other)?,
            }
        }
        message.user_properties = properties.user_properties();
    }
    let topic = body.string()?;
    validate_name(topic).map_err(|_| DecodeError::WillTopic)?;
    Ok(Will {
        topic,
        payload: body.binary()?,
        qos,
        retain,
        delay,
        properties: message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::testing::{assert_same, decoded, unhex};
    use crate::packet::Packet;
    use crate::property::{UserProperties, UserPropertiesBuf};

    fn connect(version: Version) -> Connect<'static> {
        Connect {
            version,
            bridge: false,
            clean_start: true,
            keep_alive: 60,
            client_id: "d1",
            username: None,
            password: None,
            will: None,
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::default(),
            authentication_method: None,
            authentication_data: None,
        }
    }

    #[test]
    fn smallest_of_each_version() {
        for (version, hex) in [
            (Version::V31, "10 10 0006 4d5149736470 03 02 003c 0002 6431"),
            (Version::V311, "10 0e 0004 4d515454 04 02 003c 0002 6431"),
            (Version::V5, "10 0f 0004 4d515454 05 02 003c 00 0002 6431"),
        ] {
            // The version of the connection is not asked.
            assert_same(Version::V31, hex, &Packet::Connect(connect(version)));
        }
    }

    #[test]
    fn with_will_and_credentials() {
        let expected = Connect {
            clean_start: false,
            client_id: "",
            username: Some("u"),
            password: Some(&[0xFF, 0x00]),
            will: Some(Will {
                topic: "w/t",
                payload: b"gone",
                qos: QoS::AtLeastOnce,
                retain: true,
                delay: 0,
                properties: MessageProperties::default(),
            }),
            ..connect(Version::V311)
        };
        let hex = "10 1e 0004 4d515454 04 ec 003c 0000 0003 772f74 0004 676f6e65 0001 75 0002 ff00";
        assert_same(Version::V311, hex, &Packet::Connect(expected));
    }

    #[test]
    fn with_every_property() {
        let user = UserPropertiesBuf::from_pairs([("k", "v"), ("k", "w")]).unwrap();
        let will_user = UserPropertiesBuf::from_pairs([("a", "")]).unwrap();
        let expected = Connect {
            password: Some(b"p"),
            session_expiry: Some(u32::MAX),
            receive_maximum: Some(20),
            maximum_packet_size: Some(1024),
            topic_alias_maximum: 10,
            request_response_information: true,
            request_problem_information: false,
            user_properties: user.as_user_properties(),
            authentication_method: Some("M"),
            authentication_data: Some(&[1, 2]),
            will: Some(Will {
                topic: "w",
                payload: &[],
                qos: QoS::ExactlyOnce,
                retain: false,
                delay: 5,
                properties: MessageProperties {
                    payload_format: Some(0),
                    expiry: Some(9),
                    content_type: Some("c"),
                    response_topic: Some("r"),
                    correlation_data: Some(b"d"),
                    user_properties: will_user.as_user_properties(),
                },
            }),
            ..connect(Version::V5)
        };
        let hex = "10 61 0004 4d515454 05 56 003c \
                   2b 11ffffffff 210014 2700000400 22000a 1901 1700 \
                   2600016b000176 2600016b000177 1500014d 1600020102 0002 6431 \
                   1e 1800000005 0200000009 0100 03000163 08000172 09000164 260001610000 \
                   0001 77 0000 0001 70";
        assert_same(Version::V5, hex, &Packet::Connect(expected));
    }

    /// Mosquitto sets the high bit of the level for its bridges, in 3.1 and 3.1.1.
    #[test]
    fn bridge_bit() {
        let expected = Connect {
            bridge: true,
            ..connect(Version::V311)
        };
        let hex = "10 0e 0004 4d515454 84 02 003c 0002 6431";
        assert_same(Version::V311, hex, &Packet::Connect(expected));
    }

    /// MQTT 3.1 section 3.1: strings that the flags announce may be missing, and flag bits that
    /// have no meaning without a Will are disregarded.
    #[test]
    fn what_3_1_disregards() {
        let bytes = unhex("10 10 0006 4d5149736470 03 fb 003c 0002 6431");
        let found = decoded(Version::V31, &bytes);
        assert_eq!(found, Ok(Packet::Connect(connect(Version::V31))));
    }
}
