//! Who a consumer is to its group.

use std::ffi::CStr;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};

/// The id under which the coordinator knows a consumer; empty where it knows none. `None`: the client
/// is no member of a group.
#[must_use]
pub fn member_id<C: ClientContext>(client: &Client<C>) -> Option<String> {
    // SAFETY: the native client is valid while `client` is borrowed; what is returned is ours.
    let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(client.native_ptr()) };
    if metadata.is_null() {
        return None;
    }
    // SAFETY: `metadata` is not null, and its string lives as long as it does.
    let id = unsafe {
        let id = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
        (!id.is_null()).then(|| CStr::from_ptr(id).to_string_lossy().into_owned())
    };
    // SAFETY: it is ours, and used no more.
    unsafe { sys::rd_kafka_consumer_group_metadata_destroy(metadata) };
    Some(id.unwrap_or_default())
}
