//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK, sections 3.8 to 3.11.

use super::DecodeError;
use super::ack::{explanation, reason};
use super::reader::Reader;
use crate::packet::{
    PacketType, QoS, RetainHandling, SubAck, Subscribe, SubscribeFilter, SubscriptionOptions,
    Unsubscribe, Version,
};
use crate::property::UserProperties;
use crate::property::read::{Properties, Property, id};
use crate::reason::ReasonCode;

pub(super) fn subscribe<'a>(
    body: &mut Reader<'a>,
    version: Version,
) -> Result<Subscribe<'a>, DecodeError> {
    let mut subscribe = Subscribe {
        packet_id: body.packet_id()?,
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: Vec::new(),
    };
    if version == Version::V5 {
        let mut properties = Properties::read(body)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::SubscriptionId(value) => {
                    if subscribe.subscription_id.replace(value).is_some() {
                        return Err(DecodeError::DuplicateProperty(id::SUBSCRIPTION_ID));
                    }
                }
                Property::User(..) => {}
                other => return Err(other.not_allowed()),
            }
        }
        subscribe.user_properties = properties.user_properties();
    }
    while !body.is_empty() {
        subscribe.filters.push(SubscribeFilter {
            filter: body.string()?,
            options: options(body.u8()?, version)?,
        });
    }
    if subscribe.filters.is_empty() {
        return Err(DecodeError::NoTopicFilters);
    }
    Ok(subscribe)
}

fn options(byte: u8, version: Version) -> Result<SubscriptionOptions, DecodeError> {
    let reserved = match version {
        Version::V31 => 0x00, // "not used"
        Version::V311 => 0xFC,
        Version::V5 => 0xC0,
    };
    if byte & reserved != 0 {
        return Err(DecodeError::SubscriptionOptionsReserved);
    }
    let qos = QoS::from_bits(byte & 0x03).ok_or(DecodeError::SubscriptionQos)?;
    if version != Version::V5 {
        return Ok(SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        });
    }
    Ok(SubscriptionOptions {
        qos,
        no_local: byte & 0x04 != 0,
        retain_as_published: byte & 0x08 != 0,
        retain_handling: match byte >> 4 & 0x03 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::RetainHandling),
        },
    })
}

pub(super) fn suback<'a>(
    body: &mut Reader<'a>,
    version: Version,
) -> Result<SubAck<'a>, DecodeError> {
    let mut suback = acknowledged(body, version)?;
    while !body.is_empty() {
        let reason = reason(body, PacketType::SubAck)?;
        let known = version == Version::V5 || matches!(reason.0, 0..=2 | 0x80);
        if !known {
            return Err(DecodeError::ReasonCode(reason));
        }
        suback.reasons.push(reason);
    }
    some_reason(suback)
}

pub(super) fn unsubscribe<'a>(
    body: &mut Reader<'a>,
    version: Version,
) -> Result<Unsubscribe<'a>, DecodeError> {
    let packet_id = body.packet_id()?;
    let mut user_properties = UserProperties::default();
    if version == Version::V5 {
        let mut properties = Properties::read(body)?;
        while let Some(property) = properties.next()? {
            match property {
                Property::User(..) => {}
                other => return Err(other.not_allowed()),
            }
        }
        user_properties = properties.user_properties();
    }
    let mut filters = Vec::new();
    while !body.is_empty() {
        filters.push(body.string()?);
    }
    if filters.is_empty() {
        return Err(DecodeError::NoTopicFilters);
    }
    Ok(Unsubscribe {
        packet_id,
        user_properties,
        filters,
    })
}

pub(super) fn unsuback<'a>(
    body: &mut Reader<'a>,
    version: Version,
) -> Result<SubAck<'a>, DecodeError> {
    let mut unsuback = acknowledged(body, version)?;
    if version != Version::V5 {
        return Ok(unsuback);
    }
    while !body.is_empty() {
        unsuback.reasons.push(reason(body, PacketType::UnsubAck)?);
    }
    some_reason(unsuback)
}

/// What stands before the codes of a SUBACK or UNSUBACK.
fn acknowledged<'a>(body: &mut Reader<'a>, version: Version) -> Result<SubAck<'a>, DecodeError> {
    let packet_id = body.packet_id()?;
    let (reason_string, user_properties) = match version {
        Version::V31 | Version::V311 => (None, UserProperties::default()),
        Version::V5 => explanation(body)?,
    };
    Ok(SubAck {
        packet_id,
        reason_string,
        user_properties,
        reasons: Vec::<ReasonCode>::new(),
    })
}

fn some_reason(ack: SubAck<'_>) -> Result<SubAck<'_>, DecodeError> {
    if ack.reasons.is_empty() {
        Err(DecodeError::NoReasonCodes)
    } else {
        Ok(ack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::testing::{assert_same, decoded, unhex};
    use crate::packet::Packet;
    use crate::property::UserPropertiesBuf;

    fn filter(filter: &str, qos: QoS) -> SubscribeFilter<'_> {
        SubscribeFilter {
            filter,
            options: SubscriptionOptions {
                qos,
                ..SubscriptionOptions::default()
            },
        }
    }

    fn subscribe_to(filters: Vec<SubscribeFilter<'_>>) -> Subscribe<'_> {
        Subscribe {
            packet_id: 10,
            subscription_id: None,
            user_properties: UserProperties::default(),
            filters,
        }
    }

    fn granted(reasons: &[u8]) -> SubAck<'static> {
        SubAck {
            packet_id: 10,
            reason_string: None,
            user_properties: UserProperties::default(),
            reasons: reasons.iter().copied().map(ReasonCode).collect(),
        }
    }

    #[test]
    fn subscribes() {
        let filters = vec![
            filter("a/b", QoS::AtLeastOnce),
            filter("#", QoS::ExactlyOnce),
        ];
        let packet = Packet::Subscribe(subscribe_to(filters));
        let hex = "82 0c 000a 0003 612f62 01 0001 23 02";
        assert_same(Version::V31, hex, &packet);
        assert_same(Version::V311, hex, &packet);
        assert_same(
            Version::V5,
            "82 0d 000a 00 0003 612f62 01 0001 23 02",
            &packet,
        );
    }

    #[test]
    fn subscribe_with_options_and_properties() {
        let user = UserPropertiesBuf::from_pairs([("k", "v")]).unwrap();
        let options = SubscriptionOptions {
            qos: QoS::AtMostOnce,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::DoNotSend,
        };
        let expected = Subscribe {
            subscription_id: Some(128),
            user_properties: user.as_user_properties(),
            ..subscribe_to(vec![SubscribeFilter {
                filter: "+",
                options,
            }])
        };
        let hex = "82 11 000a 0a 0b8001 2600016b000176 0001 2b 2c";
        assert_same(Version::V5, hex, &Packet::Subscribe(expected));
    }

    /// The caller can refuse an illegal filter by itself.
    #[test]
    fn legality_of_filters_is_left_to_the_caller() {
        let expected = subscribe_to(vec![
            filter("", QoS::AtMostOnce),
            filter("a#", QoS::AtMostOnce),
        ]);
        let hex = "82 0a 000a 0000 00 0002 6123 00";
        assert_same(Version::V311, hex, &Packet::Subscribe(expected));
    }

    /// MQTT 3.1 has DUP in the header and does not use six bits of the QoS byte.
    #[test]
    fn what_3_1_disregards() {
        let bytes = unhex("8a 06 000a 0001 61 fd");
        let expected = subscribe_to(vec![filter("a", QoS::AtLeastOnce)]);
        assert_eq!(
            decoded(Version::V31, &bytes),
            Ok(Packet::Subscribe(expected))
        );
    }

    #[test]
    fn subacks() {
        let packet = Packet::SubAck(granted(&[0, 1, 2, 0x80]));
        assert_same(Version::V31, "90 06 000a 00 01 02 80", &packet);
        assert_same(Version::V311, "90 06 000a 00 01 02 80", &packet);
        let packet = Packet::SubAck(granted(&[2, 0x87, 0x8F]));
        assert_same(Version::V5, "90 06 000a 00 02 87 8f", &packet);
    }

    #[test]
    fn failures_in_3x_subacks_are_one() {
        let mut bytes = Vec::new();
        let packet = Packet::SubAck(granted(&[1, 0x87, 0xA2]));
        crate::encode(&packet, Version::V311, &mut bytes).unwrap();
        assert_eq!(bytes, unhex("90 05 000a 01 80 80"));
    }

    #[test]
    fn unsubscribes() {
        let user = UserPropertiesBuf::from_pairs([("k", "v")]).unwrap();
        let mut packet = Unsubscribe {
            packet_id: 1,
            user_properties: UserProperties::default(),
            filters: vec!["a", "+/b"],
        };
        let hex = "a2 0a 0001 0001 61 0003 2b2f62";
        assert_same(Version::V31, hex, &Packet::Unsubscribe(packet.clone()));
        assert_same(Version::V311, hex, &Packet::Unsubscribe(packet.clone()));
        packet.user_properties = user.as_user_properties();
        let hex = "a2 12 0001 07 2600016b000176 0001 61 0003 2b2f62";
        assert_same(Version::V5, hex, &Packet::Unsubscribe(packet));
    }

    #[test]
    fn unsubacks() {
        let without = Packet::UnsubAck(granted(&[]));
        assert_same(Version::V31, "b0 02 000a", &without);
        assert_same(Version::V311, "b0 02 000a", &without);
        let explained = SubAck {
            reason_string: Some("r"),
            ..granted(&[0x00, 0x11])
        };
        let hex = "b0 09 000a 04 1f000172 00 11";
        assert_same(Version::V5, hex, &Packet::UnsubAck(explained));
    }
}
