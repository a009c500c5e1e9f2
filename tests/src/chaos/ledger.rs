//! What was sent, acknowledged and received, message by message.
//!
//! The roster of streams and receivers is fixed before the first message, so that what is due to
//! whom follows from topics and filters alone. Every payload names its stream and its number.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use isthmus_mqtt::{QoS, topic};

use super::stream::{Route, Stream};

/// What the service owes for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// Nothing: not acknowledged, so it may arrive or not.
    Open,
    /// Everything: acknowledged, or a will whose connection was cut.
    Given,
    /// That it never arrives: a will after an orderly DISCONNECT.
    Withdrawn,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) promise: Promise,
    /// How often the device has sent it again.
    pub(super) resent: u16,
    /// When the promise was last changed, in milliseconds of the run.
    pub(super) at: u64,
}

/// One arrival of a message at a receiver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) number: usize,
    pub(super) dup: bool,
    /// Which of the receiver's connections.
    pub(super) connection: u32,
    pub(super) at: u64,
}

/// What a stream has come to.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) sent: Vec<Sent>,
    /// By receiver, in the order of arrival.
    pub(super) deliveries: BTreeMap<usize, Vec<Delivery>>,
}

/// A client with a persistent session and subscriptions that never change.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) name: String,
    pub(super) filters: Vec<String>,
    pub(super) qos: QoS,
}

impl Receiver {
    pub(super) fn wants(&self, name: &str) -> bool {
        self.filters
            .iter()
            .any(|filter| topic::matches(filter, name))
    }
}

/// The book.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) streams: Vec<Stream>,
    pub(super) receivers: Vec<Receiver>,
    by_name: HashMap<String, usize>,
    start: Instant,
    broken: Mutex<Vec<String>>,
    /// Messages of QoS 2 that came again under the packet id that the receiver still held.
    pub(super) repeated_ids: AtomicU64,
}

impl Ledger {
    pub(super) fn new(streams: Vec<Stream>, receivers: Vec<Receiver>) -> Self {
        let names = streams.iter().enumerate();
        Self {
            by_name: names.map(|(at, s)| (s.name.clone(), at)).collect(),
            streams,
            receivers,
            start: Instant::now(),
            broken: Mutex::default(),
            repeated_ids: AtomicU64::new(0),
        }
    }

    /// Milliseconds of the run.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).expect("a run of less than an aeon")
    }

    /// Notes a broken promise that the device itself saw.
    pub(super) fn break_promise(&self, what: String) {
        let mut line = what;
        line.insert_str(0, &format!("{:.1} s: ", self.now() as f64 / 1000.0));
        eprintln!("BROKEN {line}");
        self.broken.lock().unwrap().push(line);
    }

    pub(super) fn broken(&self) -> Vec<String> {
        self.broken.lock().unwrap().clone()
    }

    /// Enters a new message and gives its number.
    pub(super) fn send(&self, stream: usize) -> usize {
        let at = self.now();
        let mut state = self.streams[stream].state();
        state.sent.push(Sent {
            promise: Promise::Open,
            resent: 0,
            at,
        });
        state.sent.len() - 1
    }

    pub(super) fn sent_again(&self, stream: usize, number: usize) {
        self.streams[stream].state().sent[number].resent += 1;
    }

    pub(super) fn promise(&self, stream: usize, number: usize, promise: Promise) {
        let at = self.now();
        let mut state = self.streams[stream].state();
        state.sent[number].promise = promise;
        state.sent[number].at = at;
    }

    /// The last number that is acknowledged.
    pub(super) fn last_given(&self, stream: usize) -> Option<usize> {
        let state = self.streams[stream].state();
        state.sent.iter().rposition(|s| s.promise == Promise::Given)
    }

    /// Stream and number of a payload that is exactly what was sent.
    pub(super) fn identify(&self, payload: &[u8]) -> Option<(usize, usize)> {
        let text = std::str::from_utf8(payload).ok()?;
        let (name, rest) = text.split_once(':')?;
        let stream = *self.by_name.get(name)?;
        let number = rest.split(':').next()?.parse().ok()?;
        let known = number < self.streams[stream].state().sent.len();
        (known && self.streams[stream].payload(number) == payload).then_some((stream, number))
    }

    /// Enters an arrival; gives the stream and when the message was sent or acknowledged. One that this receiver should not have is a broken promise.
    pub(super) fn receive(
        &self,
        receiver: usize,
        connection: u32,
        name: &str,
        payload: &[u8],
        dup: bool,
    ) -> Option<(usize, u64)> {
        let who = &self.receivers[receiver];
        let Some((stream, number)) = self.identify(payload) else {
            let text = String::from_utf8_lossy(payload);
            self.break_promise(format!("{} got what nobody sent: {name} {text}", who.name));
            return None;
        };
        let entry = &self.streams[stream];
        if !entry.reaches(number, name) || !who.wants(name) {
            let what = format!("{}:{number} on {name}", entry.name);
            self.break_promise(format!("misdelivered to {}: {what}", who.name));
            return None;
        }
        let at = self.now();
        let mut state = entry.state();
        let arrivals = state.deliveries.entry(receiver).or_default();
        arrivals.push(Delivery {
            number,
            dup,
            connection,
            at,
        });
        Some((stream, state.sent[number].at))
    }

    pub(super) fn note_repeated_id(&self) {
        self.repeated_ids.fetch_add(1, Ordering::Relaxed);
    }

    /// The receivers that this stream's messages with this topic are due to, and as what QoS.
    pub(super) fn due<'a>(
        &'a self,
        stream: &'a Stream,
        name: &'a str,
        qos: QoS,
    ) -> impl Iterator<Item = (usize, QoS)> + 'a {
        let all = self.receivers.iter().enumerate();
        all.filter_map(move |(at, receiver)| {
            let wanted = match stream.route {
                // A filter as the destination: every session that it meets.
                Route::Broadcast => receiver.name.starts_with("sub-"),
                _ => receiver.wants(name),
            };
            wanted.then(|| (at, qos.min(receiver.qos)))
        })
    }

    /// First promises that are not yet kept at a receiver: how many, and one by name.
    pub(super) fn missing(&self) -> (usize, String) {
        let mut count = 0;
        let mut example = String::new();
        for stream in &self.streams {
            let state = stream.state();
            let arrived: BTreeMap<usize, HashSet<usize>> = state
                .deliveries
                .iter()
                .map(|(at, all)| (*at, all.iter().map(|d| d.number).collect()))
                .collect();
            for (number, sent) in state.sent.iter().enumerate() {
                if sent.promise != Promise::Given {
                    continue;
                }
                let topic = stream.topic(number);
                for (receiver, _) in self.due(stream, &topic, stream.qos(number)) {
                    let got = arrived.get(&receiver);
                    if !got.is_some_and(|got| got.contains(&number)) {
                        count += 1;
                        if example.is_empty() {
                            let name = &self.receivers[receiver].name;
                            example = format!("{}:{number} for {name}", stream.name);
                        }
                    }
                }
            }
        }
        (count, example)
    }
}
