//! The JSON envelope of a stored message (contract 2.3, 2.4, ruling 3): compact, four keys in a
//! fixed order, only `"`, `\` and control characters escaped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The envelope, and whether the payload stands as base64 in it because it is not UTF-8.
#[must_use]
pub fn envelope(client_id: &str, topic: &str, payload: &[u8], ts: u64) -> (Vec<u8>, bool) {
    let mut out =
        Vec::with_capacity(payload.len() + payload.len() / 2 + client_id.len() + topic.len() + 72);
    out.extend_from_slice(b"{\"clientId\":");
    string(client_id, &mut out);
    out.extend_from_slice(b",\"topic\":");
    string(topic, &mut out);
    out.extend_from_slice(b",\"payload\":");
    let text = std::str::from_utf8(payload);
    match text {
        Ok(text) => string(text, &mut out),
        Err(_) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(payload).as_bytes());
            out.push(b'"');
        }
    }
    out.extend_from_slice(b",\"ts\":");
    out.extend_from_slice(ts.to_string().as_bytes());
    out.push(b'}');
    (out, text.is_err())
}

/// Appends a JSON string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f))
    {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = special.split_first() else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exactly_four_keys_in_order() {
        let (json, base64) = envelope("dev-1", "topic-1/a/b/c", "h\u{e9}\"\\\n\u{1}".as_bytes(), 7);
        assert_eq!(
            String::from_utf8(json).unwrap(),
            "{\"clientId\":\"dev-1\",\"topic\":\"topic-1/a/b/c\",\"payload\":\"h\u{e9}\\\"\\\\\\n\\u0001\",\"ts\":7}"
        );
        assert!(!base64);
    }

    #[test]
    fn what_is_not_utf8_is_padded_base64() {
        let (json, base64) = envelope("c", "t", &[0xff], 0);
        assert_eq!(
            json,
            br#"{"clientId":"c","topic":"t","payload":"/w==","ts":0}"#
        );
        assert!(base64);
    }

    #[test]
    fn an_empty_payload_is_an_empty_string() {
        assert_eq!(
            envelope("c", "t", b"", 0).0,
            br#"{"clientId":"c","topic":"t","payload":"","ts":0}"#
        );
    }

    proptest! {
        #[test]
        fn an_independent_parser_reads_it_back(client in ".*", topic in ".*", payload in prop::collection::vec(any::<u8>(), 0..64), ts in any::<u32>()) {
            let (json, base64) = envelope(&client, &topic, &payload, u64::from(ts));
            let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(value["clientId"].as_str(), Some(&*client));
            prop_assert_eq!(value["topic"].as_str(), Some(&*topic));
            prop_assert_eq!(value["ts"].as_u64(), Some(u64::from(ts)));
            let text = value["payload"].as_str().unwrap();
            let again = if base64 { STANDARD.decode(text).unwrap() } else { text.as_bytes().to_vec() };
            prop_assert_eq!(again, payload);
        }
    }
}
