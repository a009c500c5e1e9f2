//! How much waits in a client's own queue.

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};

/// Records and other events that wait to be polled. A poll that yields nothing does not say that
/// there are none: it may have taken an event that is not a record.
#[must_use]
pub fn waiting<C: ClientContext>(client: &Client<C>) -> usize {
    // SAFETY: the native client is valid while `client` is borrowed.
    let waiting = unsafe { sys::rd_kafka_outq_len(client.native_ptr()) };
    usize::try_from(waiting).unwrap_or(0)
}
