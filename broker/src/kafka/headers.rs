//! What a stored message's record says beside its value.

use super::Process;
use isthmus_core::shard::Uplink;
use isthmus_mqtt::{MessageProperties, QoS};

/// Name and value, as a record takes them.
pub(super) type Header<'a> = (&'a str, Option<&'a [u8]>);

/// Calls with the headers of a stored message (ruling 4); what the message has is not copied.
pub(super) fn with_uplink_headers<R>(
    process: &Process,
    shard: u16,
    uplink: &Uplink,
    then: impl FnOnce(&[Header<'_>]) -> R,
) -> R {
    let message = &uplink.message;
    // What came as properties can be read as properties.
    let properties = MessageProperties::from_forwarded(message.forwarded()).unwrap_or_default();
    let users = properties.user_properties.iter();
    let users: Vec<(String, &str)> = users
        .map(|(name, value)| (format!("user.{name}"), value))
        .collect();
    // Each shard counts for itself; together the numbers are the process's, none twice.
    let seq = (uplink.seq * process.shards + u64::from(shard)).to_string();
    let mut headers: Vec<Header<'_>> = Vec::with_capacity(9 + users.len());
    let mut add = |name, value| headers.push((name, Some(value)));
    if uplink.base64 {
        add("payload-encoding", b"base64".as_slice());
    }
    add("mqttTopic", message.topic().as_bytes());
    let qos: &[u8] = match message.qos {
        QoS::AtMostOnce => b"0",
        QoS::AtLeastOnce => b"1",
        QoS::ExactlyOnce => b"2",
    };
    add("qoslevel", qos);
    add("retain", if message.retain { b"true" } else { b"false" });
    if let Some(value) = properties.content_type {
        add("contentType", value.as_bytes());
    }
    if let Some(value) = properties.response_topic {
        add("responseTopic", value.as_bytes());
    }
    if let Some(value) = properties.correlation_data {
        add("correlationData", value);
    }
    for (name, value) in &users {
        add(name, value.as_bytes());
    }
    add("start", process.start_header.as_bytes());
    add("seq", seq.as_bytes());
    then(&headers)
}
