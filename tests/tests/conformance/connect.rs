//! CONNECT and CONNACK (3.1, 3.2): what is refused, and how.

use isthmus_tests::unique;

use crate::bytes::{self, Connect, connect, packet, properties, string};
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5, V31, V311};

/// Sends this as the first packet, and a PUBLISH behind it that nobody may get; the codes of the
/// CONNACK, if one came before the end.
#[track_caller]
fn refused(version: u8, first: &[u8]) -> Option<u8> {
    let topic = unique("behind");
    let mut watcher = Wire::client(version);
    watcher.subscribe(&topic, 0);
    let mut wire = Wire::open(version);
    let behind = bytes::publish(version, &topic, "never", 0, 0);
    wire.send([first, &behind].concat());
    let code = wire.next().map(|connack| {
        assert_eq!((connack.kind(), connack.body[0]), (2, 0), "{connack:?}");
        connack.body[1]
    });
    assert_eq!(wire.next(), None);
    Wire::client(version).publish(&topic, "end", 0);
    assert_eq!(watcher.message().text(), "end");
    code
}

/// Conformance 3.1.1: 3.1.0-1, 3.2.0-1, 4.8.0-1
/// Conformance 5: 3.1.0-1, 3.2.0-1, 3.14.0-1
#[test]
fn the_first_packet_is_connect_or_nothing_is_answered() {
    for version in NUMBERED {
        let mut packets = vec![
            vec![0x20, 2, 0, 0],
            bytes::publish(version, "t", "x", 0, 0),
            bytes::publish(version, "t", "x", 1, 1),
            bytes::ack(bytes::PUBACK, 1),
            bytes::ack(bytes::PUBREL, 1),
            bytes::subscribe(version, 1, &[("t", 0)]),
            bytes::unsubscribe(version, 1, &["t"]),
            bytes::PINGREQ.to_vec(),
            bytes::DISCONNECT.to_vec(),
            packet(0xF0, [&[0x18, 4, 0x15][..], &string("m")].concat()),
        ];
        packets.push(vec![0x00, 0x00]);
        for packet in packets {
            assert_eq!(refused(version, &packet), None, "{packet:x?}");
        }
    }
}

/// Conformance 3.1.1: 3.1.0-2, 4.8.0-1
/// Conformance 5: 3.1.0-2, 3.2.0-2
#[test]
fn a_second_connect_ends_the_connection() {
    for version in NUMBERED {
        let again = Connect::new(version, &unique("c")).bytes();
        let mut wire = Wire::client(version);
        wire.send([&again[..], &bytes::PINGREQ].concat());
        wire.ended_for(0x82);
    }
}

/// Conformance 3.1.1: 3.1.2-1, 3.1.2-2
/// Conformance 5: 3.1.2-1, 3.1.2-2
/// Conformance 3.1: protocol-name
#[test]
fn other_protocols_and_versions_are_refused() {
    let first = |name, level| {
        connect(name, level, 2, |body| {
            body.extend([0, 60]);
            body.extend(properties(level, &[]));
            body.extend(string("x"));
        })
    };
    for name in ["", "mqtt", "MQTT ", "MQTTX", "HTTP", "MQIsdq"] {
        for level in [3, 4, 5] {
            assert_eq!(refused(V311, &first(name, level)), None, "{name} {level}");
        }
    }
    // 3.x in the form of 3.x, above 5 in that of 5.
    for (name, level) in [
        ("MQTT", 0),
        ("MQTT", 3),
        ("MQIsdp", 4),
        ("MQIsdp", 2),
        ("MQTT", 0x85),
    ] {
        let answered = refused(V311, &first(name, level));
        assert_eq!(answered, Some(1), "{name} {level}");
    }
    for level in [6, 0x7F] {
        assert_eq!(refused(V5, &first("MQTT", level)), Some(0x84), "{level}");
    }
}

/// A CONNECT that is not as section 3.1 says, and the CONNACK of MQTT 5.
fn malformed(version: u8) -> Vec<(&'static str, Vec<u8>, u8)> {
    let plain = Connect::new(version, "x");
    let account = [string("device"), string("secret")].concat();
    let none = properties(version, &[]);
    let (id, will) = (string("x"), [none, string("w"), string("p")].concat());
    let of = |flags: u8, fields: &[&[u8]]| plain.bytes_of(flags, &fields.concat());
    let mut cases = vec![
        ("reserved flag", of(0xC3, &[&id, &account]), 0x81),
        ("Will QoS without will", of(0xCA, &[&id, &account]), 0x81),
        ("Will Retain without will", of(0xE2, &[&id, &account]), 0x81),
        (
            "will fields without flag",
            of(0xC2, &[&id, &will, &account]),
            0x81,
        ),
        ("Will QoS 3", of(0xDE, &[&id, &will, &account]), 0x81),
        ("no will fields", of(0x06, &[&id]), 0x81),
        (
            "no will payload",
            of(0x06, &[&id, &will[..will.len() - 3]]),
            0x81,
        ),
        ("no user name", of(0x82, &[&id]), 0x81),
        ("no password", of(0xC2, &[&id, &string("device")]), 0x81),
        (
            "a user name without flag",
            of(0x02, &[&id, &string("device")]),
            0x81,
        ),
        ("a password without flag", of(0x82, &[&id, &account]), 0x81),
        ("no ClientId", of(0x02, &[]), 0x81),
        ("bytes behind", of(0xC2, &[&id, &account, &[0]]), 0x81),
        ("no Keep Alive", connect("MQTT", version, 2, |_| {}), 0x81),
        (
            "a wildcard in the Will Topic",
            with_will_topic(version, "a/+"),
            0x90,
        ),
    ];
    if version == V311 {
        let fields: [&[u8]; 2] = [&id, &string("secret")];
        cases.push(("password without user name", of(0x42, &fields), 0));
    } else {
        let twice = [0x21, 0, 1, 0x21, 0, 1];
        cases.extend([
            ("a property twice", plain.clone().with(&twice).bytes(), 0x82),
            (
                "another packet's property",
                plain.clone().with(&[0x23, 0, 1]).bytes(),
                0x81,
            ),
            (
                "Receive Maximum 0",
                plain.clone().with(&[0x21, 0, 0]).bytes(),
                0x82,
            ),
        ]);
    }
    cases
}

fn with_will_topic(version: u8, topic: &str) -> Vec<u8> {
    Connect::new(version, "x")
        .will(topic, "p", 0, false)
        .bytes()
}

/// Conformance 3.1.1: 3.1.2-3, 3.1.2-9, 3.1.2-11, 3.1.2-13, 3.1.2-14, 3.1.2-15, 3.1.2-18, 3.1.2-19
/// Conformance 3.1.1: 3.1.2-20, 3.1.2-21, 3.1.2-22, 3.1.3-3, 3.1.4-1, 3.1.4-5, 3.2.2-6
/// Conformance 5: 3.1.2-3, 3.1.2-9, 3.1.2-11, 3.1.2-12, 3.1.2-13, 3.1.2-16, 3.1.2-17, 3.1.2-18
/// Conformance 5: 3.1.2-19, 3.1.3-3, 3.1.4-1, 3.1.4-6, 3.2.2-6, 3.2.2-7, 4.13.2-1
#[test]
fn a_malformed_connect_is_refused() {
    for version in NUMBERED {
        for (what, packet, code) in malformed(version) {
            let expected = (version == V5).then_some(code);
            assert_eq!(
                refused(version, &packet),
                expected,
                "{what} in version {version}"
            );
        }
        // The same without its fault is let in.
        Wire::connect(&Connect::new(version, &unique("c")).will("w", "p", 2, true)).disconnect();
    }
}

/// Conformance 3.1.1: 3.2.2-6
/// Conformance 5: 3.2.2-7, 3.2.2-8
#[test]
fn a_connect_that_is_too_large_has_no_return_code() {
    for version in NUMBERED {
        let mut wire = Wire::open(version);
        // 256 MB are to come, of an MQTT 5 CONNECT or another.
        let head = Connect::new(version, "x").bytes();
        wire.send([&[0x10, 0xFF, 0xFF, 0xFF, 0x7F][..], &head[2..12]].concat());
        if let Some(connack) = wire.next() {
            assert_eq!((version, connack.codes()), (V5, vec![0x95]));
            assert_eq!(wire.next(), None);
        }
    }
}

/// Conformance 3.1.1: 3.1.4-5, 3.2.2-4, 3.2.2-5
/// Conformance 5: 3.1.4-2, 3.1.4-6, 3.2.2-6, 3.2.2-7, 3.2.2-8, 4.13.2-1
#[test]
fn who_is_not_let_in_is_told_so_and_nothing_else() {
    for version in EVERY {
        // A stored session, of which a refusal says nothing.
        let id = unique("c");
        let kept = Connect::kept(version, &id);
        Wire::connect(&kept).disconnect();
        let wrong = Connect {
            password: Some("wrong"),
            ..kept.clone()
        };
        let nobody = Connect {
            user: None,
            password: None,
            ..kept.clone()
        };
        let [bad, anonymous] = if version == V5 { [0x86, 0x87] } else { [4, 5] };
        assert_eq!(refused(version, &wrong.bytes()), Some(bad));
        assert_eq!(refused(version, &nobody.bytes()), Some(anonymous));
        // It is still there.
        let wire = Wire::connect(&kept);
        assert_eq!(wire.session_present(), version != V31);
        wire.disconnect();
        Wire::connect(&Connect::new(version, &id)).disconnect();
    }
}

/// Conformance 3.1.1: 3.1.4-4, 3.2.0-1, 3.2.2-1
/// Conformance 5: 3.1.4-5, 3.2.0-1, 3.2.0-2, 3.2.2-1, 3.2.2-2, 3.2.2-9, 4.12.0-6
#[test]
fn who_is_let_in_gets_one_connack_before_all_else() {
    for version in EVERY {
        let topic = unique("t");
        Wire::client(version).publish_this(&bytes::Publish {
            topic: &topic,
            payload: "kept",
            retain: true,
            ..bytes::Publish::default()
        });
        // What is sent with CONNECT, before CONNACK came, is processed too.
        let mut wire = Wire::open(version);
        let connect = Connect::new(version, &unique("c")).bytes();
        let subscribe = bytes::subscribe(version, 1, &[(&topic, 0)]);
        wire.send([connect, subscribe, bytes::PINGREQ.to_vec()].concat());
        let connack = wire.expect(2);
        assert_eq!(connack.body[..2], [0, 0]);
        if version == V5 {
            // Every QoS, retained messages, wildcards, identifiers and shared subscriptions; no
            // authentication.
            for property in [0x24, 0x25, 0x28, 0x29, 0x2A, 0x15, 0x16] {
                let values = connack.property(property);
                assert!(
                    values.is_empty() || values == [[1]],
                    "{property:#x}: {values:?}"
                );
            }
        } else {
            assert_eq!(connack.body.len(), 2);
        }
        let mut kinds = Vec::new();
        while !(kinds.contains(&3) && kinds.contains(&13)) {
            kinds.push(wire.next().expect("open").kind());
        }
        kinds.sort_unstable();
        assert_eq!(kinds, [3, 9, 13]);
        let clear = bytes::Publish {
            topic: &topic,
            retain: true,
            ..bytes::Publish::default()
        };
        Wire::client(version).publish_this(&clear);
    }
}

/// Conformance 3.1.1: 3.1.3-5
/// Conformance 5: 3.1.3-5
/// Conformance 3.1: client-id-length
#[test]
fn client_identifiers_of_letters_and_digits_are_allowed() {
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let pieces = [
        &all[..23],
        &all[23..46],
        &all[39..],
        "0",
        "z",
        &all.repeat(16),
    ];
    for version in EVERY {
        for id in pieces {
            Wire::connect(&Connect::new(version, id)).disconnect();
        }
    }
}

/// Conformance 3.1.1: 3.1.3-6, 3.1.3-8, 3.1.3-9, 3.2.2-5
/// Conformance 5: 3.1.3-6, 3.1.3-7, 3.2.2-16
/// Conformance 3.1: client-id-empty
#[test]
fn an_empty_client_identifier_is_replaced_or_refused() {
    for version in EVERY {
        let (mut one, mut other) = match version {
            V31 => {
                assert_eq!(refused(V31, &Connect::new(V31, "").bytes()), Some(2));
                assert_eq!(refused(V31, &Connect::kept(V31, "").bytes()), Some(2));
                continue;
            }
            V311 => {
                assert_eq!(refused(V311, &Connect::kept(V311, "").bytes()), Some(2));
                let empty = Connect::new(V311, "");
                (Wire::connect(&empty), Wire::connect(&empty))
            }
            _ => {
                let empty = Connect::kept(V5, "");
                (Wire::connect(&empty), Wire::connect(&empty))
            }
        };
        // Two sessions: neither has taken the other's place.
        let topic = unique("t");
        one.subscribe(&topic, 1);
        assert_eq!(other.fence(), []);
        Wire::client(version).publish(&topic, "x", 1);
        assert_eq!(one.message().text(), "x");
        assert_eq!(other.fence(), []);
        if version == V5 {
            let id = |wire: &Wire| {
                let connack = wire.welcome.as_ref().unwrap();
                let id = connack
                    .property(0x12)
                    .pop()
                    .expect("an assigned identifier");
                String::from_utf8(id[2..].to_vec()).unwrap()
            };
            let (id, other_id) = (id(&one), id(&other));
            assert!(!id.is_empty() && id != other_id);
            one.disconnect();
            // It is this client's from now on.
            assert!(Wire::connect(&Connect::kept(V5, &id)).session_present());
            // One that the client chose is not assigned.
            let chosen = Wire::connect(&Connect::new(V5, &unique("c")));
            assert!(chosen.welcome.unwrap().property(0x12).is_empty());
        }
    }
}
