//! What a live QoS 1 message costs with more brokers and more subscriptions: each goes from a
//! publisher at any broker to the one subscriber that wants it, at any other.

use super::Instance;
use crate::client::Client;
use crate::system::Cores;
use crate::wire::{self, Packet};
use isthmus_tests::Kafka;
use mio::{Events, Poll};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Subscribers; each has its share of the subscriptions.
const SUBSCRIBERS: usize = 1000;
const PUBLISHERS: usize = 20;
/// One subscription of so many has a wildcard.
const WILD: usize = 50;
const DRAIN: Duration = Duration::from_secs(20);

/// One row of the table.
pub(crate) struct Row {
    pub(crate) brokers: u16,
    pub(crate) subscriptions: usize,
    pub(crate) rate: f64,
    /// Microseconds of all brokers for a message, what they take idle left out.
    pub(crate) cpu: f64,
    /// Shares of a core that they take idle.
    pub(crate) idle: f64,
    pub(crate) memory: u64,
}

/// Measures `brokers` with ever more subscriptions.
pub(crate) fn run(
    cores: &Cores,
    kafka: &Kafka,
    brokers: u16,
    subscriptions: &[usize],
    rate: f64,
    time: Duration,
) -> anyhow::Result<Vec<Row>> {
    let instance = Instance::start(cores, kafka, brokers)?;
    let mut poll = Poll::new()?;
    let made = Mutex::new(Vec::new());
    instance.clients(0..SUBSCRIBERS + PUBLISHERS, true, |number, client| {
        if let Ok(mut made) = made.lock() {
            made.push((number, client));
        }
        Ok(())
    })?;
    let mut clients = made.into_inner()?;
    clients.sort_by_key(|(number, _)| *number);
    let mut clients: Vec<Client> = clients.into_iter().map(|(_, client)| client).collect();
    let mut rows = Vec::new();
    let mut have = 0;
    for wanted in subscriptions {
        for (number, client) in clients.iter_mut().take(SUBSCRIBERS).enumerate() {
            let filters: Vec<String> = (have..*wanted)
                .filter(|nth| nth % SUBSCRIBERS == number)
                .map(filter)
                .collect();
            for some in filters.chunks(100) {
                client.subscribe(some, 1)?;
            }
        }
        have = *wanted;
        for (number, client) in clients.iter_mut().enumerate() {
            if rows.is_empty() {
                client.register(poll.registry(), number)?;
            }
        }
        std::thread::sleep(Duration::from_secs(2));
        let (cpu, began) = (instance.cpu()?, Instant::now());
        std::thread::sleep(Duration::from_secs(2));
        let idle = (instance.cpu()? - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
        let mut load = Load {
            poll: &mut poll,
            clients: &mut clients,
            topics: have,
            sent: 0,
            acknowledged: 0,
            received: 0,
            scratch: vec![0; 64 * 1024],
        };
        load.go(rate, Duration::from_secs(1))?;
        let (cpu, began, before) = (instance.cpu()?, Instant::now(), load.received);
        load.go(rate, time)?;
        let (seconds, messages) = (began.elapsed().as_secs_f64(), load.received - before);
        let cpu = (instance.cpu()? - cpu).as_secs_f64() - idle * seconds;
        load.drain()?;
        let row = Row {
            brokers,
            subscriptions: have,
            rate: messages as f64 / seconds,
            cpu: cpu * 1e6 / messages.max(1) as f64,
            idle,
            memory: instance.memory()?,
        };
        eprintln!(
            "growth | {brokers} brokers, {have} subscriptions | {:.0}/s, {:.1} µs",
            row.rate, row.cpu
        );
        rows.push(row);
    }
    Ok(rows)
}

/// The nth subscription's filter, and a topic that it alone wants.
fn filter(nth: usize) -> String {
    match nth % WILD {
        0 => format!("grow/{nth}/+/state"),
        _ => format!("grow/{nth}/room/state"),
    }
}

fn topic(nth: usize) -> String {
    format!("grow/{nth}/room/state")
}

struct Load<'a> {
    poll: &'a mut Poll,
    clients: &'a mut [Client],
    topics: usize,
    sent: usize,
    acknowledged: usize,
    received: usize,
    scratch: Vec<u8>,
}

impl Load<'_> {
    fn go(&mut self, rate: f64, time: Duration) -> anyhow::Result<()> {
        let (start, already) = (Instant::now(), self.sent);
        while start.elapsed() < time {
            let due = already + (start.elapsed().as_secs_f64() * rate) as usize;
            while self.sent < due && self.sent - self.acknowledged.min(self.received) < 5000 {
                // A step that has no factor in common with the numbers of topics: all are used.
                let topic = topic(self.sent * 7919 % self.topics);
                let id = u16::try_from(self.sent / PUBLISHERS % 60_000 + 1)?;
                let publisher = SUBSCRIBERS + self.sent % PUBLISHERS;
                if let Some(client) = self.clients.get_mut(publisher) {
                    wire::publish(&mut client.out, &topic, 1, id, &[b'x'; 64]);
                }
                self.sent += 1;
            }
            for client in self.clients.iter_mut().skip(SUBSCRIBERS) {
                client.flush()?;
            }
            self.take()?;
        }
        Ok(())
    }

    fn take(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        self.poll
            .poll(&mut events, Some(Duration::from_millis(1)))?;
        for event in &events {
            let Some(client) = self.clients.get_mut(event.token().0) else {
                continue;
            };
            if event.is_writable() {
                client.writable();
            }
            let (acknowledged, received) = (&mut self.acknowledged, &mut self.received);
            client.read(&mut self.scratch, |packet, out| {
                match packet {
                    Packet::Publish { id, .. } => {
                        *received += 1;
                        wire::ack(out, wire::PUBACK, id);
                    }
                    Packet::Ack {
                        kind: wire::PUBACK, ..
                    } => *acknowledged += 1,
                    other => anyhow::bail!("a client got {other:?}"),
                }
                Ok(())
            })?;
            client.flush()?;
        }
        Ok(())
    }

    /// Each message has come once to its one subscriber.
    fn drain(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + DRAIN;
        while self.received < self.sent || self.acknowledged < self.sent {
            anyhow::ensure!(
                Instant::now() < until,
                "{} sent, {} acknowledged, {} received",
                self.sent,
                self.acknowledged,
                self.received
            );
            self.take()?;
        }
        anyhow::ensure!(
            self.received == self.sent,
            "{} sent, {} received",
            self.sent,
            self.received
        );
        Ok(())
    }
}
