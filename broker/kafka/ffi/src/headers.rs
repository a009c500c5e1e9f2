//! The headers of a consumed message as bytes: `rdkafka` panics on a name that is not UTF-8.

use std::ffi::CStr;
use std::ptr;

use rdkafka::bindings as sys;
use rdkafka::message::BorrowedMessage;

/// Calls `each` with the name and the value of every header of `message`, in order.
///
/// A name ends at its first NUL, as everywhere in librdkafka.
pub fn for_each_header(message: &BorrowedMessage<'_>, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive as long as its borrow; it keeps the headers that it hands out.
    let found = unsafe { sys::rd_kafka_message_headers(message.ptr(), &raw mut headers) };
    if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
        return;
    }
    for index in 0.. {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `headers` is valid (above), and the three places are ours.
        let found = unsafe {
            sys::rd_kafka_header_get_all(
                headers,
                index,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            )
        };
        if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return;
        }
        // SAFETY: librdkafka ends every name with a NUL.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let value = match (value.is_null(), size) {
            (true, _) => None,
            (false, 0) => Some(&[][..]),
            // SAFETY: `size` bytes of the message's buffer, which outlive this call.
            (false, size) => Some(unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) }),
        };
        each(name, value);
    }
}
