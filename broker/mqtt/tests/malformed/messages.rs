//! PUBLISH and its acknowledgements, SUBSCRIBE and UNSUBSCRIBE and theirs.

use crate::{ALL, BEFORE_5, ONLY_5, assert_refused};
use isthmus_mqtt::DecodeError::*;
use isthmus_mqtt::ReasonCode as Code;
use isthmus_mqtt::Version::V311;

#[test]
fn publish() {
    assert_refused(&[
        ("MQTT-3.3.2-2", ALL, "30 05 0003 612f2b", TopicName),
        ("MQTT-3.3.2-2", ALL, "30 03 0001 23", TopicName),
        ("MQTT-4.7.3-1", BEFORE_5, "30 02 0000", EmptyTopic),
        ("3.3.2.1", ONLY_5, "30 03 0000 00", EmptyTopic),
        ("MQTT-2.2.1-3", ALL, "32 05 0001 61 0000", PacketIdZero),
        ("MQTT-2.2.1-3", ALL, "34 05 0001 61 0000", PacketIdZero),
        (
            "MQTT-3.3.2-8",
            ONLY_5,
            "30 07 0001 61 03 230000",
            TopicAliasZero,
        ),
        (
            "3.3.2.3.2",
            ONLY_5,
            "30 06 0001 61 02 0102",
            PropertyValue(0x01),
        ),
        (
            "3.3.2.3.8",
            ONLY_5,
            "30 06 0001 61 02 0b00",
            PropertyValue(0x0B),
        ),
        (
            "MQTT-3.3.2-14",
            ONLY_5,
            "30 08 0001 61 04 08000123",
            ResponseTopic,
        ),
        (
            "MQTT-4.7.3-1",
            ONLY_5,
            "30 07 0001 61 03 080000",
            ResponseTopic,
        ),
        (
            "3.3.2.3.4",
            ONLY_5,
            "30 0a 0001 61 06 230001230001",
            DuplicateProperty(0x23),
        ),
        (
            "3.3.2.3.3",
            ONLY_5,
            "30 0e 0001 61 0a 02000000010200000001",
            DuplicateProperty(0x02),
        ),
        (
            "2.2.2.2",
            ONLY_5,
            "30 09 0001 61 05 1100000001",
            PropertyNotAllowed(0x11),
        ),
        (
            "2.2.2.2",
            ONLY_5,
            "30 06 0001 61 02 7f00",
            UnknownProperty(0x7F),
        ),
    ]);
}

#[test]
fn acknowledgements() {
    let illegal = |code| ReasonCode(Code(code));
    assert_refused(&[
        ("MQTT-2.2.1-5", ALL, "40 02 0000", PacketIdZero),
        ("MQTT-2.2.1-5", ALL, "62 02 0000", PacketIdZero),
        ("1.2", BEFORE_5, "40 03 0001 00", TrailingBytes),
        ("1.2", BEFORE_5, "70 04 0001 0000", TrailingBytes),
        ("MQTT-3.4.2-1", ONLY_5, "40 03 0001 92", illegal(0x92)),
        ("MQTT-3.5.2-1", ONLY_5, "50 03 0001 01", illegal(0x01)),
        ("MQTT-3.6.2-1", ONLY_5, "62 03 0001 80", illegal(0x80)),
        ("MQTT-3.7.2-1", ONLY_5, "70 03 0001 10", illegal(0x10)),
        ("1.2", ONLY_5, "40 05 0001 00 00 00", TrailingBytes),
        (
            "2.2.2.2",
            ONLY_5,
            "40 06 0001 00 02 0101",
            PropertyNotAllowed(0x01),
        ),
        (
            "3.4.2.2.2",
            ONLY_5,
            "40 0a 0001 00 06 1f00001f0000",
            DuplicateProperty(0x1F),
        ),
    ]);
}

#[test]
fn subscribe_and_unsubscribe() {
    let illegal = |code| ReasonCode(Code(code));
    assert_refused(&[
        ("MQTT-2.2.1-3", ALL, "82 06 0000 0001 61 00", PacketIdZero),
        ("MQTT-2.2.1-3", ALL, "a2 05 0000 0001 61", PacketIdZero),
        ("MQTT-3.8.3-2", BEFORE_5, "82 02 0001", NoTopicFilters),
        ("MQTT-3.8.3-2", ONLY_5, "82 03 0001 00", NoTopicFilters),
        ("MQTT-3.10.3-2", BEFORE_5, "a2 02 0001", NoTopicFilters),
        ("MQTT-3.10.3-2", ONLY_5, "a2 03 0001 00", NoTopicFilters),
        (
            "MQTT-3.8.3-4 of 3.1.1",
            &[V311],
            "82 06 0001 0001 61 04",
            SubscriptionOptionsReserved,
        ),
        (
            "MQTT-3.8.3-5",
            ONLY_5,
            "82 07 0001 00 0001 61 40",
            SubscriptionOptionsReserved,
        ),
        (
            "MQTT-3.8.3-5",
            ONLY_5,
            "82 07 0001 00 0001 61 80",
            SubscriptionOptionsReserved,
        ),
        (
            "3.8.3.1",
            BEFORE_5,
            "82 06 0001 0001 61 03",
            SubscriptionQos,
        ),
        (
            "3.8.3.1",
            ONLY_5,
            "82 07 0001 00 0001 61 03",
            SubscriptionQos,
        ),
        (
            "3.8.3.1",
            ONLY_5,
            "82 07 0001 00 0001 61 30",
            RetainHandling,
        ),
        (
            "3.8.2.1.2",
            ONLY_5,
            "82 09 0001 02 0b00 0001 61 00",
            PropertyValue(0x0B),
        ),
        (
            "3.8.2.1.2",
            ONLY_5,
            "82 0b 0001 04 0b010b01 0001 61 00",
            DuplicateProperty(0x0B),
        ),
        (
            "2.2.2.2",
            ONLY_5,
            "82 0a 0001 03 1f0000 0001 61 00",
            PropertyNotAllowed(0x1F),
        ),
        (
            "2.2.2.2",
            ONLY_5,
            "a2 08 0001 02 0b01 0001 61",
            PropertyNotAllowed(0x0B),
        ),
        ("MQTT-2.2.1-6", ALL, "90 03 0000 00", PacketIdZero),
        (
            "MQTT-3.8.4-5 of 3.1.1",
            BEFORE_5,
            "90 02 0001",
            NoReasonCodes,
        ),
        ("MQTT-3.8.4-6", ONLY_5, "90 03 0001 00", NoReasonCodes),
        ("MQTT-3.11.3-2", ONLY_5, "b0 03 0001 00", NoReasonCodes),
        (
            "MQTT-3.9.3-2 of 3.1.1",
            BEFORE_5,
            "90 03 0001 87",
            illegal(0x87),
        ),
        ("MQTT-3.9.3-2", ONLY_5, "90 04 0001 00 03", illegal(0x03)),
        ("MQTT-3.11.3-2", ONLY_5, "b0 04 0001 00 01", illegal(0x01)),
        ("1.2", BEFORE_5, "b0 03 0001 00", TrailingBytes),
    ]);
}
