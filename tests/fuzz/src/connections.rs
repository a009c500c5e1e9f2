//! `isthmus-fuzz connections`: legal and mutated connections against the real broker.
//!
//! After each batch the broker has to be the same process, with no panic in its log, and a witness
//! that is connected all the while has to make its round trips and to get nothing else.

pub mod expect;
pub mod link;
pub mod plan;
pub mod replies;
pub mod script;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use isthmus_mqtt::AckType;
use isthmus_tests::client::{Event, Outgoing};
use isthmus_tests::{Client, Kafka, Options, QoS, Service, Spec, Version, eventually};

use crate::pool::Pool;
use crate::{Extent, memory, random};
use plan::{Done, Ports, step};

/// Memory is compared with that after so many connections.
const WARM_UP: u64 = 1_000;
/// What more the broker may hold at the end than after the warm-up. Of each of its two slots it
/// keeps up to 4 MiB of inbox records that came last and 8 MiB of those that were read again: a run
/// fills these. 8 MiB are for the rest.
pub const MEMORY_BOUND: u64 = (2 * (4 + 8) + 8) << 20;
/// Steps between two looks at broker and witness.
const BATCH: u64 = 200;
const WORKERS: usize = 8;

/// Short-lived sessions and few retained messages, so that what a run leaves behind is bounded by
/// the broker's limits and not by the run's length.
fn spec() -> Spec {
    Spec::new("fuzz")
        .with("session: {expiry: 5s, maxExpiry: 5s, maxQueuedMessages: 50}")
        .with("limits: {maxRetainedMessages: 100}")
}

/// What a run found.
#[derive(Debug, Default)]
pub struct Report {
    /// Steps, and the sums of what they did.
    pub steps: u64,
    done: Done,
    /// Resident memory of the broker after the warm-up and at the end.
    pub memory: (u64, u64),
    /// Seconds.
    pub seconds: f64,
}

/// The broker and who watches it.
struct Watch {
    service: Service,
    broker: u32,
    witness: Client,
    looks: u64,
}

/// Runs, and fails with the seed, the step and a transcript.
///
/// # Panics
/// The broker did something wrong.
#[must_use]
pub fn run(kafka: &Kafka, seed: u64, first: u64, extent: Extent) -> Report {
    let pool = Pool::new(&mut random(seed, u64::MAX));
    let mut watch = Watch::start(kafka);
    let ports = Ports {
        mqtt: watch.service.spec().mqtt,
        ws: watch.service.spec().ws,
    };
    let start = Instant::now();
    let mut report = Report::default();
    let mut warm = 0;
    while extent.goes_on(report.done.connections, start) {
        let steps = match extent {
            Extent::Count(count) => BATCH.min(count - report.done.connections),
            Extent::Time(_) => BATCH,
        };
        batch(seed, first + report.steps, steps, &pool, ports, &mut report);
        watch.look();
        if report.steps % (10 * BATCH) == 0 {
            println!(
                "{} connections, {}",
                report.done.connections,
                memory::mib(watch.memory())
            );
        }
        if report.done.connections >= WARM_UP && warm == 0 {
            warm = watch.memory();
        }
    }
    watch.connections_end();
    report.seconds = start.elapsed().as_secs_f64();
    report.memory = (warm, watch.memory());
    let grown = report.memory.1.saturating_sub(warm);
    assert!(
        warm == 0 || grown < MEMORY_BOUND,
        "the broker's memory grew by {}: {}",
        memory::mib(grown),
        report.text()
    );
    report
}

/// Some steps, several at a time.
fn batch(seed: u64, first: u64, steps: u64, pool: &Pool, ports: Ports, report: &mut Report) {
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Done::default());
    let work = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= first + steps {
            return;
        }
        let mut random = random(seed, index);
        match step(&mut random, pool, ports, &format!("own-{index}")) {
            Ok(done) => sum.lock().expect("no other failed").add(done),
            Err(fault) => panic!(
                "step {index}: {fault}\n  repeat: ISTHMUS_SEED={seed} isthmus-fuzz connections --first {index} --count 1"
            ),
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    report.steps += steps;
    report.done.add(sum.into_inner().expect("none failed"));
    // The silent ones are closed now.
    report.done.silent.clear();
}

impl Watch {
    fn start(kafka: &Kafka) -> Self {
        let spec = spec();
        // Two, so that sessions of both shards meet, and the caches of the slots are soon full.
        let text = spec.yaml(&kafka.bootstrap());
        let text = text.replace("slots: 4", "slots: 2");
        let service = Service::start_with(kafka, spec, &text);
        let options = Options::new("witness").version(Version::V5);
        let mut witness = Client::connect(&service.address(), &options);
        witness.subscribe("witness/#", QoS::ExactlyOnce);
        Self {
            broker: service.broker(),
            service,
            witness,
            looks: 0,
        }
    }

    /// The broker lives, serves, and gives the witness its own messages alone.
    fn look(&mut self) {
        self.looks += 1;
        for (topic, qos) in [
            ("witness/1", QoS::AtLeastOnce),
            ("witness/2", QoS::ExactlyOnce),
        ] {
            let message = Outgoing {
                topic: topic.to_owned(),
                payload: format!("look {}", self.looks).into_bytes(),
                qos,
                ..Outgoing::default()
            };
            let code = self.witness.publish(&message);
            assert!(code < 0x80, "the witness's message is refused: {code:#x}");
            let found = self.witness.message();
            let same = found.topic == topic && found.payload == message.payload;
            assert!(same && found.qos == qos, "the witness got {found:?}");
        }
        self.witness.ping();
        // What is left is the PUBREL of the QoS 2 message.
        while let Some(event) = self.witness.poll(Duration::ZERO) {
            let own = matches!(event, Event::Ack(AckType::PubRel, ..));
            assert!(own, "the witness got more than its own: {event:?}");
        }
        assert_eq!(self.service.broker(), self.broker, "another broker process");
        let log = std::fs::read_to_string(self.service.broker_log(0));
        let log = log.expect("the broker's log");
        let panic = log.lines().find(|line| line.contains("panicked"));
        assert_eq!(panic, None, "the broker's log");
    }

    fn memory(&self) -> u64 {
        memory::resident(self.broker).expect("the broker runs")
    }

    /// Only the witness's connection is left.
    fn connections_end(&self) {
        eventually(
            "the witness's connection alone",
            isthmus_tests::SOON,
            || {
                let (_, text) = self.service.get("/metrics")?;
                text.lines()
                    .any(|line| line == "isthmus_connections 1")
                    .then_some(())
            },
        );
    }
}

impl Done {
    fn add(&mut self, other: Self) {
        self.connections += other.connections;
        self.answered += other.answered;
        self.closed += other.closed;
        self.welcomed += other.welcomed;
        self.packets += other.packets;
        self.silent.extend(other.silent);
    }
}

impl Report {
    /// Connections that the broker took.
    #[must_use]
    pub fn welcomed(&self) -> u64 {
        self.done.welcomed
    }

    /// Connections that the broker had to close, and did.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.done.closed
    }

    /// The report in words.
    #[must_use]
    pub fn text(&self) -> String {
        let Done {
            connections,
            answered,
            closed,
            welcomed,
            packets,
            ..
        } = &self.done;
        let mut text = format!(
            "{connections} connections in {:.1} s: {welcomed} welcomed, {answered} legal ones fully answered, \
             {closed} closed by the broker as they had to be; {packets} packets from the broker, all legal in both codecs",
            self.seconds
        );
        if self.memory.0 > 0 {
            let (warm, end) = self.memory;
            text.push_str(&format!(
                "; its memory {} after {WARM_UP}, {} at the end",
                memory::mib(warm),
                memory::mib(end)
            ));
        }
        text
    }
}
