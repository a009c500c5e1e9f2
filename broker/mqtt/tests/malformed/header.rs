//! The fixed header (section 2.1) and the data types (section 1.5).

use crate::{ALL, BEFORE_5, FROM_3_1_1, ONLY_5, assert_refused, unhex};
use isthmus_mqtt::DecodeError::*;
use isthmus_mqtt::Version::{V31, V311};
use isthmus_mqtt::{decode, frame};

#[test]
fn fixed_header() {
    assert_refused(&[
        ("2.1.2", ALL, "00 00", ReservedPacketType(0)),
        ("2.1.2 before 5", BEFORE_5, "f0 00", ReservedPacketType(15)),
        ("MQTT-2.1.3-1", ALL, "11 00", FixedHeaderFlags(0x11)),
        ("MQTT-2.1.3-1", ALL, "28 02 0000", FixedHeaderFlags(0x28)),
        ("MQTT-2.1.3-1", ALL, "42 02 0001", FixedHeaderFlags(0x42)),
        ("MQTT-3.6.1-1", ALL, "60 02 0001", FixedHeaderFlags(0x60)),
        (
            "MQTT-3.6.1-1",
            FROM_3_1_1,
            "6a 02 0001",
            FixedHeaderFlags(0x6A),
        ),
        (
            "MQTT-3.8.1-1",
            ALL,
            "80 06 0001 0001 61 00",
            FixedHeaderFlags(0x80),
        ),
        (
            "MQTT-3.8.1-1",
            &[V311],
            "8a 06 0001 0001 61 00",
            FixedHeaderFlags(0x8A),
        ),
        (
            "MQTT-3.10.1-1",
            &[V311],
            "aa 05 0001 0001 61",
            FixedHeaderFlags(0xAA),
        ),
        (
            "MQTT-3.10.1-1",
            ALL,
            "a3 05 0001 0001 61",
            FixedHeaderFlags(0xA3),
        ),
        ("MQTT-3.14.1-1", ALL, "e1 00", FixedHeaderFlags(0xE1)),
        ("MQTT-3.15.1-1", ALL, "f8 00", FixedHeaderFlags(0xF8)),
        ("MQTT-3.3.1-4", ALL, "36 05 0001 61 0001", PublishQos),
        ("MQTT-3.3.1-4", ALL, "3e 05 0001 61 0001", PublishQos),
        ("MQTT-3.3.1-2", ALL, "38 03 0001 61", DupWithQos0),
        ("2.1.4", ALL, "30 ff ff ff ff 01", RemainingLength),
        ("2.1.4", ALL, "c0 80 80 80 80 00", RemainingLength),
        ("MQTT-1.5.5-1", ONLY_5, "c0 80 00", NonMinimalInteger),
        (
            "MQTT-1.5.5-1",
            ALL,
            "10 8f 00 0004 4d515454 05 02 003c 00 0002 6431",
            NonMinimalInteger,
        ),
        ("1.2", ALL, "c0 01 00", TrailingBytes),
        ("1.2", ALL, "d0 01 00", TrailingBytes),
    ]);
}

#[test]
fn longer_remaining_length_is_legal_before_5() {
    for version in [V31, V311] {
        let bytes = unhex("c0 80 80 00");
        let frame = frame(&bytes, 10).unwrap().unwrap();
        assert_eq!(decode(frame, version), Ok(isthmus_mqtt::Packet::PingReq));
    }
}

#[test]
fn faults_are_known_early() {
    for (hex, expected) in [
        ("00", ReservedPacketType(0)),
        ("61", FixedHeaderFlags(0x61)),
        ("36", PublishQos),
        ("38", DupWithQos0),
        ("30 ff ff ff ff", RemainingLength),
        (
            "30 ff 01",
            PacketTooLarge {
                size: 258,
                maximum: 257,
            },
        ),
    ] {
        assert_eq!(frame(&unhex(hex), 257), Err(expected), "{hex}");
    }
    for hex in ["", "30", "30 80", "30 ff ff ff", "30 fe 01", "30 02 00"] {
        assert_eq!(frame(&unhex(hex), 257), Ok(None), "{hex}");
    }
}

#[test]
fn data_types() {
    assert_refused(&[
        ("MQTT-1.5.4-1", ALL, "30 04 0002 c328", InvalidUtf8),
        (
            "MQTT-1.5.4-1, surrogate",
            ALL,
            "30 05 0003 eda080",
            InvalidUtf8,
        ),
        (
            "MQTT-1.5.4-1, overlong",
            ALL,
            "30 04 0002 c080",
            InvalidUtf8,
        ),
        (
            "MQTT-1.5.4-1",
            BEFORE_5,
            "82 06 0001 0001 ff 00",
            InvalidUtf8,
        ),
        ("MQTT-1.5.4-2", ALL, "30 05 0003 610062", NullCharacter),
        (
            "MQTT-1.5.4-2",
            BEFORE_5,
            "a2 05 0001 0001 00",
            NullCharacter,
        ),
        (
            "MQTT-1.5.4-2",
            ONLY_5,
            "40 08 0001 80 04 1f000100",
            NullCharacter,
        ),
        (
            "MQTT-1.5.5-1",
            ONLY_5,
            "30 05 0001 61 8000",
            NonMinimalInteger,
        ),
        (
            "MQTT-1.5.5-1",
            ONLY_5,
            "30 09 0001 61 05 8100000000",
            NonMinimalInteger,
        ),
        (
            "1.5.5",
            ONLY_5,
            "30 08 0001 61 8080808001",
            VariableByteInteger,
        ),
        ("1.2", ALL, "30 00", Truncated),
        ("1.2", ALL, "30 01 00", Truncated),
        ("1.2", ALL, "30 03 0002 61", Truncated),
        ("1.2", ALL, "32 03 0001 61", Truncated),
        ("1.2", ONLY_5, "30 03 0001 61", Truncated),
        ("1.2", ONLY_5, "30 05 0001 61 02 01", Truncated),
        (
            "1.2, a property beyond its section",
            ONLY_5,
            "30 06 0001 61 01 01 00",
            Truncated,
        ),
        ("1.2", ALL, "40 01 00", Truncated),
        ("1.2", BEFORE_5, "82 05 0001 0001 61", Truncated),
    ]);
}
