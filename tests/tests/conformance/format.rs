//! Chapters 1 and 2: strings, integers, the fixed header, packet identifiers.

use isthmus_tests::unique;

use crate::bytes::{self, Connect, PUBACK, PUBREL, Publish, packet, string};
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5, V311};

/// Not well-formed UTF-8: half a character, an overlong one, a surrogate, beyond U+10FFFF.
const ILL_FORMED: [&[u8]; 4] = [b"a\xC3", b"\xC0\xAF", b"\xED\xA0\x80", b"\xF4\x90\x80\x80"];

/// Packets that hold this string where a string has to be, other than CONNECT.
fn with_string(version: u8, text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let none = bytes::properties(version, &[]);
    let text = string(text);
    let id = [0, 7];
    let mut packets = vec![
        ("Topic Name", packet(0x30, [&text[..], &none].concat())),
        (
            "Topic Filter",
            packet(0x82, [&id[..], &none, &text, &[0]].concat()),
        ),
        (
            "Topic Filter to end",
            packet(0xA2, [&id[..], &none, &text].concat()),
        ),
    ];
    if version == V5 {
        let publish = |property: Vec<u8>| {
            let properties = bytes::properties(V5, &property);
            packet(0x30, [string("t"), properties].concat())
        };
        packets.extend([
            ("Content Type", publish([&[0x03][..], &text].concat())),
            ("Response Topic", publish([&[0x08][..], &text].concat())),
            (
                "User Property name",
                publish([&[0x26][..], &text, &string("v")].concat()),
            ),
            (
                "User Property value",
                publish([&[0x26][..], &string("n"), &text].concat()),
            ),
        ]);
    }
    packets
}

/// CONNECTs that hold this string.
fn connect_with_string(version: u8, text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let connect = Connect::new(version, "x").will("w", "p", 0, false);
    let payload = |id: &[u8], topic: &[u8], user: &[u8]| {
        let none = bytes::properties(version, &[]);
        let fields = [string(id), none, string(topic), string("p"), string(user)];
        let payload = [fields.concat(), string("secret")].concat();
        connect.bytes_of(connect.flags(), &payload)
    };
    vec![
        ("ClientId", payload(text, b"w", b"device")),
        ("Will Topic", payload(b"x", text, b"device")),
        ("User Name", payload(b"x", b"w", text)),
    ]
}

fn assert_refused(version: u8, text: &[u8]) {
    for (field, packet) in with_string(version, text) {
        let mut wire = Wire::client(version);
        wire.send(&packet);
        assert_eq!(
            wire.ended(),
            (version == V5).then_some(0x81),
            "{field} {text:x?}"
        );
    }
    for (field, packet) in connect_with_string(version, text) {
        let mut wire = Wire::open(version);
        wire.send(&packet);
        if version == V5 {
            assert_eq!(wire.expect(2).codes(), [0x81], "{field} {text:x?}");
        }
        assert_eq!(wire.ended(), None, "{field} {text:x?}");
    }
}

/// Conformance 3.1.1: 1.5.3-1, 3.1.3-4, 3.1.3-10, 3.1.3-11, 3.3.2-1, 3.8.3-1, 3.10.3-1, 3.2.2-6
/// Conformance 5: 1.5.4-1, 1.5.7-1, 3.1.3-4, 3.1.3-11, 3.1.3-12, 3.3.2-1, 3.3.2-13, 3.3.2-19
/// Conformance 5: 3.8.3-1, 3.10.3-1
#[test]
fn an_ill_formed_string_closes_the_connection() {
    for version in NUMBERED {
        for text in ILL_FORMED {
            assert_refused(version, text);
        }
        // What they should have been is taken.
        for (_, packet) in with_string(version, "aü".as_bytes()) {
            let mut wire = Wire::client(version);
            wire.send(&packet);
            wire.fence();
        }
    }
}

/// Conformance 3.1.1: 1.5.3-2, 4.7.3-2
/// Conformance 5: 1.5.4-2, 4.7.3-2
#[test]
fn the_null_character_closes_the_connection() {
    for version in NUMBERED {
        assert_refused(version, b"a\0b");
    }
}

/// Conformance 3.1.1: 1.5.3-3, 4.7.3-4
/// Conformance 5: 1.5.4-3, 4.7.3-4
#[test]
fn names_are_matched_and_delivered_as_they_are() {
    // A byte order mark, e-acute in one character and in two, upper case, spaces, empty levels.
    let topic = unique("t");
    let names = [
        "", "\u{FEFF}", "\u{E9}", "e\u{301}", "E", "e", " e", "e ", "/", "//", ".",
    ];
    for version in EVERY {
        for name in names {
            let (mut subscriber, mut publisher) = (Wire::client(version), Wire::client(version));
            subscriber.subscribe(&format!("{topic}{name}"), 1);
            subscriber.subscribe(&format!("end{topic}"), 1);
            for other in names {
                publisher.publish(&format!("{topic}{other}"), other, 1);
            }
            publisher.publish(&format!("end{topic}"), "end", 1);
            let message = subscriber.message();
            assert_eq!(message.topic(), format!("{topic}{name}"));
            assert_eq!(message.text(), name);
            assert_eq!(
                subscriber.message().text(),
                "end",
                "{name:?} matched another name"
            );
        }
    }
}

/// Conformance 5: 1.5.5-1
#[test]
fn an_integer_of_more_bytes_than_it_needs_closes_the_connection() {
    // PINGREQ; a property length; a subscription identifier.
    let topic = string("t");
    for packet in [
        vec![0xC0, 0x80, 0x00],
        packet(0x30, [&topic[..], &[0x80, 0x00]].concat()),
        packet(
            0x82,
            [&[0, 1, 3, 0x0B, 0x81, 0x00][..], &topic, &[0]].concat(),
        ),
    ] {
        let mut wire = Wire::client(V5);
        wire.send(&packet);
        assert_eq!(wire.ended(), Some(0x81), "{packet:x?}");
    }
    // Ours are the shortest (the reader looks at each), at the edges of each length too.
    let topic = unique("t");
    let mut wire = Wire::client(V5);
    wire.subscribe(&topic, 0);
    for size in [127_usize, 128, 16_383, 16_384, 100_000] {
        let payload = "x".repeat(size - topic.len() - 3);
        wire.send(bytes::publish(V5, &topic, &payload, 0, 0));
        let message = wire.message();
        assert_eq!(message.body.len(), size);
        assert_eq!(message.text(), payload);
    }
}

/// Conformance 3.1.1: 2.2.2-1, 2.2.2-2, 3.6.1-1, 3.8.1-1, 3.10.1-1, 3.14.1-1
/// Conformance 5: 2.1.3-1, 3.6.1-1, 3.8.1-1, 3.10.1-1, 3.14.1-1, 3.15.1-1
#[test]
fn reserved_flags_close_the_connection() {
    for version in NUMBERED {
        let topic = unique("t");
        let mut watcher = Wire::client(version);
        watcher.subscribe(&topic, 0);
        let mut packets = vec![
            bytes::ack(PUBACK, 1),
            bytes::ack(0x50, 1),
            bytes::ack(PUBREL, 1),
            bytes::ack(0x70, 1),
            bytes::subscribe(version, 1, &[(&topic, 0)]),
            bytes::unsubscribe(version, 1, &[&topic]),
            bytes::PINGREQ.to_vec(),
            bytes::DISCONNECT.to_vec(),
        ];
        if version == V5 {
            // Re-authenticate, with a method.
            packets.push(packet(0xF0, [&[0x19, 4, 0x15][..], &string("m")].concat()));
        }
        for right in packets {
            for flags in 0..16 {
                let first = right[0] & 0xF0 | flags;
                if first == right[0] {
                    continue;
                }
                let mut wire = Wire::client(version);
                wire.send([&[first][..], &right[1..]].concat());
                wire.ended_for(0x81);
            }
        }
        for flags in 1..16 {
            let mut wire = Wire::open(version);
            let mut connect = Connect::new(version, &unique("c")).bytes();
            connect[0] |= flags;
            wire.send(connect);
            while let Some(packet) = wire.next() {
                assert!(version == V5 && packet.codes() == [0x81], "{packet:?}");
            }
        }
        assert_eq!(watcher.fence(), []);
    }
}

/// Conformance 3.1.1: 2.3.1-1
/// Conformance 5: 2.2.1-3
#[test]
fn identifier_0_closes_the_connection() {
    for version in NUMBERED {
        let topic = unique("t");
        let mut watcher = Wire::client(version);
        watcher.subscribe(&topic, 2);
        for packet in [
            bytes::publish(version, &topic, "x", 1, 0),
            bytes::publish(version, &topic, "x", 2, 0),
            bytes::subscribe(version, 0, &[("t", 0)]),
            bytes::unsubscribe(version, 0, &["t"]),
        ] {
            let mut wire = Wire::client(version);
            wire.send(&packet);
            wire.ended_for(0x82);
        }
        Wire::client(version).publish(&topic, "end", 2);
        assert_eq!(watcher.message().text(), "end");
    }
}

/// Conformance 3.1.1: 2.3.1-5
/// Conformance 5: 2.2.1-2, 2.2.2-1
#[test]
fn qos_0_has_no_identifier_and_nothing_is_said_by_a_length_of_0() {
    for version in EVERY {
        let topic = unique("t");
        let mut wire = Wire::client(version);
        wire.subscribe(&topic, 2);
        // The payload looks like an identifier.
        let sent = bytes::publish(version, &topic, "\u{1}\u{2}rest", 0, 0);
        wire.send(&sent);
        wire.expect_bytes(&sent);
        wire.send(bytes::subscribe(version, 258, &[("other", 1)]));
        let none: &[u8] = if version == V5 { &[0] } else { &[] };
        wire.expect_bytes(packet(0x90, [&[1, 2][..], none, &[1]].concat()));
        wire.send(bytes::unsubscribe(version, 259, &["other"]));
        let codes: &[u8] = if version == V5 { &[0, 0] } else { &[] };
        wire.expect_bytes(packet(0xB0, [&[1, 3][..], codes].concat()));
    }
}

/// Conformance 3.1.1: 2.3.1-4, 4.3.2-1
/// Conformance 5: 2.2.1-4, 4.3.2-1, 4.3.2-2, 4.3.3-1, 4.3.3-2
#[test]
fn identifiers_of_the_server_are_unused_ones() {
    for version in NUMBERED {
        let topic = unique("t");
        let mut subscriber = Wire::client(version);
        subscriber.subscribe(&topic, 2);
        let mut publisher = Wire::client(version);
        let mut in_use = std::collections::HashSet::new();
        for round in 0..6_u8 {
            for n in 0..10_u8 {
                publisher.publish(&topic, "x", 1 + n % 2);
            }
            for n in 0..10_u8 {
                let message = subscriber.expect(3);
                assert_eq!(message.qos(), 1 + n % 2);
                assert!(!message.dup());
                assert!(in_use.insert(message.id()), "{} is in use", message.id());
                // In the even rounds half of QoS 1 is acknowledged: that identifier is free.
                if round % 2 == 0 && message.qos() == 1 {
                    subscriber.send(bytes::ack(PUBACK, message.id()));
                    in_use.remove(&message.id());
                }
            }
        }
        assert_eq!(in_use.len(), 45);
    }
}

/// Conformance 3.1.1: 2.3.1-6, 2.3.1-7, 3.8.4-2, 3.10.4-4
/// Conformance 5: 2.2.1-5, 2.2.1-6, 3.8.4-2, 3.10.4-5
#[test]
fn answers_carry_the_identifier_of_what_they_answer() {
    for version in EVERY {
        let topic = unique("t");
        let mut wire = Wire::client(version);
        for id in [1_u16, 0x0100, 0x7FFF, 0x8000, 0xFFFF] {
            wire.send(bytes::subscribe(version, id, &[("other", 0)]));
            assert_eq!(wire.expect(9).id(), id);
            wire.send(bytes::unsubscribe(version, id, &["other"]));
            assert_eq!(wire.expect(11).id(), id);
            wire.send(bytes::publish(version, &topic, "x", 1, id));
            wire.expect_bytes(bytes::ack(PUBACK, id));
            wire.send(bytes::publish(version, &topic, "x", 2, id));
            wire.expect_bytes(bytes::ack(0x50, id));
            wire.send(bytes::ack(PUBREL, id));
            wire.expect_bytes(bytes::ack(0x70, id));
        }
    }
}

/// Conformance 3.1.1: 4.7.3-1, 4.8.0-1
/// Conformance 5: 4.7.3-1
#[test]
fn an_empty_name_closes_the_connection() {
    for version in NUMBERED {
        let mut wire = Wire::client(version);
        wire.send(bytes::publish(version, "", "x", 0, 0));
        wire.ended_for(0x82);
        for (packet, code) in [
            (bytes::subscribe(version, 1, &[("", 0)]), 0x8F),
            (bytes::unsubscribe(version, 1, &[""]), 0x11),
        ] {
            let mut wire = Wire::client(version);
            wire.send(&packet);
            if version == V311 {
                assert_eq!(wire.ended(), None);
            } else {
                assert_eq!(wire.expect(packet[0] >> 4 | 1).codes(), [code]);
            }
        }
        let mut wire = Wire::open(version);
        wire.send(Connect::new(version, "x").will("", "p", 0, false).bytes());
        if version == V5 {
            assert_eq!(wire.expect(2).codes(), [0x90]);
        }
        assert_eq!(wire.ended(), None);
    }
}

/// Conformance 3.1.1: 4.7.3-3
/// Conformance 5: 4.7.3-3
#[test]
fn names_may_be_as_long_as_a_string() {
    for version in NUMBERED {
        let topic = format!("{}{}", unique("t"), "x".repeat(65_535));
        let topic = &topic[..65_535];
        let mut wire = Wire::client(version);
        wire.subscribe(topic, 1);
        wire.send(
            Publish {
                topic,
                payload: "p",
                qos: 0,
                ..Publish::default()
            }
            .bytes(version),
        );
        let message = wire.message();
        assert_eq!((message.topic(), message.text().as_str()), (topic, "p"));
        // A name that says to be longer than its packet.
        wire.send(packet(0x30, [&[0xFF, 0xFF][..], b"short"].concat()));
        wire.ended_for(0x81);
    }
}
