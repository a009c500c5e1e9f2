//! What holds for any input. Shared by the fuzz targets and by the crate's own tests, which run
//! the kept corpus on stable.
#![allow(dead_code, reason = "each target uses one check")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a check fails by panicking"
)]

use isthmus_mqtt::encode::{PublishHead, publish, publish_len};
use isthmus_mqtt::topic::{matches, parse_shared, validate_filter, validate_name};
use isthmus_mqtt::{Frame, MessageProperties, Packet, Publish, Version};

const MAX_PACKET: usize = 1 << 20;

/// No input panics, in any version; what decodes encodes to bytes that decode to the same.
pub(crate) fn decode(data: &[u8]) {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut rest = data;
        while let Ok(Some(frame)) = isthmus_mqtt::frame(rest, MAX_PACKET) {
            check_frame(frame, version);
            rest = &rest[frame.len..];
        }
    }
}

fn check_frame(frame: Frame<'_>, version: Version) {
    let packet = match isthmus_mqtt::decode(frame, version) {
        Ok(packet) => packet,
        Err(error) => {
            assert!(error.reason_code().is_error(), "{error:?}");
            return;
        }
    };
    let mut bytes = Vec::new();
    isthmus_mqtt::encode(&packet, version, &mut bytes).expect("what was decoded has an encoding");
    // What 3.1 disregards, and longer forms of the same, are not written again.
    assert!(bytes.len() <= frame.len, "{packet:?} grew to {bytes:x?}");
    let again = isthmus_mqtt::frame(&bytes, bytes.len())
        .expect("own encoding has a legal header")
        .expect("own encoding is whole");
    assert_eq!(again.len, bytes.len());
    assert_eq!(isthmus_mqtt::decode(again, version).as_ref(), Ok(&packet));
    if let Packet::Publish(publish) = &packet {
        check_publish(publish, version, &bytes);
    }
}

/// The data path writes the same bytes as the encoder for any packet.
fn check_publish(packet: &Publish<'_>, version: Version, encoded: &[u8]) {
    let mut forwarded = Vec::new();
    let properties = &packet.properties;
    properties
        .encode_forwarded(&mut forwarded)
        .expect("decoded properties have an encoding");
    let expected = MessageProperties {
        expiry: None,
        ..*properties
    };
    assert_eq!(MessageProperties::from_forwarded(&forwarded), Ok(expected));
    if packet.topic_alias.is_some() {
        return;
    }
    let head = PublishHead {
        topic: packet.topic,
        forwarded: &forwarded,
        payload: packet.payload,
    };
    let (qos, expiry, ids) = (packet.qos, properties.expiry, &packet.subscription_ids);
    let mut bytes = Vec::new();
    let (dup, retain, id) = (packet.dup, packet.retain, packet.packet_id);
    publish(
        &mut bytes, version, dup, qos, retain, id, &head, expiry, ids,
    )
    .expect("an encoding");
    assert_eq!(bytes, encoded);
    assert_eq!(bytes.len(), publish_len(version, qos, &head, expiry, ids));
}

/// A filter, 0xFF (which no UTF-8 has) and a name: the rules agree with each other, and matching
/// with a model.
pub(crate) fn topic(data: &[u8]) {
    let mut parts = data.splitn(2, |&byte| byte == 0xFF);
    let [filter, name] = [parts.next(), parts.next()]
        .map(|part| str::from_utf8(part.unwrap_or_default()).unwrap_or_default());
    for string in [filter, name] {
        check_rules(string);
    }
    let matched = matches(filter, name);
    if validate_filter(filter).is_ok() && validate_name(name).is_ok() {
        let dollar = name.starts_with('$') && filter.starts_with(['+', '#']);
        let filter: Vec<_> = filter.split('/').collect();
        let name: Vec<_> = name.split('/').collect();
        assert_eq!(
            matched,
            !dollar && model(&filter, &name),
            "{filter:?} {name:?}"
        );
    }
}

fn check_rules(string: &str) {
    let shared = string.starts_with("$share/");
    if validate_name(string).is_ok() {
        assert!(!string.contains(['+', '#', '\0']));
        assert!(matches(string, string), "{string}");
        assert!(shared || validate_filter(string).is_ok(), "{string}");
        assert_eq!(matches("#", string), !string.starts_with('$'), "{string}");
    }
    if validate_filter(string).is_ok() {
        assert_eq!(parse_shared(string).is_some(), shared, "{string}");
    }
    if let Some((group, inner)) = parse_shared(string) {
        assert_eq!(format!("$share/{group}/{inner}"), string);
        assert!(!group.is_empty() && !group.contains(['+', '#', '/']));
        if !inner.starts_with("$share/") && string.len() <= 65_535 && !group.contains('\0') {
            assert_eq!(validate_filter(inner), validate_filter(string), "{string}");
        }
    }
}

fn model(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        (["#"], _) | ([], []) => true,
        ([level, filter @ ..], [part, name @ ..]) => {
            (*level == "+" || level == part) && model(filter, name)
        }
        _ => false,
    }
}
