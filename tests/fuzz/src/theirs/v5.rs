//! Their packets of MQTT 5, seen as ours.

use isthmus_mqtt::{
    Auth, ConnAck, Connect, Disconnect, MessageProperties, Packet, ReasonCode, RetainHandling,
    SubAck, Subscribe, SubscribeFilter, SubscriptionOptions, Unsubscribe, UserProperties,
    UserPropertiesBuf, Version, Will,
};
use rmqtt_codec::v5;

use super::{ack, publish, qos};

pub(super) fn view<'a>(packet: &'a v5::Packet, users: &'a [UserPropertiesBuf; 2]) -> Packet<'a> {
    let user = users[0].as_user_properties();
    match packet {
        v5::Packet::Connect(packet) => {
            let will = users[1].as_user_properties();
            Packet::Connect(connect(packet, user, will))
        }
        v5::Packet::ConnectAck(packet) => Packet::ConnAck(connack(packet, user)),
        v5::Packet::Publish(packet) => Packet::Publish(publish(packet, user)),
        v5::Packet::PublishAck(packet) => Packet::PubAck(ack(
            packet.packet_id.get(),
            packet.reason_code.into(),
            packet.reason_string.as_deref(),
            user,
        )),
        v5::Packet::PublishReceived(packet) => Packet::PubRec(ack(
            packet.packet_id.get(),
            packet.reason_code.into(),
            packet.reason_string.as_deref(),
            user,
        )),
        v5::Packet::PublishRelease(packet) => Packet::PubRel(ack(
            packet.packet_id.get(),
            packet.reason_code.into(),
            packet.reason_string.as_deref(),
            user,
        )),
        v5::Packet::PublishComplete(packet) => Packet::PubComp(ack(
            packet.packet_id.get(),
            packet.reason_code.into(),
            packet.reason_string.as_deref(),
            user,
        )),
        v5::Packet::Subscribe(packet) => Packet::Subscribe(Subscribe {
            packet_id: packet.packet_id.get(),
            subscription_id: packet.id.map(std::num::NonZero::get),
            user_properties: user,
            filters: packet
                .topic_filters
                .iter()
                .map(|(filter, options)| SubscribeFilter {
                    filter,
                    options: SubscriptionOptions {
                        qos: qos(options.qos),
                        no_local: options.no_local,
                        retain_as_published: options.retain_as_published,
                        retain_handling: match options.retain_handling {
                            v5::RetainHandling::AtSubscribe => RetainHandling::Send,
                            v5::RetainHandling::AtSubscribeNew => RetainHandling::SendIfNew,
                            v5::RetainHandling::NoAtSubscribe => RetainHandling::DoNotSend,
                        },
                    },
                })
                .collect(),
        }),
        v5::Packet::SubscribeAck(packet) => Packet::SubAck(SubAck {
            packet_id: packet.packet_id.get(),
            reason_string: packet.reason_string.as_deref(),
            user_properties: user,
            reasons: packet
                .status
                .iter()
                .map(|code| ReasonCode(u8::from(*code)))
                .collect(),
        }),
        v5::Packet::Unsubscribe(packet) => Packet::Unsubscribe(Unsubscribe {
            packet_id: packet.packet_id.get(),
            user_properties: user,
            filters: packet
                .topic_filters
                .iter()
                .map(|filter| &**filter)
                .collect(),
        }),
        v5::Packet::UnsubscribeAck(packet) => Packet::UnsubAck(SubAck {
            packet_id: packet.packet_id.get(),
            reason_string: packet.reason_string.as_deref(),
            user_properties: user,
            reasons: packet
                .status
                .iter()
                .map(|code| ReasonCode(u8::from(*code)))
                .collect(),
        }),
        v5::Packet::PingRequest => Packet::PingReq,
        v5::Packet::PingResponse => Packet::PingResp,
        v5::Packet::Disconnect(packet) => Packet::Disconnect(Disconnect {
            reason: ReasonCode(packet.reason_code.into()),
            session_expiry: packet.session_expiry_interval_secs,
            reason_string: packet.reason_string.as_deref(),
            server_reference: packet.server_reference.as_deref(),
            user_properties: user,
        }),
        v5::Packet::Auth(packet) => Packet::Auth(Auth {
            reason: ReasonCode(packet.reason_code.into()),
            authentication_method: packet.auth_method.as_deref(),
            authentication_data: packet.auth_data.as_deref(),
            reason_string: packet.reason_string.as_deref(),
            user_properties: user,
        }),
    }
}

fn connect<'a>(
    packet: &'a v5::Connect,
    user: UserProperties<'a>,
    will_user: UserProperties<'a>,
) -> Connect<'a> {
    Connect {
        version: Version::V5,
        bridge: false,
        clean_start: packet.clean_start,
        keep_alive: packet.keep_alive,
        client_id: &packet.client_id,
        username: packet.username.as_deref(),
        password: packet.password.as_deref(),
        will: packet.last_will.as_ref().map(|will| Will {
            topic: &will.topic,
            payload: &will.message,
            qos: qos(will.qos),
            retain: will.retain,
            delay: will.will_delay_interval_sec.unwrap_or(0),
            properties: MessageProperties {
                payload_format: will.is_utf8_payload.map(u8::from),
                expiry: will.message_expiry_interval.map(std::num::NonZero::get),
                content_type: will.content_type.as_deref(),
                response_topic: will.response_topic.as_deref(),
                correlation_data: will.correlation_data.as_deref(),
                user_properties: will_user,
            },
        }),
        session_expiry: Some(packet.session_expiry_interval_secs),
        receive_maximum: packet.receive_max.map(std::num::NonZero::get),
        maximum_packet_size: packet.max_packet_size.map(std::num::NonZero::get),
        topic_alias_maximum: packet.topic_alias_max,
        request_response_information: packet.request_response_info,
        request_problem_information: packet.request_problem_info,
        user_properties: user,
        authentication_method: packet.auth_method.as_deref(),
        authentication_data: packet.auth_data.as_deref(),
    }
}

fn connack<'a>(packet: &'a v5::ConnectAck, user: UserProperties<'a>) -> ConnAck<'a> {
    ConnAck {
        session_present: packet.session_present,
        reason: ReasonCode(packet.reason_code.into()),
        session_expiry: packet.session_expiry_interval_secs,
        receive_maximum: Some(packet.receive_max.get()),
        maximum_qos: Some(qos(packet.max_qos)),
        retain_available: Some(packet.retain_available),
        maximum_packet_size: packet.max_packet_size,
        assigned_client_id: packet.assigned_client_id.as_deref(),
        topic_alias_maximum: Some(packet.topic_alias_max),
        reason_string: packet.reason_string.as_deref(),
        user_properties: user,
        wildcard_available: Some(packet.wildcard_subscription_available),
        subscription_ids_available: Some(packet.subscription_identifiers_available),
        shared_available: Some(packet.shared_subscription_available),
        server_keep_alive: packet.server_keepalive_sec,
        response_information: packet.response_info.as_deref(),
        server_reference: packet.server_reference.as_deref(),
        authentication_method: packet.auth_method.as_deref(),
        authentication_data: packet.auth_data.as_deref(),
    }
}
