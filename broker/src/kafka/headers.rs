//! What a stored message's record says beside its value.

use super::Process;
use isthmus_core::shard::Uplink;
use isthmus_mqtt::MessageProperties;

/// The headers of a stored message (ruling 4).
pub(super) fn uplink_headers(
    process: &Process,
    shard: u16,
    uplink: &Uplink,
) -> Vec<(String, Vec<u8>)> {
    let message = &uplink.message;
    let mut headers = Vec::with_capacity(6);
    let mut add = |name: &str, value: &[u8]| headers.push((name.to_owned(), value.to_vec()));
    if uplink.base64 {
        add("payload-encoding", b"base64");
    }
    add("mqttTopic", message.topic().as_bytes());
    add("qoslevel", (message.qos as u8).to_string().as_bytes());
    add("retain", if message.retain { b"true" } else { b"false" });
    if let Ok(properties) = MessageProperties::from_forwarded(message.forwarded()) {
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
            add(&format!("user.{name}"), value.as_bytes());
        }
    }
    add(
        "start",
        format!("{}-{:x}", process.node, process.start).as_bytes(),
    );
    // Each shard counts for itself; together the numbers are the process's, none twice.
    let seq = uplink.seq * process.shards + u64::from(shard);
    add("seq", seq.to_string().as_bytes());
    headers
}
