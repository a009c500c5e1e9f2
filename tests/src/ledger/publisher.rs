//! A device that publishes numbered messages and repeats what is not acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use isthmus_mqtt::{AckType, QoS};

use super::{RECOVERY, connect, payload};
use crate::client::{Client, Event, Options, Outgoing};

/// A running publisher.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: JoinHandle<Published>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    connections: AtomicU64,
}

/// What became of a publisher's messages.
#[derive(Clone, Debug)]
pub struct Published {
    /// The number of the last message; all from 0 on are acknowledged.
    pub last: u64,
    /// How often it connected.
    pub connections: u64,
    /// How often the service did not know the session any more.
    pub forgotten: u64,
    /// The longest time between a message and its last acknowledgement.
    pub slowest: Duration,
}

/// A message on its way.
struct Flight {
    id: u16,
    number: u64,
    sent: Instant,
    /// PUBREC has come (QoS 2): the message is stored, PUBREL is due.
    released: bool,
}

struct Device {
    address: String,
    options: Options,
    topic: String,
    qos: QoS,
    window: usize,
    per_second: Option<u32>,
    start: Instant,
    flights: VecDeque<Flight>,
    next: u64,
    report: Published,
}

impl Publisher {
    /// Starts a device with a persistent session that publishes to `topic`, with at most `window`
    /// messages unacknowledged and `per_second` sent, until [`Self::finish`].
    #[must_use]
    pub fn start(
        address: &str,
        options: &Options,
        topic: &str,
        qos: QoS,
        window: usize,
        per_second: Option<u32>,
    ) -> Self {
        assert!(
            qos != QoS::AtMostOnce && !options.clean,
            "a ledger needs acknowledgements and a session"
        );
        let shared = Arc::new(Shared::default());
        let device = Device {
            address: address.to_owned(),
            // PUBREL is sent by hand, so that a repeated one is counted once.
            options: options.clone().silent(),
            topic: topic.to_owned(),
            qos,
            window,
            per_second,
            start: Instant::now(),
            flights: VecDeque::new(),
            next: 0,
            report: Published {
                last: 0,
                connections: 0,
                forgotten: 0,
                slowest: Duration::ZERO,
            },
        };
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || device.run(&shared))
        };
        Self { shared, thread }
    }

    /// Messages acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Connections made so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until `more` further messages are acknowledged.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        let goal = self.acknowledged() + more;
        crate::eventually(&format!("{more} more acknowledgements"), RECOVERY, || {
            assert!(!self.thread.is_finished(), "the publisher gave up");
            (self.acknowledged() >= goal).then_some(())
        });
    }

    /// Sends no more, waits until all is acknowledged, and reports.
    #[track_caller]
    #[must_use]
    pub fn finish(self) -> Published {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(report) => report,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Device {
    fn run(mut self, shared: &Shared) -> Published {
        let mut progress = Instant::now();
        loop {
            let Some(mut client) = connect(&self.address, &self.options, || false) else {
                panic!(
                    "{}: no connection within {RECOVERY:?}",
                    self.options.client_id
                );
            };
            self.report.connections += 1;
            shared.connections.fetch_add(1, Ordering::Relaxed);
            if self.report.connections > 1 && !client.welcome.session_present {
                self.report.forgotten += 1;
            }
            let mut open = self.repeat(&mut client);
            while open {
                let stop = shared.stop.load(Ordering::Relaxed);
                if stop && self.flights.is_empty() && self.next > 0 {
                    self.report.last = self.next - 1;
                    client.disconnect();
                    return self.report;
                }
                open = (stop || self.fill(&mut client))
                    && self.answer(&mut client, shared, &mut progress);
                assert!(
                    progress.elapsed() < RECOVERY,
                    "{}: no acknowledgement for {RECOVERY:?}",
                    self.options.client_id
                );
            }
            self.options = client.remembering(&self.options);
        }
    }

    /// [MQTT-4.4.0-1]: what was sent and not acknowledged, in the order it was sent.
    fn repeat(&mut self, client: &mut Client) -> bool {
        self.flights.iter().all(|flight| {
            if flight.released {
                client.acknowledge(AckType::PubRel, flight.id).is_ok()
            } else {
                client
                    .send_as(&self.message(flight.number), flight.id, true)
                    .is_ok()
            }
        })
    }

    fn message(&self, number: u64) -> Outgoing {
        Outgoing::new(&self.topic, payload(number)).qos(self.qos)
    }

    /// How many messages may have been sent by now.
    fn due(&self) -> u64 {
        let so_far = |rate: u32| self.start.elapsed().as_millis() * u128::from(rate) / 1000 + 1;
        self.per_second.map_or(u64::MAX, |rate| {
            u64::try_from(so_far(rate)).unwrap_or(u64::MAX)
        })
    }

    fn fill(&mut self, client: &mut Client) -> bool {
        while self.flights.len() < self.window && self.next < self.due() {
            // The window is far smaller than the range of ids, so one that comes round is free.
            let number = self.next;
            let id = u16::try_from(number % 65_000 + 1).unwrap();
            self.next += 1;
            self.flights.push_back(Flight {
                id,
                number,
                sent: Instant::now(),
                released: false,
            });
            if client.send_as(&self.message(number), id, false).is_err() {
                return false;
            }
        }
        true
    }

    /// Takes one answer of the service; false when the connection is gone.
    fn answer(&mut self, client: &mut Client, shared: &Shared, progress: &mut Instant) -> bool {
        let (kind, id, code) = match client.poll(Duration::from_millis(50)) {
            None => return true,
            Some(Event::Ack(kind, id, code)) => (kind, id, code),
            Some(Event::Closed | Event::Disconnect(_)) => return false,
            Some(other) => panic!("{}: unexpected {other:?}", self.options.client_id),
        };
        assert!(
            code < 0x80 || code == 0x92,
            "{}: refused with {code:#04x}",
            self.options.client_id
        );
        *progress = Instant::now();
        let Some(at) = self.flights.iter().position(|flight| flight.id == id) else {
            return true;
        };
        match kind {
            AckType::PubRec => {
                let flight = &mut self.flights[at];
                if !flight.released {
                    flight.released = true;
                    self.report.slowest = self.report.slowest.max(flight.sent.elapsed());
                    shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                client.acknowledge(AckType::PubRel, id).is_ok()
            }
            AckType::PubAck => {
                // [MQTT-4.6.0-2]: in the order of the messages.
                assert_eq!(at, 0, "{}: PUBACK out of order", self.options.client_id);
                let flight = self.flights.pop_front().expect("position");
                self.report.slowest = self.report.slowest.max(flight.sent.elapsed());
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                true
            }
            AckType::PubComp => {
                let flight = self.flights.remove(at).expect("position");
                self.report.slowest = self.report.slowest.max(flight.sent.elapsed());
                true
            }
            AckType::PubRel => panic!("{}: PUBREL for a publisher", self.options.client_id),
        }
    }
}
