//! What all devices of a run share: the address, the ledger, the phase, and who has made progress.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;

use super::ledger::Ledger;
use super::probe::Probes;
use super::wire::{Connection, Pace, Refusal, pause};
use crate::Options;
use crate::client::Welcome;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Receivers subscribe.
    Subscribing,
    /// Everyone does what he does.
    Running,
    /// Nothing new is sent; everyone stays connected, reads and acknowledges.
    Settling,
    /// Everyone goes.
    Over,
}

/// The world of the devices.
pub(super) struct World {
    /// Of every broker.
    pub(super) addresses: Vec<String>,
    pub(super) probes: Probes,
    pub(super) ledger: Ledger,
    pub(super) seed: u64,
    /// Between two messages of one sender.
    pub(super) period: Duration,
    phase: watch::Sender<Phase>,
    /// When somebody, or some kind of thing, last got on, in milliseconds of the run.
    progress: Mutex<BTreeMap<String, u64>>,
    refusals: Mutex<BTreeMap<u8, u64>>,
    pub(super) connections: AtomicU64,
    pub(super) takeovers: AtomicU64,
    pub(super) retained_checks: AtomicU64,
    pub(super) live_messages: AtomicU64,
}

impl World {
    pub(super) fn new(addresses: Vec<String>, ledger: Ledger, seed: u64, period: Duration) -> Self {
        Self {
            addresses,
            probes: Probes::default(),
            ledger,
            seed,
            period,
            phase: watch::channel(Phase::Subscribing).0,
            progress: Mutex::default(),
            refusals: Mutex::default(),
            connections: AtomicU64::new(0),
            takeovers: AtomicU64::new(0),
            retained_checks: AtomicU64::new(0),
            live_messages: AtomicU64::new(0),
        }
    }

    /// A device's own randomness: it follows from the seed and its name.
    pub(super) fn random(&self, name: &str) -> StdRng {
        let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        StdRng::seed_from_u64(name.bytes().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, mix))
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits for a phase.
    pub(super) async fn reaches(&self, phase: Phase) {
        let mut follow = self.phase.subscribe();
        // The sender lives as long as this.
        let _ = follow.wait_for(|now| *now >= phase).await;
    }

    /// Expects progress of `who` after every fault from now on.
    pub(super) fn follow(&self, who: &str) {
        let mut progress = self.progress.lock().unwrap();
        progress.entry(who.to_owned()).or_insert(0);
    }

    /// `who` got on; ignored where nobody follows it.
    pub(super) fn got_on(&self, who: &str) {
        self.got_as_far_as(who, self.ledger.now());
    }

    /// `who` got something that was sent at this time.
    pub(super) fn got_as_far_as(&self, who: &str, at: u64) {
        if let Some(last) = self.progress.lock().unwrap().get_mut(who) {
            *last = at.max(*last);
        }
    }

    /// Who has not got on since then.
    pub(super) fn lagging(&self, since: u64) -> Vec<String> {
        let progress = self.progress.lock().unwrap();
        let lagging = progress.iter().filter(|(_, last)| **last <= since);
        lagging.map(|(who, _)| who.clone()).collect()
    }

    /// A broker's address; they come in turn.
    pub(super) fn address(&self, turn: usize) -> &str {
        &self.addresses[turn % self.addresses.len()]
    }

    /// Tries one broker after the other until it is let in; `None` when the run is over.
    pub(super) async fn connect(
        &self,
        options: &Options,
        pace: Pace,
        random: &mut StdRng,
    ) -> Option<(Connection, Welcome)> {
        let mut broker = random.random_range(0..self.addresses.len());
        while self.phase() < Phase::Over {
            match Connection::open(self.address(broker), options, pace).await {
                Ok(opened) => {
                    self.connections.fetch_add(1, Ordering::Relaxed);
                    return Some(opened);
                }
                Err(refusal) => self.refused(&options.client_id, &refusal),
            }
            pause(random).await;
            broker += 1;
        }
        None
    }

    /// While the service cannot serve it says so; any other refusal is a broken promise.
    pub(super) fn refused(&self, who: &str, refusal: &Refusal) {
        if let Refusal::Code(code) = refusal {
            *self.refusals.lock().unwrap().entry(*code).or_default() += 1;
            // Server unavailable, server busy.
            if ![0x88, 0x89].contains(code) {
                self.ledger
                    .break_promise(format!("{who} is refused with {code:#04x}"));
            }
        }
    }

    pub(super) fn refusals(&self) -> BTreeMap<u8, u64> {
        self.refusals.lock().unwrap().clone()
    }
}
