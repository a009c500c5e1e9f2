//! What every packet of the server must keep, whatever the test is about: flags, lengths, Reason
//! Codes, properties, and that each field ends where its packet does.

use crate::V5;
use crate::packet::Packet;

/// Reason Codes that the server may send, by packet type (MQTT 5, the tables of chapter 3).
fn codes(kind: u8) -> &'static [u8] {
    match kind {
        2 => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90,
            0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
        4 | 5 => &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        6 | 7 => &[0x00, 0x92],
        9 => &[
            0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
        ],
        11 => &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
        14 => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
            0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ],
        _ => &[],
    }
}

/// Properties that the server may send, by packet type (MQTT 5, table 2-4; DISCONNECT without
/// Session Expiry Interval, PUBLISH without Topic Alias where none was asked for is each test's).
fn allowed(kind: u8) -> &'static [u8] {
    match kind {
        2 => &[
            0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27,
            0x28, 0x29, 0x2A,
        ],
        3 => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26],
        4..=7 | 9 | 11 => &[0x1F, 0x26],
        14 => &[0x1C, 0x1F, 0x26],
        _ => &[],
    }
}

/// Panics where a packet is not as it must be.
#[track_caller]
pub(crate) fn check(version: u8, packet: &Packet) {
    let kind = packet.kind();
    let flags = packet.first & 0x0F;
    match kind {
        3 => {
            assert!(packet.qos() < 3, "{packet:?}: QoS 3");
            assert!(
                packet.qos() > 0 || flags & 8 == 0,
                "{packet:?}: DUP with QoS 0"
            );
            let topic = packet.topic();
            assert!(
                !topic.is_empty() && !topic.contains(['+', '#', '\0']),
                "{topic}"
            );
        }
        6 => assert_eq!(flags, 2, "{packet:?}"),
        2 | 4 | 5 | 7 | 9 | 11 | 13 | 14 => assert_eq!(flags, 0, "{packet:?}"),
        _ => panic!("not a packet that this server sends: {packet:?}"),
    }
    if matches!(kind, 4..=7 | 9 | 11) || packet.qos() > 0 {
        assert_ne!(packet.id(), 0, "{packet:?}: identifier 0");
    }
    if version == V5 {
        for (property, value) in packet.properties() {
            assert!(
                allowed(kind).contains(&property),
                "{packet:?}: {property:#x} {value:x?}"
            );
        }
        for code in packet.codes() {
            assert!(codes(kind).contains(&code), "{packet:?}: {code:#x}");
        }
    } else {
        let (length, codes): (_, &[u8]) = match kind {
            2 => (Some(2), &[0, 1, 2, 3, 4, 5]),
            4..=7 | 11 => (Some(2), &[0]),
            9 => (None, &[0, 1, 2, 0x80]),
            13 => (Some(0), &[]),
            3 => (None, &[]),
            _ => panic!("no packet before MQTT 5: {packet:?}"),
        };
        assert!(
            length.is_none_or(|length| packet.body.len() == length),
            "{packet:?}"
        );
        assert!(
            packet.codes().iter().all(|code| codes.contains(code)),
            "{packet:?}"
        );
    }
    if kind == 2 {
        assert_eq!(packet.body[0] & 0xFE, 0, "reserved acknowledge flags");
        assert!(
            packet.body[1] == 0 || packet.body[0] == 0,
            "session present with a refusal"
        );
    }
}
