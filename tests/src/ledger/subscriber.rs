//! A device with a persistent session that notes every message it takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use isthmus_mqtt::QoS;

use super::{RECOVERY, connect, let_in, number};
use crate::client::{Client, Event, Options};

/// The numbers taken, by topic, in order.
pub type Received = BTreeMap<String, Vec<u64>>;

/// A running subscriber.
pub struct Subscriber {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    received: Mutex<Received>,
    forgotten: AtomicBool,
}

impl Subscriber {
    /// Starts a device that is subscribed when this returns. A persistent session connects again
    /// whenever it is disconnected; a clean one expects to stay connected.
    #[must_use]
    pub fn start(address: &str, options: &Options, filter: &str, qos: QoS) -> Self {
        let client = subscribed(address, options, filter, qos);
        let shared = Arc::new(Shared::default());
        let thread = {
            let (shared, address, options) =
                (Arc::clone(&shared), address.to_owned(), options.clone());
            std::thread::spawn(move || run(client, &address, options, &shared))
        };
        Self { shared, thread }
    }

    /// What it has taken so far.
    #[must_use]
    pub fn received(&self) -> Received {
        self.shared.received.lock().unwrap().clone()
    }

    /// Messages taken so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared
            .received
            .lock()
            .unwrap()
            .values()
            .map(Vec::len)
            .sum()
    }

    /// Waits until the last message of each topic has come, then disconnects and reports.
    #[track_caller]
    #[must_use]
    pub fn finish(self, last: &[(String, u64)]) -> Received {
        crate::eventually("the last message at the subscriber", RECOVERY, || {
            let received = self.shared.received.lock().unwrap();
            let done = |(topic, last): &(String, u64)| {
                received.get(topic).is_some_and(|n| n.contains(last))
            };
            (self.thread.is_finished() || last.iter().all(done)).then_some(())
        });
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
        assert!(
            !self.shared.forgotten.load(Ordering::Relaxed),
            "the persistent session was forgotten"
        );
        self.shared.received.lock().unwrap().clone()
    }
}

/// As any device does, it comes again when its slot moves meanwhile.
#[track_caller]
fn subscribed(address: &str, options: &Options, filter: &str, qos: QoS) -> Client {
    let deadline = Instant::now() + RECOVERY;
    loop {
        let mut client = let_in(address, options);
        if client.try_subscribe(filter, qos) {
            return client;
        }
        assert!(
            Instant::now() < deadline,
            "{}: no subscription within {RECOVERY:?}",
            options.client_id
        );
    }
}

fn run(mut client: Client, address: &str, mut options: Options, shared: &Shared) {
    let stopped = || shared.stop.load(Ordering::Relaxed);
    loop {
        match client.poll(Duration::from_millis(50)) {
            Some(Event::Message(message)) => {
                let mut received = shared.received.lock().unwrap();
                received
                    .entry(message.topic)
                    .or_default()
                    .push(number(&message.payload));
            }
            Some(Event::Closed) => {
                assert!(
                    !options.clean,
                    "{}: a live subscriber was disconnected",
                    options.client_id
                );
                options = client.remembering(&options);
                match connect(address, &options, stopped) {
                    Some(again) => client = again,
                    None if stopped() => return,
                    None => panic!("{}: no connection within {RECOVERY:?}", options.client_id),
                }
                if !client.welcome.session_present {
                    shared.forgotten.store(true, Ordering::Relaxed);
                }
            }
            Some(_) => {}
            None if stopped() => return,
            None => {}
        }
    }
}
