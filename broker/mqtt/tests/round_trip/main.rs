//! Properties of the codec: what is encoded decodes to the same, and no bytes panic.

#![allow(clippy::expect_used, reason = "a test's helpers")]

#[path = "../../fuzz/src/checks.rs"]
mod checks;
mod strategies;

use isthmus_mqtt::topic::{matches, validate_filter};
use isthmus_mqtt::{Packet, Version, decode, encode, frame};
use proptest::prelude::*;
use strategies::{filter, packet, topic, version};

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes).expect("an encoding");
    bytes
}

/// Any version with a packet of that version.
fn versioned() -> impl Strategy<Value = (Version, Packet<'static>)> {
    version().prop_flat_map(|version| (Just(version), packet(version)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn decoding_yields_what_was_encoded((version, packet) in versioned()) {
        let bytes = encoded(&packet, version);
        let frame = frame(&bytes, bytes.len()).unwrap().expect("whole");
        prop_assert_eq!(frame.len, bytes.len());
        prop_assert_eq!(decode(frame, version), Ok(packet));
    }

    #[test]
    fn a_prefix_is_incomplete((version, packet) in versioned(), following in any::<Vec<u8>>()) {
        let mut bytes = encoded(&packet, version);
        for end in 0..bytes.len() {
            prop_assert_eq!(frame(&bytes[..end], bytes.len()), Ok(None));
        }
        let whole = bytes.clone();
        bytes.extend(following);
        let frame = frame(&bytes, whole.len()).unwrap().expect("whole");
        prop_assert_eq!(frame.len, whole.len());
        prop_assert_eq!(decode(frame, version), Ok(packet));
    }

    #[test]
    fn a_body_that_ends_early_never_panics((version, packet) in versioned()) {
        let bytes = encoded(&packet, version);
        let whole = frame(&bytes, bytes.len()).unwrap().expect("whole");
        for end in 0..whole.body.len() {
            let mut cut = whole;
            cut.body = &whole.body[..end];
            // A PUBLISH without the end of its payload is still one.
            let _ = decode(cut, version);
        }
    }

    #[test]
    fn corrupted_packets_never_panic(
        (version, packet) in versioned(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&packet, version);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        checks::decode(&bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in any::<Vec<u8>>()) {
        checks::decode(&bytes);
        checks::topic(&bytes);
    }

    #[test]
    fn packets_follow_each_other(packets in prop::collection::vec(packet(Version::V5), 0..5)) {
        let mut bytes = Vec::new();
        for packet in &packets {
            encode(packet, Version::V5, &mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        for packet in packets {
            let frame = frame(rest, bytes.len()).unwrap().expect("whole");
            prop_assert_eq!(decode(frame, Version::V5), Ok(packet));
            rest = &rest[frame.len..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn matching_agrees_with_the_model(filter in filter(), name in topic()) {
        checks::topic(&[filter.as_bytes(), &[0xFF], name.as_bytes()].concat());
    }

    #[test]
    fn a_filter_made_from_a_name_matches_it(name in topic(), plus in any::<u32>(), cut in 0..9usize) {
        let mut levels: Vec<&str> = name.split('/').collect();
        for (at, level) in levels.iter_mut().enumerate().skip(1) {
            if plus >> (at % 32) & 1 == 1 {
                *level = "+";
            }
        }
        if (1..levels.len()).contains(&cut) {
            levels.truncate(cut);
            levels.push("#");
        }
        let filter = levels.join("/");
        prop_assert_eq!(validate_filter(&filter), Ok(()));
        prop_assert!(matches(&filter, name), "{} {}", filter, name);
    }
}
