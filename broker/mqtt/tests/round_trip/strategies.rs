//! Any packet of a version. Strings are leaked, so that the packets borrow from nobody.

use isthmus_mqtt::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn version() -> impl Strategy<Value = Version> {
    select(&[Version::V31, Version::V311, Version::V5][..])
}

/// A Topic Name that starts no shared subscription.
pub(crate) fn topic() -> impl Strategy<Value = &'static str> {
    "(\\$SYS/|/|[abü€ ]{1,2})[ab/]{0,8}".prop_map(|topic| &*topic.leak())
}

/// A string that often is a Topic Filter.
pub(crate) fn filter() -> impl Strategy<Value = &'static str> {
    "(\\$share/g/|\\$SYS/|)(\\+/|a/|b/|/){0,4}(#|\\+|a|a#|)".prop_map(|filter| &*filter.leak())
}

fn text() -> impl Strategy<Value = &'static str> {
    let string = prop_oneof![
        20 => "[^\\x00]{0,10}",
        1 => "[a-z]{1}".prop_map(|letter| letter.repeat(65_535)),
    ];
    string.prop_map(|text| &*text.leak())
}

fn data() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..20).prop_map(|bytes| &*bytes.leak())
}

fn payload() -> impl Strategy<Value = &'static [u8]> {
    // The sizes around which the Remaining Length takes another byte.
    let sizes = prop_oneof![0..20usize, 100..140usize, 16_300..16_400usize];
    sizes.prop_map(|size| &*vec![7; size].leak())
}

fn user() -> impl Strategy<Value = UserProperties<'static>> {
    vec((text(), text()), 0..3).prop_map(|pairs| {
        let buf = UserPropertiesBuf::from_pairs(pairs).expect("text is legal");
        Box::leak(Box::new(buf)).as_user_properties()
    })
}

fn qos() -> impl Strategy<Value = QoS> {
    select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..])
}

fn packet_id() -> impl Strategy<Value = u16> {
    1..=u16::MAX
}

fn subscription_id() -> impl Strategy<Value = u32> {
    1..=268_435_455u32
}

/// Authentication Method, and Authentication Data only with it.
fn authentication() -> impl Strategy<Value = (Option<&'static str>, Option<&'static [u8]>)> {
    of((text(), of(data()))).prop_map(|both| (both.map(|b| b.0), both.and_then(|b| b.1)))
}

fn code(packet: PacketType) -> impl Strategy<Value = ReasonCode> {
    let legal = (0..=u8::MAX)
        .map(ReasonCode)
        .filter(|code| code.is_legal_in(packet));
    select(legal.collect::<Vec<_>>())
}

pub(crate) fn packet(version: Version) -> BoxedStrategy<Packet<'static>> {
    let common = prop_oneof![
        connect(version).prop_map(Packet::Connect),
        connack(version).prop_map(Packet::ConnAck),
        publish(version).prop_map(Packet::Publish),
        ack(version, PacketType::PubAck).prop_map(Packet::PubAck),
        ack(version, PacketType::PubRec).prop_map(Packet::PubRec),
        ack(version, PacketType::PubRel).prop_map(Packet::PubRel),
        ack(version, PacketType::PubComp).prop_map(Packet::PubComp),
        subscribe(version).prop_map(Packet::Subscribe),
        suback(version, PacketType::SubAck).prop_map(Packet::SubAck),
        unsubscribe(version).prop_map(Packet::Unsubscribe),
        suback(version, PacketType::UnsubAck).prop_map(Packet::UnsubAck),
        Just(Packet::PingReq),
        Just(Packet::PingResp),
        disconnect(version).prop_map(Packet::Disconnect),
    ];
    if version == Version::V5 {
        prop_oneof![14 => common, 1 => auth().prop_map(Packet::Auth)].boxed()
    } else {
        common.boxed()
    }
}

fn message_properties() -> impl Strategy<Value = MessageProperties<'static>> {
    let fields = (
        of(0..=1u8),
        of(any::<u32>()),
        of(text()),
        of(topic()),
        of(data()),
        user(),
    );
    fields.prop_map(
        |(format, expiry, content_type, response_topic, correlation, user)| MessageProperties {
            payload_format: format,
            expiry,
            content_type,
            response_topic,
            correlation_data: correlation,
            user_properties: user,
        },
    )
}

fn connect(version: Version) -> impl Strategy<Value = Connect<'static>> {
    let v5 = version == Version::V5;
    let will = (
        topic(),
        data(),
        qos(),
        any::<bool>(),
        any::<u32>(),
        message_properties(),
    );
    let will = will.prop_map(
        move |(topic, payload, qos, retain, delay, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            delay: if v5 { delay } else { 0 },
            properties: if v5 {
                properties
            } else {
                MessageProperties::default()
            },
        },
    );
    let shared = (
        any::<[bool; 2]>(),
        any::<u16>(),
        text(),
        of(text()),
        of(data()),
        of(will),
    );
    let shared = shared.prop_map(
        move |([bridge, clean_start], keep_alive, id, user, pass, will)| Connect {
            version,
            bridge: bridge && !v5,
            clean_start,
            keep_alive,
            client_id: id,
            username: user,
            password: pass.filter(|_| v5 || user.is_some()),
            will,
            session_expiry: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::default(),
            authentication_method: None,
            authentication_data: None,
        },
    );
    let sizes = (
        of(any::<u32>()),
        of(1..=u16::MAX),
        of(1..=u32::MAX),
        any::<u16>(),
    );
    let rest = (sizes, any::<[bool; 2]>(), user(), authentication());
    (shared, rest).prop_map(move |(shared, (sizes, flags, user, authentication))| {
        if !v5 {
            return shared;
        }
        Connect {
            session_expiry: sizes.0,
            receive_maximum: sizes.1,
            maximum_packet_size: sizes.2,
            topic_alias_maximum: sizes.3,
            request_response_information: flags[0],
            request_problem_information: flags[1],
            user_properties: user,
            authentication_method: authentication.0,
            authentication_data: authentication.1,
            ..shared
        }
    })
}

fn connack(version: Version) -> BoxedStrategy<ConnAck<'static>> {
    if version != Version::V5 {
        let answers = (any::<bool>(), 0..=5u8).prop_map(move |(present, code)| ConnAck {
            session_present: present && code == 0 && version == Version::V311,
            reason: ReasonCode::from_v3_connack(code).expect("a return code"),
            ..ConnAck::default()
        });
        return answers.boxed();
    }
    let maximum_qos = of(select(&[QoS::AtMostOnce, QoS::AtLeastOnce][..]));
    let sizes = (
        of(any::<u32>()),
        of(1..=u16::MAX),
        of(1..=u32::MAX),
        of(any::<u16>()),
    );
    let flags = any::<[Option<bool>; 4]>();
    let strings = (of(text()), of(text()), of(text()), of(text()), user());
    let answer = (
        any::<bool>(),
        code(PacketType::ConnAck),
        of(any::<u16>()),
        maximum_qos,
    );
    (answer, sizes, flags, strings, authentication())
        .prop_map(|(answer, sizes, flags, strings, authentication)| ConnAck {
            session_present: answer.0 && answer.1 == ReasonCode::SUCCESS,
            reason: answer.1,
            server_keep_alive: answer.2,
            maximum_qos: answer.3,
            session_expiry: sizes.0,
            receive_maximum: sizes.1,
            maximum_packet_size: sizes.2,
            topic_alias_maximum: sizes.3,
            retain_available: flags[0],
            wildcard_available: flags[1],
            subscription_ids_available: flags[2],
            shared_available: flags[3],
            assigned_client_id: strings.0,
            reason_string: strings.1,
            response_information: strings.2,
            server_reference: strings.3,
            user_properties: strings.4,
            authentication_method: authentication.0,
            authentication_data: authentication.1,
        })
        .boxed()
}

fn publish(version: Version) -> impl Strategy<Value = Publish<'static>> {
    let v5 = version == Version::V5;
    let header = (qos(), any::<[bool; 3]>(), packet_id(), topic(), payload());
    let ids = vec(subscription_id(), 0..3);
    let rest = (of(1..=u16::MAX), ids, message_properties());
    (header, rest).prop_map(move |(header, (alias, ids, properties))| {
        let (qos, [dup, retain, no_topic], packet_id, topic, payload) = header;
        let acknowledged = qos != QoS::AtMostOnce;
        Publish {
            dup: dup && acknowledged,
            qos,
            retain,
            topic: if v5 && no_topic && alias.is_some() {
                ""
            } else {
                topic
            },
            packet_id: if acknowledged { packet_id } else { 0 },
            topic_alias: alias.filter(|_| v5),
            subscription_ids: if v5 { ids } else { Vec::new() },
            properties: if v5 {
                properties
            } else {
                MessageProperties::default()
            },
            payload,
        }
    })
}

fn ack(version: Version, kind: PacketType) -> impl Strategy<Value = Ack<'static>> {
    let v5 = version == Version::V5;
    let fields = (packet_id(), code(kind), of(text()), user());
    fields.prop_map(move |(packet_id, reason, reason_string, user)| Ack {
        packet_id,
        reason: if v5 { reason } else { ReasonCode::SUCCESS },
        reason_string: reason_string.filter(|_| v5),
        user_properties: if v5 { user } else { UserProperties::default() },
    })
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe<'static>> {
    let v5 = version == Version::V5;
    let handling = select(
        &[
            RetainHandling::Send,
            RetainHandling::SendIfNew,
            RetainHandling::DoNotSend,
        ][..],
    );
    let one = (filter(), qos(), any::<[bool; 2]>(), handling);
    let one = one.prop_map(move |(filter, qos, [no_local, as_published], handling)| {
        let mut options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        if v5 {
            options.no_local = no_local;
            options.retain_as_published = as_published;
            options.retain_handling = handling;
        }
        SubscribeFilter { filter, options }
    });
    let fields = (packet_id(), of(subscription_id()), user(), vec(one, 1..4));
    fields.prop_map(move |(packet_id, id, user, filters)| Subscribe {
        packet_id,
        subscription_id: id.filter(|_| v5),
        user_properties: if v5 { user } else { UserProperties::default() },
        filters,
    })
}

fn suback(version: Version, kind: PacketType) -> BoxedStrategy<SubAck<'static>> {
    let reasons = match (version, kind) {
        (Version::V5, _) => vec(code(kind), 1..5).boxed(),
        (_, PacketType::SubAck) => {
            let codes = [0, 1, 2, 0x80].map(ReasonCode);
            vec(select(codes.to_vec()), 1..5).boxed()
        }
        _ => Just(Vec::new()).boxed(),
    };
    let v5 = version == Version::V5;
    let fields = (packet_id(), of(text()), user(), reasons);
    fields
        .prop_map(move |(packet_id, reason_string, user, reasons)| SubAck {
            packet_id,
            reason_string: reason_string.filter(|_| v5),
            user_properties: if v5 { user } else { UserProperties::default() },
            reasons,
        })
        .boxed()
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe<'static>> {
    let v5 = version == Version::V5;
    let fields = (packet_id(), user(), vec(filter(), 1..4));
    fields.prop_map(move |(packet_id, user, filters)| Unsubscribe {
        packet_id,
        user_properties: if v5 { user } else { UserProperties::default() },
        filters,
    })
}

fn disconnect(version: Version) -> impl Strategy<Value = Disconnect<'static>> {
    let reason = code(PacketType::Disconnect);
    let fields = (reason, of(any::<u32>()), of(text()), of(text()), user());
    fields.prop_map(
        move |(reason, session_expiry, reason_string, server_reference, user)| {
            if version != Version::V5 {
                return Disconnect::default();
            }
            Disconnect {
                reason,
                session_expiry,
                reason_string,
                server_reference,
                user_properties: user,
            }
        },
    )
}

fn auth() -> impl Strategy<Value = Auth<'static>> {
    let fields = (
        code(PacketType::Auth),
        text(),
        of(data()),
        of(text()),
        user(),
    );
    fields.prop_map(|(reason, method, data, reason_string, user)| Auth {
        reason,
        authentication_method: Some(method),
        authentication_data: data,
        reason_string,
        user_properties: user,
    })
}
