//! Writes the seeds of the fuzz corpus, one file a packet, into `broker/mqtt/fuzz/corpus`.
//! Run it again after a change of the codec: `cargo run -p isthmus-mqtt --example seed_corpus`.

use std::error::Error;
use std::path::Path;

use isthmus_mqtt::*;

type Outcome = Result<(), Box<dyn Error>>;

const VERSIONS: [(&str, Version); 3] = [
    ("v31", Version::V31),
    ("v311", Version::V311),
    ("v5", Version::V5),
];

fn main() -> Outcome {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    write_packets(&corpus.join("decode"))?;
    write_topics(&corpus.join("topic"))
}

fn write_packets(folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)?;
    let pairs = UserPropertiesBuf::from_pairs([("k", "v"), ("k", "ü")])?;
    let user = pairs.as_user_properties();
    for (label, version) in VERSIONS {
        for (name, packet) in packets(version, user) {
            let path = folder.join(format!("{label}-{name}"));
            let mut bytes = Vec::new();
            encode(&packet, version, &mut bytes)?;
            std::fs::write(path, bytes)?;
        }
    }
    // Two packets in a row, and what no encoder of ours writes.
    for (name, bytes) in [
        ("two-packets", &b"\xC0\x00\x30\x05\x00\x01a\x00x"[..]),
        ("v31-pubrel-dup", b"\x6A\x02\x00\x01"),
        ("v31-subscribe-dup", b"\x8A\x06\x00\x01\x00\x01a\x01"),
        (
            "v31-no-username",
            b"\x10\x0E\x00\x06MQIsdp\x03\xC2\x00\x3C\x00\x00",
        ),
        ("v311-long-length", b"\xC0\x80\x80\x00"),
        (
            "v5-mixed-properties",
            b"\x30\x10\x00\x01a\x0C\x26\x00\x00\x00\x00\x01\x01\x26\x00\x00\x00\x00",
        ),
        ("v5-long-puback", b"\x40\x04\x00\x01\x00\x00"),
    ] {
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

fn write_topics(folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)?;
    let pairs = [
        ("#", "a"),
        ("#", "$SYS/a"),
        ("+", "a"),
        ("+/+", "/a"),
        ("/+", "/a"),
        ("a/#", "a"),
        ("a/#", "a/b/c"),
        ("a/+/c", "a/b/c"),
        ("a/+", "a/"),
        ("a/b", "a/b"),
        ("+/b/#", "$a/b"),
        ("$SYS/#", "$SYS/broker/uptime"),
        ("$share/g/a/#", "a/b"),
        ("$share/g/+", "$share/g/a"),
        ("$share//a", "$share"),
        ("$share/g", "a"),
        ("$share/+/a", "a"),
        ("a#", "a#"),
        ("a/#/b", "a+"),
        ("ü/€", "ü/€"),
        ("//", "//"),
        ("", ""),
    ];
    for (number, (filter, name)) in pairs.into_iter().enumerate() {
        let bytes = [filter.as_bytes(), &[0xFF], name.as_bytes()].concat();
        std::fs::write(folder.join(format!("{number:02}")), bytes)?;
    }
    Ok(())
}

type Named<'a> = (&'static str, Packet<'a>);

fn packets<'a>(version: Version, user: UserProperties<'a>) -> Vec<Named<'a>> {
    let mut packets = vec![
        ("pingreq", Packet::PingReq),
        ("pingresp", Packet::PingResp),
        ("disconnect", Packet::Disconnect(Disconnect::default())),
    ];
    packets.extend(connecting(version, user));
    packets.extend(publishing(user));
    packets.extend(subscribing(version, user));
    if version == Version::V5 {
        packets.extend(only_v5(user));
    }
    packets
}

fn connecting<'a>(version: Version, user: UserProperties<'a>) -> Vec<Named<'a>> {
    let v5 = version == Version::V5;
    let bare = Connect {
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
    };
    let full = Connect {
        bridge: !v5,
        clean_start: false,
        username: Some("user"),
        password: Some(b"secret"),
        will: Some(Will {
            topic: "will/d1",
            payload: b"gone",
            qos: QoS::AtLeastOnce,
            retain: true,
            delay: 5,
            properties: message(user),
        }),
        session_expiry: Some(3600),
        receive_maximum: Some(20),
        maximum_packet_size: Some(4096),
        topic_alias_maximum: 10,
        request_response_information: true,
        request_problem_information: false,
        user_properties: user,
        authentication_method: v5.then_some("SCRAM"),
        authentication_data: v5.then_some(b"nonce"),
        ..bare.clone()
    };
    let refused = ConnAck {
        reason: ReasonCode::NOT_AUTHORIZED,
        ..ConnAck::default()
    };
    let accepted = ConnAck {
        session_present: true,
        session_expiry: Some(60),
        receive_maximum: Some(64),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(true),
        maximum_packet_size: Some(1 << 20),
        assigned_client_id: Some("assigned"),
        topic_alias_maximum: Some(16),
        reason_string: Some("why"),
        user_properties: user,
        wildcard_available: Some(true),
        subscription_ids_available: Some(true),
        shared_available: Some(false),
        server_keep_alive: Some(30),
        response_information: Some("info"),
        server_reference: Some("other:1883"),
        authentication_method: Some("SCRAM"),
        authentication_data: Some(b"proof"),
        ..ConnAck::default()
    };
    vec![
        ("connect", Packet::Connect(bare)),
        ("connect-full", Packet::Connect(full)),
        ("connack-refused", Packet::ConnAck(refused)),
        ("connack-accepted", Packet::ConnAck(accepted)),
    ]
}

fn message(user: UserProperties<'_>) -> MessageProperties<'_> {
    MessageProperties {
        payload_format: Some(1),
        expiry: Some(60),
        content_type: Some("text/plain"),
        response_topic: Some("reply/d1"),
        correlation_data: Some(&[0, 1, 2]),
        user_properties: user,
    }
}

fn publishing<'a>(user: UserProperties<'a>) -> Vec<Named<'a>> {
    let publish = |qos, packet_id| Publish {
        dup: false,
        qos,
        retain: false,
        topic: "plant/3/temp",
        packet_id,
        topic_alias: None,
        subscription_ids: Vec::new(),
        properties: MessageProperties::default(),
        payload: b"21.5",
    };
    let full = Publish {
        dup: true,
        retain: true,
        topic_alias: Some(3),
        subscription_ids: vec![1, 128, 70_000],
        properties: message(user),
        ..publish(QoS::ExactlyOnce, 65_535)
    };
    let ack = Ack {
        packet_id: 7,
        reason: ReasonCode::SUCCESS,
        reason_string: None,
        user_properties: UserProperties::default(),
    };
    vec![
        ("publish-qos0", Packet::Publish(publish(QoS::AtMostOnce, 0))),
        (
            "publish-qos1",
            Packet::Publish(publish(QoS::AtLeastOnce, 1)),
        ),
        ("publish-full", Packet::Publish(full)),
        ("puback", Packet::PubAck(ack)),
        ("pubrec", Packet::PubRec(ack)),
        ("pubrel", Packet::PubRel(ack)),
        ("pubcomp", Packet::PubComp(ack)),
    ]
}

fn subscribing<'a>(version: Version, user: UserProperties<'a>) -> Vec<Named<'a>> {
    let filter = |filter, qos| SubscribeFilter {
        filter,
        options: SubscriptionOptions {
            qos,
            no_local: true,
            retain_as_published: true,
            retain_handling: RetainHandling::SendIfNew,
        },
    };
    let subscribe = Subscribe {
        packet_id: 2,
        subscription_id: Some(300),
        user_properties: user,
        filters: vec![
            filter("plant/+/temp", QoS::AtLeastOnce),
            filter("$share/g/#", QoS::ExactlyOnce),
        ],
    };
    let suback = |reasons: &[ReasonCode]| SubAck {
        packet_id: 2,
        reason_string: Some("partly"),
        user_properties: user,
        reasons: reasons.to_vec(),
    };
    let unsubscribed = match version {
        Version::V31 | Version::V311 => suback(&[]),
        Version::V5 => suback(&[ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED]),
    };
    let unsubscribe = Unsubscribe {
        packet_id: 3,
        user_properties: user,
        filters: vec!["plant/+/temp", "a"],
    };
    let granted = [ReasonCode::GRANTED_QOS_1, ReasonCode::NOT_AUTHORIZED];
    vec![
        ("subscribe", Packet::Subscribe(subscribe)),
        ("suback", Packet::SubAck(suback(&granted))),
        ("unsubscribe", Packet::Unsubscribe(unsubscribe)),
        ("unsuback", Packet::UnsubAck(unsubscribed)),
    ]
}

fn only_v5<'a>(user: UserProperties<'a>) -> Vec<Named<'a>> {
    let disconnect = Disconnect {
        reason: ReasonCode::USE_ANOTHER_SERVER,
        session_expiry: Some(0),
        reason_string: Some("moved"),
        server_reference: Some("other"),
        user_properties: user,
    };
    let auth = Auth {
        reason: ReasonCode::CONTINUE_AUTHENTICATION,
        authentication_method: Some("SCRAM"),
        authentication_data: Some(b"nonce"),
        reason_string: Some("go on"),
        user_properties: user,
    };
    let ack = Ack {
        packet_id: 9,
        reason: ReasonCode::QUOTA_EXCEEDED,
        reason_string: Some("later"),
        user_properties: user,
    };
    let taken_over = Disconnect {
        reason: ReasonCode::SESSION_TAKEN_OVER,
        ..Disconnect::default()
    };
    vec![
        ("disconnect-full", Packet::Disconnect(disconnect)),
        ("disconnect-reason", Packet::Disconnect(taken_over)),
        ("auth", Packet::Auth(auth)),
        ("puback-full", Packet::PubAck(ack)),
        ("pubrec-full", Packet::PubRec(ack)),
    ]
}
