//! One admin call: options, a queue of its own, the wait, the answer, and their release.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode;

/// Longer than any answer of librdkafka takes past the request's own timeout.
const SLACK: Duration = Duration::from_millis(500);
/// Room for librdkafka's explanations.
const EXPLANATION: usize = 512;

/// What Kafka or librdkafka answered instead of a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Kafka's error code.
    pub code: RDKafkaErrorCode,
    /// Kafka's own words where it gives any, else the code's meaning.
    pub message: String,
}

/// One answer for each topic.
pub type PerTopic<T> = Vec<(String, Result<T, Fault>)>;

impl Fault {
    pub(crate) fn new(code: RDKafkaErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A fault of the caller's arguments, found before anything was sent.
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(RDKafkaErrorCode::InvalidArgument, message)
    }

    /// `Err` unless `code` means success.
    pub(crate) fn check(
        code: sys::rd_kafka_resp_err_t,
        message: Option<String>,
    ) -> Result<(), Self> {
        if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        let code = RDKafkaErrorCode::from(code);
        Err(Self {
            code,
            message: message.unwrap_or_else(|| code.to_string()),
        })
    }
}

/// Something that librdkafka allocated and that is released exactly once.
pub(crate) struct Owned<T> {
    ptr: NonNull<T>,
    release: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes over `ptr`; `None` when librdkafka could not allocate.
    ///
    /// # Safety
    /// `ptr` is null or owned by the caller, and `release` is its destructor.
    pub(crate) unsafe fn new(ptr: *mut T, release: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(ptr).map(|ptr| Self { ptr, release })
    }

    /// Valid as long as `self`.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.ptr.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `new` took over the pointer with its destructor, and nothing else releases it.
        unsafe { (self.release)(self.ptr.as_ptr()) }
    }
}

/// The answer of an admin call. What is read from it borrows it.
pub(crate) type Event = Owned<sys::rd_kafka_event_t>;

/// What starts an admin call: options, then the queue for its answer.
type Start<'a> = dyn FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t)
    + 'a;

/// Starts an operation and waits for its answer.
///
/// `wait_for_effect`: the controller answers only when the operation is done, not merely begun.
pub(crate) fn run<C: ClientContext>(
    client: &Client<C>,
    operation: sys::rd_kafka_admin_op_t,
    wait_for_effect: bool,
    timeout: Duration,
    start: Box<Start<'_>>,
) -> Result<Event, Fault> {
    let native = client.native_ptr();
    let no_memory = || Fault::new(RDKafkaErrorCode::Fail, "librdkafka could not allocate");
    // SAFETY: `native` is valid while `client` is borrowed; the options are owned from here on.
    let options = unsafe {
        Owned::new(
            sys::rd_kafka_AdminOptions_new(native, operation),
            sys::rd_kafka_AdminOptions_destroy,
        )
    }
    .ok_or_else(no_memory)?;
    // SAFETY: as above.
    let queue = unsafe { Owned::new(sys::rd_kafka_queue_new(native), sys::rd_kafka_queue_destroy) }
        .ok_or_else(no_memory)?;

    let mut why = Explanation::new();
    // SAFETY: the options are valid, and `why` is writable for the length that is passed.
    let code = unsafe {
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options.as_ptr(),
            millis(timeout),
            why.as_mut_ptr(),
            EXPLANATION,
        )
    };
    Fault::check(code, why.text())?;
    if wait_for_effect {
        // SAFETY: as above.
        let code = unsafe {
            sys::rd_kafka_AdminOptions_set_operation_timeout(
                options.as_ptr(),
                millis(timeout),
                why.as_mut_ptr(),
                EXPLANATION,
            )
        };
        Fault::check(code, why.text())?;
    }

    start(native, options.as_ptr(), queue.as_ptr());
    // SAFETY: the queue is valid; a non-null event belongs to the caller. An answer that comes
    // after the wait goes to a queue without readers, which librdkafka discards.
    let event = unsafe {
        Owned::new(
            sys::rd_kafka_queue_poll(queue.as_ptr(), millis(timeout.saturating_add(SLACK))),
            sys::rd_kafka_event_destroy,
        )
    }
    .ok_or_else(|| Fault::new(RDKafkaErrorCode::OperationTimedOut, "no answer from Kafka"))?;
    // SAFETY: the event is valid; its string lives as long as it does and is copied.
    let (code, message) = unsafe {
        (
            sys::rd_kafka_event_error(event.as_ptr()),
            text(sys::rd_kafka_event_error_string(event.as_ptr())),
        )
    };
    Fault::check(code, message)?;
    Ok(event)
}

/// A buffer for librdkafka's explanation of a refused argument.
pub(crate) struct Explanation([c_char; EXPLANATION]);

impl Explanation {
    pub(crate) const LEN: usize = EXPLANATION;

    pub(crate) fn new() -> Self {
        Self([0; EXPLANATION])
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut c_char {
        self.0.as_mut_ptr()
    }

    /// What was written, `None` when nothing.
    pub(crate) fn text(&self) -> Option<String> {
        let bytes: Vec<u8> = self
            .0
            .iter()
            .take_while(|&&c| c != 0)
            .map(|&c| c.to_ne_bytes()[0])
            .collect();
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A Rust string for C.
pub(crate) fn c_string(text: &str) -> Result<CString, Fault> {
    CString::new(text).map_err(|_| Fault::argument(format!("{text:?} holds a zero byte")))
}

/// Copies a C string; `None` for null and for the empty one.
///
/// # Safety
/// `ptr` is null or a C string that is valid during the call.
pub(crate) unsafe fn text(ptr: *const c_char) -> Option<String> {
    if ptr.is_null() {
        return None;
    }
    // SAFETY: not null, and valid by this function's contract.
    let text = unsafe { CStr::from_ptr(ptr) }
        .to_string_lossy()
        .into_owned();
    (!text.is_empty()).then_some(text)
}

/// An array of C as a slice.
///
/// # Safety
/// `ptr` is null or points to `len` initialised values that outlive `'a` unchanged.
pub(crate) unsafe fn slice<'a, T>(ptr: *const T, len: usize) -> &'a [T] {
    if ptr.is_null() {
        return &[];
    }
    // SAFETY: not null, and valid by this function's contract.
    unsafe { std::slice::from_raw_parts(ptr, len) }
}

/// librdkafka takes milliseconds from 1 to an hour for requests.
fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis().clamp(1, 3_600_000)).unwrap_or(3_600_000)
}
