//! A client's own queue: how much waits in it, and when something comes.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::NonNull;

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

/// The wake-up call of a [`MainQueue`].
type Wake = Box<dyn Fn() + Send + Sync>;

/// A client's main queue, watched: a thread that polls it can sleep until something comes, instead
/// of a poll with a timeout, which spins through the last millisecond of it.
pub struct MainQueue<'a> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    // Twice boxed: librdkafka is given a thin pointer.
    wake: Box<Wake>,
    client: PhantomData<&'a ()>,
}

impl<'a> MainQueue<'a> {
    /// Has `wake` called, from threads of librdkafka, whenever something comes into the empty queue,
    /// until the watch is dropped. It must be quick. `None` when the client has no such queue.
    #[must_use]
    pub fn watch<C: ClientContext>(
        client: &'a Client<C>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        // SAFETY: the native client is valid while `client` is borrowed, which is longer than the
        // queue's reference is held.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_get_main(client.native_ptr()) })?;
        let watched = Self {
            queue,
            wake: Box::new(Box::new(wake)),
            client: PhantomData,
        };
        let opaque = std::ptr::from_ref(&*watched.wake).cast_mut().cast();
        // SAFETY: `opaque` points into a box that lives until the callback has been taken back.
        unsafe { sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(signal), opaque) };
        Some(watched)
    }

    /// Events that wait to be polled.
    #[must_use]
    pub fn waiting(&self) -> usize {
        // SAFETY: the queue is held until drop.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) }
    }
}

impl Drop for MainQueue<'_> {
    fn drop(&mut self) {
        let queue = self.queue.as_ptr();
        // SAFETY: the queue is held until now. librdkafka calls back under the queue's lock, which
        // the first call takes: after it, nobody is in `signal`, and the box may go.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(queue, None, std::ptr::null_mut());
            sys::rd_kafka_queue_destroy(queue);
        }
    }
}

unsafe extern "C" fn signal(_client: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the box of a watch that has not been dropped (see there).
    let wake = unsafe { &*opaque.cast::<Wake>() };
    wake();
}
