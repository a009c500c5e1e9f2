//! The independent codec (rmqtt-codec), and its packets seen as ours, field by field.
//!
//! It gives the default where a property is absent; [`comparable`] does the same to ours.

#[path = "theirs/v3.rs"]
mod view3;
#[path = "theirs/v5.rs"]
mod view5;

use bytes::BytesMut;
use isthmus_mqtt::{
    Ack, MessageProperties, Packet, Publish, QoS, ReasonCode, UserProperties, UserPropertiesBuf,
    Version,
};
use rmqtt_codec::{types, v3, v5};
use tokio_util::codec::Decoder as _;

/// A packet as they decoded it.
#[derive(Debug)]
pub struct Theirs {
    packet: Either,
    /// Of the packet, and of its will.
    users: [UserPropertiesBuf; 2],
    /// A User Property that ours cannot hold.
    null: bool,
    /// Bytes of the whole packet.
    pub len: usize,
}

#[derive(Debug)]
enum Either {
    V3(v3::Packet),
    V5(v5::Packet),
}

/// The packet at the head of `bytes`; `None` while it is incomplete.
///
/// # Errors
/// Their word for what is wrong.
pub fn decode(bytes: &[u8], version: Version, max: usize) -> Result<Option<Theirs>, String> {
    let connect = bytes.first().is_some_and(|first| first >> 4 == 1);
    // A CONNECT says itself which of the two codecs it is for.
    match version {
        Version::V5 if !connect => decode5(bytes, max),
        _ if !connect => decode3(bytes, max),
        _ => decode5(bytes, max).or_else(|_| decode3(bytes, max)),
    }
}

fn decode3(bytes: &[u8], max: usize) -> Result<Option<Theirs>, String> {
    let mut buffer = BytesMut::from(bytes);
    let mut codec = v3::Codec::new(u32::try_from(max).unwrap());
    let found = codec
        .decode(&mut buffer)
        .map_err(|fault| fault.to_string())?;
    Ok(found.map(|(packet, _)| Theirs {
        packet: Either::V3(packet),
        users: Default::default(),
        null: false,
        len: bytes.len() - buffer.len(),
    }))
}

fn decode5(bytes: &[u8], max: usize) -> Result<Option<Theirs>, String> {
    let mut buffer = BytesMut::from(bytes);
    let mut codec = v5::Codec::new(u32::try_from(max).unwrap(), 0);
    let found = codec
        .decode(&mut buffer)
        .map_err(|fault| fault.to_string())?;
    let Some((packet, _)) = found else {
        return Ok(None);
    };
    let (mut users, mut null) = (<[UserPropertiesBuf; 2]>::default(), false);
    let (own, will): (&[v5::UserProperty], &[v5::UserProperty]) = match &packet {
        v5::Packet::Connect(packet) => (
            &packet.user_properties,
            packet
                .last_will
                .as_ref()
                .map_or(&[], |will| &will.user_properties),
        ),
        v5::Packet::ConnectAck(packet) => (&packet.user_properties, &[]),
        v5::Packet::Publish(packet) => (
            packet
                .properties
                .as_ref()
                .map_or(&[], |properties| &properties.user_properties),
            &[],
        ),
        v5::Packet::PublishAck(ack) | v5::Packet::PublishReceived(ack) => (&ack.properties, &[]),
        v5::Packet::PublishRelease(ack) | v5::Packet::PublishComplete(ack) => {
            (&ack.properties, &[])
        }
        v5::Packet::Subscribe(packet) => (&packet.user_properties, &[]),
        v5::Packet::SubscribeAck(packet) => (&packet.properties, &[]),
        v5::Packet::Unsubscribe(packet) => (&packet.user_properties, &[]),
        v5::Packet::UnsubscribeAck(packet) => (&packet.properties, &[]),
        v5::Packet::Disconnect(packet) => (&packet.user_properties, &[]),
        v5::Packet::Auth(packet) => (&packet.user_properties, &[]),
        v5::Packet::PingRequest | v5::Packet::PingResponse => (&[], &[]),
    };
    for (buffer, pairs) in users.iter_mut().zip([own, will]) {
        for (name, value) in pairs {
            null |= buffer.push(name, value).is_err();
        }
    }
    Ok(Some(Theirs {
        packet: Either::V5(packet),
        users,
        null,
        len: bytes.len() - buffer.len(),
    }))
}

impl Theirs {
    /// Whether a string of it holds U+0000.
    #[must_use]
    pub fn has_null(&self) -> bool {
        // Strings are shown escaped, binary data as numbers.
        self.null || format!("{:?}", self.view()).contains("\\0")
    }

    /// The same packet in our terms.
    #[must_use]
    pub fn view(&self) -> Packet<'_> {
        match &self.packet {
            Either::V3(packet) => view3::view(packet),
            Either::V5(packet) => view5::view(packet, &self.users),
        }
    }
}

fn qos(qos: types::QoS) -> QoS {
    QoS::from_bits(qos.value()).unwrap()
}

fn ack<'a>(
    packet_id: u16,
    code: u8,
    reason_string: Option<&'a str>,
    user_properties: UserProperties<'a>,
) -> Ack<'a> {
    Ack {
        packet_id,
        reason: ReasonCode(code),
        reason_string,
        user_properties,
    }
}

fn publish<'a>(packet: &'a types::Publish, user: UserProperties<'a>) -> Publish<'a> {
    let properties = packet.properties.as_ref();
    Publish {
        dup: packet.dup,
        qos: qos(packet.qos),
        retain: packet.retain,
        topic: &packet.topic,
        packet_id: packet.packet_id.map_or(0, std::num::NonZero::get),
        topic_alias: properties.and_then(|found| found.topic_alias.map(std::num::NonZero::get)),
        subscription_ids: properties
            .map(|found| found.subscription_ids.iter().map(|id| id.get()).collect())
            .unwrap_or_default(),
        properties: properties.map_or_else(MessageProperties::default, |found| MessageProperties {
            payload_format: found.is_utf8_payload.then_some(1),
            expiry: found.message_expiry_interval.map(std::num::NonZero::get),
            content_type: found.content_type.as_deref(),
            response_topic: found.response_topic.as_deref(),
            correlation_data: found.correlation_data.as_deref(),
            user_properties: user,
        }),
        payload: &packet.payload,
    }
}

/// Our packet with what MQTT 5 says of absent properties filled in, as they do it: Session Expiry
/// Interval 0 (3.1.2.11.2), Payload Format Indicator 0 (3.3.2.3.2), and of CONNACK Receive Maximum
/// 65,535 (3.2.2.3.3), Maximum QoS 2 (3.2.2.3.4), Topic Alias Maximum 0 (3.2.2.3.8) and all that is
/// available (3.2.2.3.5, 3.2.2.3.11 to 3.2.2.3.13).
#[must_use]
pub fn comparable<'a>(packet: &Packet<'a>, version: Version) -> Packet<'a> {
    let mut packet = packet.clone();
    match &mut packet {
        Packet::Connect(connect) if connect.version == Version::V5 => {
            connect.session_expiry.get_or_insert(0);
        }
        Packet::Publish(publish) => {
            let format = &mut publish.properties.payload_format;
            *format = format.filter(|format| *format != 0);
        }
        Packet::ConnAck(connack) if version == Version::V5 => {
            connack.receive_maximum.get_or_insert(65_535);
            connack.maximum_qos.get_or_insert(QoS::ExactlyOnce);
            connack.topic_alias_maximum.get_or_insert(0);
            connack.retain_available.get_or_insert(true);
            connack.wildcard_available.get_or_insert(true);
            connack.subscription_ids_available.get_or_insert(true);
            connack.shared_available.get_or_insert(true);
        }
        _ => {}
    }
    packet
}
