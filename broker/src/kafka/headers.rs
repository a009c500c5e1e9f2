//! What a stored message's record says beside its value.

use super::Process;
use isthmus_core::shard::Uplink;
use isthmus_mqtt::{MessageProperties, QoS};
use std::borrow::Cow;

/// Name and value; what the message has is not copied.
pub(super) type Header<'a> = (Cow<'static, str>, Cow<'a, [u8]>);

/// The headers of a stored message (ruling 4).
pub(super) fn uplink_headers<'a>(
    process: &'a Process,
    shard: u16,
    uplink: &'a Uplink,
) -> Vec<Header<'a>> {
    let message = &uplink.message;
    let mut headers: Vec<Header<'a>> = Vec::with_capacity(8);
    let mut add = |name, value: &'a [u8]| headers.push((Cow::Borrowed(name), Cow::Borrowed(value)));
    if uplink.base64 {
        add("payload-encoding", b"base64");
    }
    add("mqttTopic", message.topic().as_bytes());
    let qos: &[u8] = match message.qos {
        QoS::AtMostOnce => b"0",
        QoS::AtLeastOnce => b"1",
        QoS::ExactlyOnce => b"2",
    };
    add("qoslevel", qos);
    add("retain", if message.retain { b"true" } else { b"false" });
    if !message.forwarded().is_empty()
        && let Ok(properties) = MessageProperties::from_forwarded(message.forwarded())
    {
        if let Some(value) = properties.content_type {
            add("contentType", value.as_bytes());
        }
        if let Some(value) = properties.response_topic {
            add("responseTopic", value.as_bytes());
        }
        if let Some(value) = properties.correlation_data {
            add("correlationData", value);
        }
        for (name, value) in &properties.user_properties {
            let name = Cow::Owned(format!("user.{name}"));
            headers.push((name, Cow::Borrowed(value.as_bytes())));
        }
    }
    // Each shard counts for itself; together the numbers are the process's, none twice.
    let seq = uplink.seq * process.shards + u64::from(shard);
    headers.push((
        Cow::Borrowed("start"),
        Cow::Borrowed(process.start_header.as_bytes()),
    ));
    headers.push((
        Cow::Borrowed("seq"),
        Cow::Owned(seq.to_string().into_bytes()),
    ));
    headers
}
