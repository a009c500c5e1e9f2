//! Waits on a thread for one future: `rdkafka`'s admin calls are futures, our callers are threads.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::AdminError;

/// librdkafka answers at its own timeout; this much later it never will.
const SLACK: Duration = Duration::from_secs(1);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The future's result, or [`AdminError::Unavailable`] a little after `timeout`.
pub(super) fn on<F: Future>(future: F, timeout: Duration) -> Result<F::Output, AdminError> {
    let deadline = Instant::now() + timeout + SLACK;
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Ok(output);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(AdminError::Unavailable("no answer from Kafka".to_owned()));
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_that_is_woken_by_another_thread_ends_the_wait() {
        let mut polls = 0;
        let future = std::future::poll_fn(|context| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(7);
            }
            let waker = context.waker().clone();
            thread::spawn(move || waker.wake());
            Poll::Pending
        });
        assert_eq!(on(future, Duration::from_secs(20)), Ok(7));
    }

    #[test]
    fn a_future_that_never_ends_is_given_up() {
        let started = Instant::now();
        let result = on(std::future::pending::<()>(), Duration::from_millis(10));
        assert!(matches!(result, Err(AdminError::Unavailable(_))));
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
