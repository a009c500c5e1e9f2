//! Serves the lanes that are held, and replaces a client that broke.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{Producer as _, PurgeConfig};

use super::lane::Next;
use super::{Builder, Handle};
use crate::support::{lock, read, write};

/// How long Kafka may take to say whether a topic is there.
const ASK: Duration = Duration::from_secs(2);
/// How often a client that still has records of a held lane is looked at: it may have broken.
const CHECK: Duration = Duration::from_millis(500);
/// How long a broken client may take to give back what it holds.
const GIVE_BACK: Duration = Duration::from_secs(5);

pub(super) fn start(
    builder: Builder,
    client: Arc<RwLock<Arc<Handle>>>,
    woken: Receiver<()>,
) -> Result<JoinHandle<()>, KafkaError> {
    thread::Builder::new()
        .name("kafka-producer".to_owned())
        .spawn(move || Supervisor { builder, client }.run(&woken))
        .map_err(|error| KafkaError::ClientCreation(error.to_string()))
}

struct Supervisor {
    builder: Builder,
    client: Arc<RwLock<Arc<Handle>>>,
}

impl Supervisor {
    fn run(&self, woken: &Receiver<()>) {
        let core = &self.builder.core;
        let mut next = None;
        loop {
            let wait = next.map(|at: Instant| at.saturating_duration_since(Instant::now()));
            let ended = match wait {
                Some(wait) => woken.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected),
                None => woken.recv().is_err(),
            };
            while woken.try_recv().is_ok() {}
            if ended || core.stop.load(Ordering::Acquire) {
                read(&self.client).end();
                return;
            }
            self.replace_broken();
            next = self.serve();
        }
    }

    /// Serves every held lane; gives when to come back at the latest.
    fn serve(&self) -> Option<Instant> {
        let core = &self.builder.core;
        let client = Arc::clone(&read(&self.client));
        let lanes = std::mem::take(&mut *lock(&core.held));
        let mut soonest: Option<Instant> = None;
        for lane in lanes {
            let due = loop {
                match lane.serve(core, &client.producer) {
                    Next::Open => break None,
                    Next::Wait => break Some(Instant::now() + CHECK),
                    Next::At(at) => break Some(at),
                    Next::Ask => lane.found(core, ask(&client, lane.topic())),
                }
                if core.stop.load(Ordering::Acquire) {
                    break Some(Instant::now());
                }
            };
            if let Some(at) = due {
                soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
                lock(&core.held).push(lane);
            }
        }
        soonest
    }

    /// A fatal error ends a client for good. What it held comes back to the lanes, in order, and a
    /// new one takes over.
    fn replace_broken(&self) {
        let core = &self.builder.core;
        let old = Arc::clone(&read(&self.client));
        let Some((code, reason)) = old.producer.client().fatal_error() else {
            return;
        };
        tracing::warn!(?code, %reason, "the Kafka producer broke; a new one repeats what it held");
        old.producer
            .purge(PurgeConfig::default().queue().inflight());
        let deadline = Instant::now() + GIVE_BACK;
        while old.producer.in_flight_count() > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        match self.builder.build() {
            Ok(new) => {
                *write(&self.client) = Arc::new(new);
                core.replacements.fetch_add(1, Ordering::Relaxed);
                old.end();
                let lanes = lock(&core.held).clone();
                lanes.iter().for_each(|lane| lane.hurry());
            }
            Err(error) => core
                .voice
                .warn("build", &format!("no new Kafka producer: {error}")),
        }
    }
}

/// Whether the topic is there now. Asking also makes librdkafka look again.
fn ask(client: &Handle, topic: &str) -> Result<(), String> {
    let metadata = client
        .producer
        .client()
        .fetch_metadata(Some(topic), ASK)
        .map_err(|error| error.to_string())?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    match found.map(|found| (found.error(), found.partitions().is_empty())) {
        Some((None, false)) => Ok(()),
        Some((Some(error), _)) => Err(Code::from(error).to_string()),
        Some((None, true)) | None => Err("the topic is not there".to_owned()),
    }
}
