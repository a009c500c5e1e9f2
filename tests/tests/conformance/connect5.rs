//! What a CONNECT of MQTT 5 asks for: sizes, reason strings, authentication (3.1.2.11, 4.12).

use isthmus_tests::{Service, Spec, User, kafka, service, unique};

use crate::bytes::{self, Connect, packet, string, user_property};
use crate::packet::Packet;
use crate::wire::Wire;
use crate::{NUMBERED, V5};

/// Conformance 3.1.1: 3.1.3-9, 3.2.2-5
/// Conformance 5: 3.1.3-8, 3.2.2-7, 3.2.2-19, 3.2.2-20
#[test]
fn a_client_identifier_above_the_limit_is_refused() {
    let spec = Spec::new("ids").with("limits: {maxClientIdLength: 10}");
    let service = Service::start(kafka::shared(), spec);
    for version in NUMBERED {
        let mut wire = Wire::to(&service.address(), version);
        wire.send(Connect::new(version, "12345678901").bytes());
        let connack = wire.expect(2);
        let code = if version == V5 { 0x85 } else { 2 };
        assert_eq!(connack.body[..2], [0, code]);
        assert_eq!(wire.ended(), None);
        Wire::to(&service.address(), version).let_in(&Connect::new(version, "1234567890"));
    }
    // The reason is left out where it would make CONNACK too large.
    let mut sizes = Vec::new();
    for maximum in [5_u8, 20, 255] {
        let small = Connect::new(V5, "12345678901").with(&[0x27, 0, 0, 0, maximum]);
        let mut wire = Wire::to(&service.address(), V5);
        wire.send(small.bytes());
        let connack = wire.expect(2);
        assert_eq!(connack.codes(), [0x85]);
        assert!(connack.size <= usize::from(maximum), "{connack:?}");
        assert_eq!(wire.ended(), None);
        sizes.push(connack.size);
    }
    assert!(
        sizes[0] == 5 && sizes[2] > 20,
        "{sizes:?}: is a reason ever told?"
    );
}

/// Conformance 5: 3.1.2-24, 3.1.2-25
#[test]
fn what_is_too_large_for_a_client_is_discarded_as_if_sent() {
    for qos in 0..3 {
        let (id, topic) = (unique("c"), unique("t"));
        // One message at a time may be unacknowledged.
        let maximum = 64;
        let small = Connect::kept(V5, &id).with(&[0x27, 0, 0, 0, maximum, 0x21, 0, 1]);
        let mut subscriber = Wire::connect(&small);
        subscriber.subscribe(&topic, qos);
        let mut publisher = Wire::client(V5);
        let overhead = 2 + 2 + topic.len() + usize::from(qos > 0) * 2 + 1;
        let fits = usize::from(maximum) - overhead;
        let mut expected = Vec::new();
        for length in [1, fits, fits + 1, 2000, fits - 1, 2000, 2] {
            let payload = "x".repeat(length);
            publisher.publish(&topic, &payload, qos);
            if length <= fits {
                expected.push(length);
            }
        }
        publisher.publish(&topic, "end", qos);
        let texts = subscriber.texts_until("end");
        assert_eq!(texts.iter().map(String::len).collect::<Vec<_>>(), expected);
        subscriber.fence();
        subscriber.disconnect();
        // Nor does it come to the session later, when it would fit.
        let mut subscriber = Wire::connect(&Connect::kept(V5, &id));
        assert!(subscriber.session_present());
        publisher.publish(&topic, "more", qos);
        assert_eq!(subscriber.message().text(), "more");
    }
}

/// Conformance 5: 3.1.2-24, 3.2.0-1
#[test]
fn a_client_that_cannot_take_connack_is_sent_nothing() {
    for maximum in 1..24 {
        for kept in [false, true] {
            let connect = Connect::either(V5, kept).with(&[0x27, 0, 0, 0, maximum]);
            let mut wire = Wire::open(V5);
            wire.send([&connect.bytes()[..], &bytes::PINGREQ].concat());
            match wire.next() {
                Some(connack) => {
                    assert_eq!(connack.codes(), [0]);
                    assert!(
                        connack.size <= usize::from(maximum),
                        "{maximum}: {connack:?}"
                    );
                }
                None => assert!(maximum < 23, "CONNACK is not so large"),
            }
        }
    }
}

/// A service where `limited` may do little, and a client of that account that asks for this.
fn limited(properties: &[u8]) -> Wire {
    static SERVICE: std::sync::OnceLock<Service> = std::sync::OnceLock::new();
    let service = SERVICE.get_or_init(|| {
        let rules = [("mine/#", "pubsub")];
        let spec = Spec::new("limited").user(User::new("limited", "pass", &rules));
        Service::start(kafka::shared(), spec)
    });
    let connect = Connect {
        user: Some("limited"),
        password: Some("pass"),
        ..Connect::new(V5, &unique("c")).with(properties)
    };
    Wire::to(&service.address(), V5).let_in(&connect)
}

/// Everything that a server refuses or has a reason to explain; the packets that came.
fn refusals(wire: &mut Wire) -> Vec<Packet> {
    wire.send(bytes::publish(V5, "other", "x", 1, 1));
    wire.send(bytes::publish(V5, "other", "x", 2, 2));
    wire.send(bytes::ack(bytes::PUBREL, 99));
    wire.send(bytes::ack(bytes::PUBREC, 99));
    wire.send(bytes::subscribe(V5, 3, &[("other", 1)]));
    wire.send(bytes::unsubscribe(V5, 4, &["other"]));
    let mut packets = wire.fence();
    // A fault, last.
    wire.send(bytes::publish(V5, "a/+", "x", 0, 0));
    packets.extend(std::iter::from_fn(|| wire.next()));
    packets
}

/// Conformance 5: 3.1.2-29, 3.4.2-1, 3.4.2-2, 3.4.2-3, 3.5.2-1, 3.5.2-2, 3.5.2-3, 3.6.2-1, 3.6.2-2
/// Conformance 5: 3.6.2-3, 3.7.2-1, 3.7.2-2, 3.7.2-3, 3.9.2-1, 3.9.2-2, 3.9.3-2, 3.11.2-1, 3.11.2-2
/// Conformance 5: 3.11.3-2, 3.14.2-1, 3.14.2-2, 3.14.2-3, 3.14.2-4, 3.14.4-1, 3.14.4-2
#[test]
fn refusals_have_their_codes_and_keep_to_the_size_that_the_client_takes() {
    let sequence = [
        (4, vec![0x87]),
        (5, vec![0x87]),
        (7, vec![0x92]),
        (6, vec![0x92]),
        (9, vec![0x87]),
        (11, vec![0x11]),
        (14, vec![0x90]),
    ];
    // As small as a CONNACK may be; no problem information; neither.
    for properties in [&[0x27, 0, 0, 0, 24][..], &[0x17, 0], &[]] {
        let mut wire = limited(properties);
        assert!(wire.welcome.as_ref().unwrap().size <= 24 || properties.len() != 5);
        let packets = refusals(&mut wire);
        let found: Vec<_> = packets.iter().map(|p| (p.kind(), p.codes())).collect();
        assert_eq!(found, sequence);
        for packet in packets {
            let silent = packet.kind() != 14 && properties == [0x17, 0];
            let words = [packet.property(0x1F), packet.property(0x26)].concat();
            assert!(!silent || words.is_empty(), "{packet:?}");
            assert!(
                packet.size <= 24 || properties != [0x27, 0, 0, 0, 24],
                "{packet:?}"
            );
            assert!(packet.property(0x11).is_empty(), "{packet:?}");
        }
    }
}

/// Conformance 5: 3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1, 3.14.2-1, 3.15.2-1, 4.13.1-1
#[test]
fn a_reason_code_of_another_packet_closes_the_connection() {
    for packet in [
        bytes::ack_with(bytes::PUBACK, 1, 0x92),
        bytes::ack_with(bytes::PUBREC, 1, 0x01),
        bytes::ack_with(bytes::PUBREL, 1, 0x80),
        bytes::ack_with(bytes::PUBCOMP, 1, 0x10),
        vec![0xE0, 1, 0x01],
        packet(0xF0, [&[0x80, 4, 0x15][..], &string("m")].concat()),
    ] {
        let mut wire = Wire::client(V5);
        wire.send(&packet);
        assert_eq!(wire.ended(), Some(0x82), "{packet:x?}");
    }
}

/// Conformance 5: 3.1.2-26, 3.1.2-27, 3.3.2-11
#[test]
fn no_topic_alias_is_sent_beyond_what_the_client_takes() {
    // Absent, 0, and 1, with more topics than that.
    for (properties, most) in [(&[][..], 0), (&[0x22, 0, 0], 0), (&[0x22, 0, 1], 1)] {
        let topic = unique("t");
        let mut subscriber = Wire::connect(&Connect::new(V5, &unique("c")).with(properties));
        subscriber.subscribe(&format!("{topic}/#"), 1);
        let mut publisher = Wire::client(V5);
        for n in 0..40 {
            publisher.publish(&format!("{topic}/{}", n % 4), "x", 1);
            let message = subscriber.message();
            assert!(message.topic().starts_with(&topic));
            for alias in message.property(0x23) {
                let alias = u16::from_be_bytes([alias[0], alias[1]]);
                assert!((1..=most).contains(&alias), "alias {alias}");
            }
        }
    }
}

/// Conformance 5: 3.1.2-28
#[test]
fn response_information_is_not_returned_unasked() {
    for properties in [&[][..], &[0x19, 0]] {
        let wire = Wire::connect(&Connect::new(V5, &unique("c")).with(properties));
        assert!(wire.welcome.unwrap().property(0x1A).is_empty());
    }
}

/// Conformance 5: 4.12.0-1, 4.12.0-2, 4.12.0-4, 4.12.0-5, 3.15.2-2, 3.15.2-3, 3.2.2-7
#[test]
fn an_authentication_method_is_refused() {
    let service = service::shared();
    let method = [&[0x15][..], &string("SCRAM-SHA-256")].concat();
    let data = [&[0x16][..], &string("data")].concat();
    for properties in [method.clone(), [method, data].concat()] {
        let mut wire = Wire::to(&service.address(), V5);
        wire.send(Connect::new(V5, &unique("c")).with(&properties).bytes());
        // No AUTH comes, and no CONNACK of success: this is the first packet and the last.
        let connack = wire.expect(2);
        assert_eq!(connack.codes(), [0x8C]);
        assert_eq!(wire.ended(), None);
    }
}

/// Conformance 5: 4.12.0-6, 4.12.0-7, 4.12.1-2, 3.14.4-1, 3.14.4-2, 4.13.2-1
#[test]
fn auth_without_a_method_agreed_on_ends_the_connection() {
    for code in [0x00, 0x18, 0x19] {
        let mut wire = Wire::client(V5);
        let auth = packet(0xF0, [&[code, 4, 0x15][..], &string("m")].concat());
        wire.send([&auth[..], &bytes::PINGREQ].concat());
        assert_eq!(wire.ended(), Some(0x82), "{code:#x}");
    }
}

/// Conformance 5: 3.1.3-10, 3.1.2-9
#[test]
fn a_will_keeps_its_properties_and_their_order() {
    let topic = unique("t");
    let mut watcher = Wire::client(V5);
    watcher.subscribe(&topic, 1);
    let users = [("b", "1"), ("a", "2"), ("b", "0"), ("", ""), ("a", "2")];
    let mut properties = vec![0x01, 1];
    for (name, value) in users {
        properties.extend(user_property(name, value));
    }
    properties.extend([&[0x03][..], &string("text/plain")].concat());
    properties.extend([&[0x08][..], &string("answers")].concat());
    properties.extend([&[0x09][..], &string([0, 0xFF])].concat());
    let mut connect = Connect::new(V5, &unique("c")).will(&topic, "gone", 1, false);
    connect.will.as_mut().unwrap().properties = properties;
    Wire::connect(&connect).vanish();
    let will = watcher.message();
    assert_eq!(will.text(), "gone");
    let pairs = users.map(|(name, value)| [string(name), string(value)].concat());
    assert_eq!(will.property(0x26), pairs);
    assert_eq!(will.property(0x01), [[1]]);
    assert_eq!(will.property(0x03), [string("text/plain")]);
    assert_eq!(will.property(0x08), [string("answers")]);
    assert_eq!(will.property(0x09), [string([0, 0xFF])]);
}

/// Conformance 5: 3.2.2-10, 3.2.2-12, 3.2.2-13
#[test]
fn every_qos_and_a_retained_will_are_supported() {
    let topic = unique("t");
    for qos in 0..3 {
        let connect = Connect::new(V5, &unique("c")).will(&topic, "will", qos, true);
        let mut wire = Wire::connect(&connect);
        for asked in [qos, 2 - qos, 2] {
            wire.subscribe(&format!("{topic}/x"), asked);
        }
        let publish = bytes::publish(V5, &format!("{topic}/x"), "x", qos, 77);
        wire.send(publish);
        let mut came: Vec<_> = wire.fence().iter().map(|p| (p.kind(), p.qos())).collect();
        came.sort_unstable();
        let answer = [(3, qos), (3 + qos, 0)];
        assert_eq!(came, if qos == 0 { &answer[..1] } else { &answer });
        wire.disconnect();
    }
}
