//! Calls of librdkafka that may never return, on a thread that can be left behind.
//!
//! `rd_kafka_send_offsets_to_transaction` waits without end for the group's coordinator, whatever
//! time it is given. After a restart of Kafka librdkafka may stop looking for it: it asks three times
//! and waits, or waits for a node that it has forgotten, until some connection of its own opens or
//! closes, which on healthy connections is never (librdkafka issues 5456 and 5511, as of 2.12). And
//! a client must not be destroyed while somebody is in a call of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use super::session::Reports;
use crate::support;

/// How soon an end is noticed.
const STEP: Duration = Duration::from_millis(250);

/// The client of one session.
pub(super) type Client = BaseProducer<Reports>;

type Call = Box<dyn FnOnce(&Client) + Send>;

/// A client, the thread that polls it, and the one that calls it. When this is dropped both end as
/// soon as the last call returns, and the polling thread destroys the client: nobody else waits for
/// that.
pub(super) struct Calls {
    client: Arc<Client>,
    calls: Sender<Call>,
    stop: Arc<AtomicBool>,
}

impl Calls {
    pub(super) fn new(client: Client) -> Result<Self, KafkaError> {
        let client = Arc::new(client);
        let (calls, received) = channel();
        let this = Self {
            client: Arc::clone(&client),
            calls,
            stop: Arc::default(),
        };
        let (polled, stop) = (Arc::clone(&client), Arc::clone(&this.stop));
        let failed = |error: std::io::Error| KafkaError::ClientCreation(error.to_string());
        thread::Builder::new()
            .name("kafka-tx-reports".to_owned())
            .spawn(move || poll(&polled, &stop))
            .map_err(failed)?;
        thread::Builder::new()
            .name("kafka-tx-calls".to_owned())
            .spawn(move || serve(&client, &received))
            .map_err(failed)?;
        Ok(this)
    }

    /// For what does not wait.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Calls, and waits for the answer while `going`; `None` when that takes longer than `limit`:
    /// then this client is of no more use.
    pub(super) fn call<T: Send + 'static>(
        &self,
        limit: Duration,
        going: impl Fn() -> bool,
        call: impl FnOnce(&Client) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = channel();
        let call: Call = Box::new(move |client| {
            let _ = answer.send(call(client));
        });
        self.calls.send(call).ok()?;
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match answered.recv_timeout(left.min(STEP)) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() && going() => {}
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn poll(client: &Arc<Client>, stop: &AtomicBool) {
    // The last to hold it destroys it, which may take long.
    support::serve(client, || {
        !stop.load(Ordering::Acquire) || Arc::strong_count(client) > 1
    });
}

fn serve(client: &Arc<Client>, received: &Receiver<Call>) {
    while let Ok(call) = received.recv() {
        call(client);
    }
}
