//! Every packet that MQTT calls malformed or a protocol error is refused, as the fault it has.
//! Statement numbers are those of MQTT 5 unless said otherwise.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test's helpers"
)]

mod connecting;
mod header;
mod messages;

use isthmus_mqtt::DecodeError::{self, *};
use isthmus_mqtt::Version::{self, V5, V31, V311};
use isthmus_mqtt::{ReasonCode as Code, decode, frame};

const ALL: &[Version] = &[V31, V311, V5];
const BEFORE_5: &[Version] = &[V31, V311];
const FROM_3_1_1: &[Version] = &[V311, V5];
const ONLY_5: &[Version] = &[V5];

fn unhex(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[track_caller]
fn assert_refused(rows: &[(&str, &[Version], &str, DecodeError)]) {
    for (statement, versions, hex, expected) in rows {
        let bytes = unhex(hex);
        for &version in *versions {
            let found = frame(&bytes, 1 << 20).and_then(|frame| {
                let frame = frame.unwrap_or_else(|| panic!("{statement}: {hex} is incomplete"));
                assert_eq!(frame.len, bytes.len(), "{statement}: {hex} is two packets");
                decode(frame, version)
            });
            assert_eq!(found, Err(*expected), "{statement}: {hex} in {version:?}");
        }
    }
}

#[test]
fn reason_codes() {
    for (fault, code) in [
        (Truncated, Code::MALFORMED_PACKET),
        (PublishQos, Code::MALFORMED_PACKET),
        (InvalidUtf8, Code::MALFORMED_PACKET),
        (NoTopicFilters, Code::PROTOCOL_ERROR),
        (DuplicateProperty(1), Code::PROTOCOL_ERROR),
        (
            UnsupportedProtocolVersion(6),
            Code::UNSUPPORTED_PROTOCOL_VERSION,
        ),
        (ProtocolName, Code::UNSUPPORTED_PROTOCOL_VERSION),
        (
            PacketTooLarge {
                size: 2,
                maximum: 1,
            },
            Code::PACKET_TOO_LARGE,
        ),
        (TopicName, Code::TOPIC_NAME_INVALID),
        (TopicAliasZero, Code::TOPIC_ALIAS_INVALID),
    ] {
        assert_eq!(fault.reason_code(), code, "{fault:?}");
    }
}
