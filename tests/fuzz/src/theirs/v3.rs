//! Their packets of MQTT 3.1 and 3.1.1, seen as ours.

use bytes::Bytes;
use isthmus_mqtt::{
    ConnAck, Connect, Disconnect, MessageProperties, Packet, ReasonCode, SubAck, Subscribe,
    SubscribeFilter, SubscriptionOptions, Unsubscribe, UserProperties, Version, Will,
};
use rmqtt_codec::v3;

use super::{ack, publish, qos};

pub(super) fn view(packet: &v3::Packet) -> Packet<'_> {
    let none = UserProperties::default();
    let only_id = |id: &std::num::NonZeroU16| ack(id.get(), 0, None, none);
    match packet {
        v3::Packet::Connect(packet) => Packet::Connect(connect(packet)),
        v3::Packet::ConnectAck(packet) => {
            let code = u8::from(packet.return_code);
            Packet::ConnAck(ConnAck {
                session_present: packet.session_present,
                // 6 is theirs alone.
                reason: ReasonCode::from_v3_connack(code).unwrap_or(ReasonCode(0xFF)),
                ..ConnAck::default()
            })
        }
        v3::Packet::Publish(packet) => Packet::Publish(publish(packet, none)),
        v3::Packet::PublishAck { packet_id } => Packet::PubAck(only_id(packet_id)),
        v3::Packet::PublishReceived { packet_id } => Packet::PubRec(only_id(packet_id)),
        v3::Packet::PublishRelease { packet_id } => Packet::PubRel(only_id(packet_id)),
        v3::Packet::PublishComplete { packet_id } => Packet::PubComp(only_id(packet_id)),
        v3::Packet::Subscribe {
            packet_id,
            topic_filters,
        } => Packet::Subscribe(Subscribe {
            packet_id: packet_id.get(),
            subscription_id: None,
            user_properties: none,
            filters: topic_filters
                .iter()
                .map(|(filter, level)| SubscribeFilter {
                    filter,
                    options: SubscriptionOptions {
                        qos: qos(*level),
                        ..SubscriptionOptions::default()
                    },
                })
                .collect(),
        }),
        v3::Packet::SubscribeAck { packet_id, status } => Packet::SubAck(SubAck {
            packet_id: packet_id.get(),
            reason_string: None,
            user_properties: none,
            reasons: status
                .iter()
                .map(|status| match status {
                    v3::SubscribeReturnCode::Success(level) => ReasonCode(level.value()),
                    v3::SubscribeReturnCode::Failure => ReasonCode(0x80),
                })
                .collect(),
        }),
        v3::Packet::Unsubscribe {
            packet_id,
            topic_filters,
        } => Packet::Unsubscribe(Unsubscribe {
            packet_id: packet_id.get(),
            user_properties: none,
            filters: topic_filters.iter().map(|filter| &**filter).collect(),
        }),
        v3::Packet::UnsubscribeAck { packet_id } => Packet::UnsubAck(SubAck {
            packet_id: packet_id.get(),
            reason_string: None,
            user_properties: none,
            reasons: Vec::new(),
        }),
        v3::Packet::PingRequest => Packet::PingReq,
        v3::Packet::PingResponse => Packet::PingResp,
        v3::Packet::Disconnect => Packet::Disconnect(Disconnect::default()),
    }
}

fn connect(packet: &v3::Connect) -> Connect<'_> {
    Connect {
        version: match packet.protocol.level() {
            3 => Version::V31,
            _ => Version::V311,
        },
        bridge: false,
        clean_start: packet.clean_session,
        keep_alive: packet.keep_alive,
        client_id: &packet.client_id,
        username: packet.username.as_deref(),
        password: packet.password.as_ref().map(Bytes::as_ref),
        will: packet.last_will.as_ref().map(|will| Will {
            topic: &will.topic,
            payload: &will.message,
            qos: qos(will.qos),
            retain: will.retain,
            delay: 0,
            properties: MessageProperties::default(),
        }),
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
