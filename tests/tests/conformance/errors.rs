//! PINGREQ, DISCONNECT, and packets that are no packets or not a client's (3.12, 3.14, 4.8, 4.13).

use isthmus_tests::unique;

use crate::bytes::{self, Connect, PINGREQ, packet, string};
use crate::wire::Wire;
use crate::{EVERY, NUMBERED, V5, V311};

/// Conformance 3.1.1: 3.12.4-1
/// Conformance 5: 3.12.4-1
/// Conformance 3.1: flows
#[test]
fn pingreq_is_answered_each_time() {
    for version in EVERY {
        let mut wire = Wire::client(version);
        wire.send([PINGREQ; 5].concat());
        for _ in 0..5 {
            wire.expect_bytes([0xD0, 0]);
        }
        assert_eq!(wire.fence(), []);
    }
}

/// Conformance 3.1.1: 4.8.0-1, 2.2.2-2
/// Conformance 5: 4.13.1-1, 4.13.2-1, 3.14.1-1, 3.14.4-1, 3.14.4-2
#[test]
fn what_is_no_packet_of_a_client_closes_its_connection_and_no_other() {
    for version in NUMBERED {
        let none = bytes::properties(version, &[]);
        let topic = string("t");
        let mut cases = vec![
            (packet(0x20, [&[0, 0][..], &none].concat()), 0x82, "CONNACK"),
            (
                packet(0x90, [&[0, 1][..], &none, &[0]].concat()),
                0x82,
                "SUBACK",
            ),
            (packet(0xD0, []), 0x82, "PINGRESP"),
            (packet(0x00, []), 0x81, "type 0"),
            (packet(0xC0, [0]), 0x81, "PINGREQ with a byte"),
            (packet(0x32, &topic), 0x81, "no identifier"),
            (
                packet(0x30, [0, 5, b't']),
                0x81,
                "a topic beyond the packet",
            ),
            (
                packet(0x82, [&[0, 1][..], &none, &topic].concat()),
                0x81,
                "no options",
            ),
            (
                packet(0xA2, [&[0, 1][..], &none, &[0]].concat()),
                0x81,
                "half a filter",
            ),
            (packet(0x40, [0]), 0x81, "half an identifier"),
            (
                vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
                0x81,
                "a length of five bytes",
            ),
        ];
        if version == V311 {
            cases.push((packet(0xF0, []), 0, "type 15"));
            cases.push((packet(0xB0, [0, 1]), 0, "UNSUBACK"));
            cases.push((packet(0x40, [0, 1, 0]), 0, "PUBACK with a Reason Code"));
            cases.push((packet(0xE0, [0]), 0, "DISCONNECT with a Reason Code"));
        } else {
            let publish = |properties: &[u8]| {
                packet(
                    0x30,
                    [&topic[..], &bytes::properties(V5, properties)].concat(),
                )
            };
            cases.extend([
                (packet(0xB0, [0, 1, 0, 0]), 0x82, "UNSUBACK"),
                (publish(&[0x7F, 0]), 0x81, "an unknown property"),
                (
                    publish(&[0x11, 0, 0, 0, 1]),
                    0x81,
                    "another packet's property",
                ),
                (publish(&[0x01, 0, 0x01, 0]), 0x82, "a property twice"),
                (publish(&[0x01, 2]), 0x82, "an illegal value"),
                (
                    packet(0x30, [&topic[..], &[9, 1]].concat()),
                    0x81,
                    "properties beyond the packet",
                ),
                (
                    packet(0xE0, [0x00, 5, 0x11, 0, 0, 0, 1]),
                    0x82,
                    "an expiry where there was none",
                ),
                (
                    packet(0xE0, [0x00, 10, 0x11, 0, 0, 0, 0, 0x11, 0, 0, 0, 0]),
                    0x82,
                    "two expiries",
                ),
            ]);
        }
        let mut witness = Wire::client(version);
        for (packet, code, what) in cases {
            let mut wire = Wire::client(version);
            wire.send(&packet);
            assert_eq!(wire.ended(), (version == V5).then_some(code), "{what}");
            witness.fence();
        }
    }
}

/// Conformance 5: 3.14.4-2
/// Conformance 3.1: flows
#[test]
fn after_disconnect_the_server_closes_and_takes_nothing_more() {
    for version in EVERY {
        let topic = unique("t");
        let mut watcher = Wire::client(version);
        watcher.subscribe(&topic, 1);
        let mut wire = Wire::client(version);
        let behind = bytes::publish(version, &topic, "never", 1, 1);
        wire.send([&bytes::DISCONNECT[..], &behind, &PINGREQ].concat());
        assert_eq!(wire.next(), None, "neither an answer nor a DISCONNECT");
        Wire::client(version).publish(&topic, "end", 1);
        assert_eq!(watcher.message().text(), "end");
    }
}

/// Conformance 3.1.1: 2.2.2-2, 4.8.0-1
/// Conformance 5: 4.13.1-1
#[test]
fn a_packet_may_come_byte_by_byte() {
    for version in NUMBERED {
        let topic = unique("t");
        let mut wire = Wire::open(version);
        let packets = [
            Connect::new(version, &unique("c")).bytes(),
            bytes::subscribe(version, 1, &[(&topic, 1)]),
            bytes::publish(version, &topic, "whole", 0, 0),
            // The fault is seen as soon as it is there, and not before.
            vec![0xC0],
        ];
        for byte in packets.concat() {
            wire.send([byte]);
        }
        assert_eq!(
            [wire.next(), wire.next()].map(|p| p.unwrap().kind()),
            [2, 9]
        );
        assert_eq!(wire.message().text(), "whole");
        wire.send([1]);
        wire.send([0]);
        wire.ended_for(0x81);
    }
}
