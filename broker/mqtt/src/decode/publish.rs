//! PUBLISH, section 3.3.

use super::DecodeError;
use super::reader::Reader;
use crate::packet::{MessageProperties, Publish, QoS, Version};
use crate::property::read::{Properties, Property};

pub(super) fn decode<'a>(
    first: u8,
    body: &mut Reader<'a>,
    version: Version,
) -> Result<Publish<'a>, DecodeError> {
    let qos = QoS::from_bits(first >> 1 & 0x03).ok_or(DecodeError::PublishQos)?;
    let topic = topic(body)?;
    let packet_id = match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce | QoS::ExactlyOnce => body.packet_id()?,
    };
    let mut publish = Publish {
        dup: first & 0x08 != 0,
        qos,
        retain: first & 0x01 != 0,
        topic,
        packet_id,
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties: MessageProperties::default(),
        payload: &[],
    };
    if version == Version::V5 {
        properties(body, &mut publish)?;
    }
    if topic.is_empty() && publish.topic_alias.is_none() {
        return Err(DecodeError::EmptyTopic);
    }
    publish.payload = body.rest();
    Ok(publish)
}

/// A string without wildcard, in one pass over its bytes beside the one for UTF-8.
fn topic<'a>(body: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let bytes = body.binary()?;
    let topic = str::from_utf8(bytes).map_err(|_| DecodeError::InvalidUtf8)?;
    let illegal = |&byte: &u8| matches!(byte, 0 | b'+' | b'#');
    // Without an early exit the compiler makes vector code of it.
    if bytes
        .iter()
        .fold(false, |found, byte| found | illegal(byte))
    {
        return Err(if bytes.contains(&0) {
            DecodeError::NullCharacter
        } else {
            DecodeError::TopicName
        });
    }
    Ok(topic)
}

fn properties<'a>(body: &mut Reader<'a>, publish: &mut Publish<'a>) -> Result<(), DecodeError> {
    let mut properties = Properties::read(body)?;
    while let Some(property) = properties.next()? {
        match property {
            Property::TopicAlias(alias) => publish.topic_alias = Some(alias),
            Property::SubscriptionId(id) => publish.subscription_ids.push(id),
            other => publish.properties.set(other)?,
        }
    }
    publish.properties.user_properties = properties.user_properties();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::testing::{assert_same, decoded, unhex};
    use crate::packet::Packet;
    use crate::property::UserPropertiesBuf;

    fn publish(qos: QoS, packet_id: u16) -> Publish<'static> {
        Publish {
            dup: false,
            qos,
            retain: false,
            topic: "a/b",
            packet_id,
            topic_alias: None,
            subscription_ids: Vec::new(),
            properties: MessageProperties::default(),
            payload: b"hi",
        }
    }

    #[test]
    fn of_each_qos() {
        let at_most_once = Packet::Publish(publish(QoS::AtMostOnce, 0));
        assert_same(Version::V31, "30 07 0003 612f62 6869", &at_most_once);
        assert_same(Version::V311, "30 07 0003 612f62 6869", &at_most_once);
        assert_same(Version::V5, "30 08 0003 612f62 00 6869", &at_most_once);

        let at_least_once = Packet::Publish(publish(QoS::AtLeastOnce, 10));
        assert_same(Version::V311, "32 09 0003 612f62 000a 6869", &at_least_once);
        assert_same(
            Version::V5,
            "32 0a 0003 612f62 000a 00 6869",
            &at_least_once,
        );

        let exactly_once = Packet::Publish(Publish {
            dup: true,
            retain: true,
            payload: &[],
            ..publish(QoS::ExactlyOnce, 0xFFFF)
        });
        assert_same(Version::V311, "3d 07 0003 612f62 ffff", &exactly_once);
        assert_same(Version::V5, "3d 08 0003 612f62 ffff 00", &exactly_once);
    }

    #[test]
    fn with_every_property() {
        let user = UserPropertiesBuf::from_pairs([("k", "v"), ("", "w")]).unwrap();
        let expected = Publish {
            topic: "",
            topic_alias: Some(7),
            subscription_ids: vec![1, 268_435_455, 1],
            properties: MessageProperties {
                payload_format: Some(1),
                expiry: Some(300),
                content_type: Some(""),
                response_topic: Some("r"),
                correlation_data: Some(&[0]),
                user_properties: user.as_user_properties(),
            },
            ..publish(QoS::AtMostOnce, 0)
        };
        let hex = "30 30 0000 2b 020000012c 230007 0b01 0bffffff7f 0b01 \
                   0101 030000 08000172 09000100 2600016b000176 260000000177 6869";
        assert_same(Version::V5, hex, &Packet::Publish(expected));
    }

    #[test]
    fn properties_in_another_order_are_the_same_packet() {
        let bytes = unhex("30 16 0003 612f62 0e 0101 2600016b000176 0200000001 6869");
        let user = UserPropertiesBuf::from_pairs([("k", "v")]).unwrap();
        let expected = Publish {
            properties: MessageProperties {
                payload_format: Some(1),
                expiry: Some(1),
                user_properties: user.as_user_properties(),
                ..MessageProperties::default()
            },
            ..publish(QoS::AtMostOnce, 0)
        };
        assert_eq!(decoded(Version::V5, &bytes), Ok(Packet::Publish(expected)));
    }

    /// What is not ASCII is legal, a byte order mark and other control characters too
    /// ([MQTT-1.5.4-3]).
    #[test]
    fn topics_beyond_ascii() {
        for topic in ["ü/温度", "\u{FEFF}a", "\u{1}", "a/\u{10FFFF}"] {
            let expected = Packet::Publish(Publish {
                topic,
                ..publish(QoS::AtMostOnce, 0)
            });
            let mut bytes = Vec::new();
            crate::encode(&expected, Version::V311, &mut bytes).unwrap();
            assert_eq!(decoded(Version::V311, &bytes), Ok(expected));
        }
    }
}
