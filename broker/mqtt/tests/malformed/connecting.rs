//! CONNECT, CONNACK, DISCONNECT and AUTH.

use crate::{ALL, BEFORE_5, ONLY_5, assert_refused};
use isthmus_mqtt::DecodeError::*;
use isthmus_mqtt::ReasonCode as Code;
use isthmus_mqtt::Version::V311;

#[test]
fn connect() {
    assert_refused(&[
        (
            "MQTT-3.1.2-1",
            ALL,
            "10 0e 0004 4d515455 04 02 003c 0002 6431",
            ProtocolName,
        ),
        (
            "MQTT-3.1.2-1",
            ALL,
            "10 0e 0004 6d717474 04 02 003c 0002 6431",
            ProtocolName,
        ),
        ("MQTT-3.1.2-1", ALL, "10 02 0000", ProtocolName),
        (
            "MQTT-3.1.2-2",
            ALL,
            "10 07 0004 4d515454 03",
            UnsupportedProtocolVersion(3),
        ),
        (
            "MQTT-3.1.2-2",
            ALL,
            "10 07 0004 4d515454 06",
            UnsupportedProtocolVersion(6),
        ),
        (
            "MQTT-3.1.2-2",
            ALL,
            "10 07 0004 4d515454 85",
            UnsupportedProtocolVersion(0x85),
        ),
        (
            "MQTT-3.1.2-2",
            ALL,
            "10 09 0006 4d5149736470 04",
            UnsupportedProtocolVersion(4),
        ),
        (
            "MQTT-3.1.2-3",
            ALL,
            "10 0e 0004 4d515454 04 03 003c 0002 6431",
            ConnectFlagsReserved,
        ),
        (
            "MQTT-3.1.2-3",
            ALL,
            "10 0f 0004 4d515454 05 03 003c 00 0002 6431",
            ConnectFlagsReserved,
        ),
        (
            "MQTT-3.1.2-11",
            ALL,
            "10 0e 0004 4d515454 04 0a 003c 0002 6431",
            WillFlags,
        ),
        (
            "MQTT-3.1.2-13",
            ALL,
            "10 0f 0004 4d515454 05 22 003c 00 0002 6431",
            WillFlags,
        ),
        (
            "MQTT-3.1.2-12",
            ALL,
            "10 14 0004 4d515454 04 1e 003c 0002 6431 0001 77 0001 78",
            WillQos,
        ),
        (
            "MQTT-3.1.2-12",
            ALL,
            "10 16 0006 4d5149736470 03 1e 003c 0002 6431 0001 77 0001 78",
            WillQos,
        ),
        (
            "MQTT-3.1.2-22 of 3.1.1",
            ALL,
            "10 11 0004 4d515454 04 42 003c 0002 6431 0001 70",
            PasswordWithoutUserName,
        ),
        (
            "3.1.2 of 3.1",
            ALL,
            "10 13 0006 4d5149736470 03 42 003c 0002 6431 0001 70",
            PasswordWithoutUserName,
        ),
        (
            "3.1.3.3",
            ALL,
            "10 14 0004 4d515454 04 06 003c 0002 6431 0001 23 0001 78",
            WillTopic,
        ),
        (
            "MQTT-4.7.3-1",
            ALL,
            "10 13 0004 4d515454 04 06 003c 0002 6431 0000 0001 78",
            WillTopic,
        ),
        (
            "1.2",
            ALL,
            "10 0f 0004 4d515454 04 02 003c 0002 6431 00",
            TrailingBytes,
        ),
        (
            "1.2",
            ALL,
            "10 0e 0004 4d515454 04 82 003c 0002 6431",
            Truncated,
        ),
        ("1.2", ALL, "10 0a 0004 4d515454 04 02 003c", Truncated),
        (
            "MQTT-3.1.3-4",
            ALL,
            "10 0d 0004 4d515454 04 02 003c 0001 ff",
            InvalidUtf8,
        ),
        (
            "MQTT-1.5.4-2",
            ALL,
            "10 0d 0004 4d515454 04 02 003c 0001 00",
            NullCharacter,
        ),
    ]);
}

#[test]
fn connect_properties() {
    assert_refused(&[
        (
            "3.1.2.11.3",
            ALL,
            "10 12 0004 4d515454 05 02 003c 03 210000 0002 6431",
            PropertyValue(0x21),
        ),
        (
            "3.1.2.11.4",
            ALL,
            "10 14 0004 4d515454 05 02 003c 05 2700000000 0002 6431",
            PropertyValue(0x27),
        ),
        (
            "3.1.2.11.6",
            ALL,
            "10 11 0004 4d515454 05 02 003c 02 1902 0002 6431",
            PropertyValue(0x19),
        ),
        (
            "3.1.2.11.7",
            ALL,
            "10 11 0004 4d515454 05 02 003c 02 1702 0002 6431",
            PropertyValue(0x17),
        ),
        (
            "3.1.2.11.2",
            ALL,
            "10 19 0004 4d515454 05 02 003c 0a 1100000001 1100000001 0002 6431",
            DuplicateProperty(0x11),
        ),
        (
            "2.2.2.2",
            ALL,
            "10 12 0004 4d515454 05 02 003c 03 230001 0002 6431",
            PropertyNotAllowed(0x23),
        ),
        (
            "2.2.2.2, a Will property of the CONNECT",
            ALL,
            "10 14 0004 4d515454 05 02 003c 05 1800000001 0002 6431",
            PropertyNotAllowed(0x18),
        ),
        (
            "2.2.2.2, a CONNECT property of the Will",
            ALL,
            "10 1b 0004 4d515454 05 06 003c 00 0002 6431 05 1100000001 0001 77 0001 78",
            PropertyNotAllowed(0x11),
        ),
        (
            "3.1.2.11.10",
            ALL,
            "10 13 0004 4d515454 05 02 003c 04 16000101 0002 6431",
            AuthenticationDataWithoutMethod,
        ),
        (
            "2.2.2.2",
            ALL,
            "10 10 0004 4d515454 05 02 003c 01 00 0002 6431",
            UnknownProperty(0),
        ),
        (
            "2.2.2.2",
            ALL,
            "10 11 0004 4d515454 05 02 003c 02 ff7f 0002 6431",
            UnknownProperty(16_383),
        ),
    ]);
}

#[test]
fn connack() {
    assert_refused(&[
        ("MQTT-3.2.2-1", &[V311], "20 02 02 00", ConnAckFlags),
        ("MQTT-3.2.2-1", ONLY_5, "20 03 80 00 00", ConnAckFlags),
        (
            "MQTT-3.2.2-4 of 3.1.1",
            &[V311],
            "20 02 01 05",
            SessionPresentWithRefusal,
        ),
        (
            "MQTT-3.2.2-6",
            ONLY_5,
            "20 03 01 87 00",
            SessionPresentWithRefusal,
        ),
        (
            "3.2.2.3 of 3.1.1",
            BEFORE_5,
            "20 02 00 06",
            ReasonCode(Code(6)),
        ),
        (
            "MQTT-3.2.2-8",
            ONLY_5,
            "20 03 00 01 00",
            ReasonCode(Code(1)),
        ),
        ("1.2", ALL, "20 01 00", Truncated),
        ("1.2", ONLY_5, "20 02 00 00", Truncated),
        ("1.2", BEFORE_5, "20 03 00 00 00", TrailingBytes),
        (
            "3.2.2.3.4",
            ONLY_5,
            "20 05 00 00 02 2402",
            PropertyValue(0x24),
        ),
        (
            "3.2.2.3.5",
            ONLY_5,
            "20 05 00 00 02 2502",
            PropertyValue(0x25),
        ),
        (
            "3.2.2.3.3",
            ONLY_5,
            "20 06 00 00 03 210000",
            PropertyValue(0x21),
        ),
        (
            "3.2.2.3.6",
            ONLY_5,
            "20 08 00 00 05 2700000000",
            PropertyValue(0x27),
        ),
        (
            "3.2.2.3.12",
            ONLY_5,
            "20 05 00 00 02 2902",
            PropertyValue(0x29),
        ),
        (
            "2.2.2.2",
            ONLY_5,
            "20 06 00 00 03 230001",
            PropertyNotAllowed(0x23),
        ),
        (
            "3.2.2.3.18",
            ONLY_5,
            "20 06 00 00 03 160000",
            AuthenticationDataWithoutMethod,
        ),
    ]);
}

#[test]
fn disconnect_and_auth() {
    let illegal = |code| ReasonCode(Code(code));
    assert_refused(&[
        ("1.2", BEFORE_5, "e0 01 00", TrailingBytes),
        ("MQTT-3.14.2-1", ONLY_5, "e0 01 01", illegal(0x01)),
        ("1.2", ONLY_5, "e0 03 00 00 00", TrailingBytes),
        (
            "2.2.2.2",
            ONLY_5,
            "e0 05 00 03 210001",
            PropertyNotAllowed(0x21),
        ),
        (
            "3.14.2.2.2",
            ONLY_5,
            "e0 0c 00 0a 11000000011100000001",
            DuplicateProperty(0x11),
        ),
        ("MQTT-3.15.2-1", ONLY_5, "f0 01 80", illegal(0x80)),
        ("1.2", ONLY_5, "f0 01 00", Truncated),
        (
            "3.15.2.2.2",
            ONLY_5,
            "f0 02 18 00",
            AuthenticationMethodMissing,
        ),
        (
            "3.15.2.2.2",
            ONLY_5,
            "f0 05 18 03 160000",
            AuthenticationMethodMissing,
        ),
        (
            "2.2.2.2",
            ONLY_5,
            "f0 04 00 02 0101",
            PropertyNotAllowed(0x01),
        ),
    ]);
}
