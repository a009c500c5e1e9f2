//! A simulated world around the shards: a process of several, a log that outlives it, and MQTT
//! clients that speak bytes. Nothing happens by itself: every confirmation, commit, read and
//! fetch is a step that a test takes, at once ([`World::settle`]) or in the order of a seed.
#![allow(dead_code, unused_imports, reason = "each test crate uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod api;
mod client;
mod directory;
mod drive;
mod log;
mod perform;
mod steps;

pub(crate) use api::{Filter, Opts, Will};
pub(crate) use client::{Client, Got, Pub};
pub(crate) use directory::Rights;
pub(crate) use log::Log;
pub(crate) use steps::{Holds, Step};

use isthmus_core::retained::Retained;
use isthmus_core::routes::Routes;
use isthmus_core::shard::{Config, ConnId, Live, Shard, Token};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The process, its log and its clients.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) start: u64,
    pub(crate) shards: Vec<Shard>,
    pub(crate) slots: u16,
    pub(crate) session: isthmus_config::Session,
    pub(crate) limits: isthmus_config::Limits,
    pub(crate) routes: Routes,
    pub(crate) retained: Retained,
    pub(crate) rights: Rights,
    pub(crate) backlogged: bool,
    /// Nobody else retains messages.
    pub(crate) alone: bool,
    pub(crate) log: Log,
    pub(crate) clients: Vec<Client>,
    pub(crate) conns: BTreeMap<ConnId, Link>,
    pub(crate) holds: Holds,
    /// Downlink records that are done with, in order.
    pub(crate) done: Vec<(i32, i64, bool)>,
    /// Bodies that were fetched again.
    pub(crate) fetched: usize,
    /// What other pods were told and asked.
    pub(crate) peers: Peers,
    next_conn: u64,
    next_downlink: i64,
    retain_seq: u64,
    flights: steps::Flights,
    /// The inbox offset that each slot's reader is at.
    reading: Vec<i64>,
}

/// What goes to other pods: from which shard.
#[derive(Default)]
pub(crate) struct Peers {
    pub(crate) lives: Vec<(usize, u16, Live)>,
    pub(crate) syncs: Vec<(usize, Token)>,
}

/// A network connection: what the client has written and the server not yet read.
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) shard: usize,
    pub(crate) unread: VecDeque<Vec<u8>>,
    pub(crate) reads: bool,
    /// Its CONNECT has been read.
    pub(crate) admitted: bool,
    pub(crate) wait_until: u64,
}

/// Calls a shard with the world as its view, then does what it asks for.
macro_rules! with_shard {
    ($world:expr, $at:expr, |$shard:ident, $view:ident, $fx:ident| $body:expr) => {{
        let at: usize = $at;
        let mut effects: Vec<isthmus_core::shard::Effect> = Vec::new();
        let answer = {
            let world = &mut *$world;
            let $view = isthmus_core::shard::View {
                now: world.now,
                routes: &world.routes,
                retained: &world.retained,
                directory: &world.rights,
                backlogged: world.backlogged,
                alone: world.alone,
            };
            let $shard = &mut world.shards[at];
            let $fx = &mut effects;
            $body
        };
        $world.perform(at, effects);
        answer
    }};
}
pub(crate) use with_shard;

impl World {
    /// Two shards over four slots, generous limits, everybody may do everything.
    pub(crate) fn new() -> Self {
        Self::with(2, 4, |_, _| {})
    }

    /// The same where other pods serve the instance as well.
    pub(crate) fn beside_others() -> Self {
        Self::among(false, 2, 4, |_, _| {})
    }

    pub(crate) fn with(
        shards: u16,
        slots: u16,
        tune: impl FnOnce(&mut isthmus_config::Session, &mut isthmus_config::Limits),
    ) -> Self {
        Self::among(true, shards, slots, tune)
    }

    pub(crate) fn among(
        alone: bool,
        shards: u16,
        slots: u16,
        tune: impl FnOnce(&mut isthmus_config::Session, &mut isthmus_config::Limits),
    ) -> Self {
        let mut session = isthmus_config::Session {
            expiry_seconds: 7200,
            max_expiry_seconds: 86_400,
            max_queued_messages: 1000,
            max_queued_bytes: 1 << 20,
        };
        let mut limits = limits();
        tune(&mut session, &mut limits);
        let mut world = Self {
            now: 1_700_000_000_000,
            start: 0,
            shards: Vec::new(),
            slots,
            session,
            limits,
            routes: Routes::default(),
            retained: Retained::default(),
            rights: Rights::default(),
            backlogged: false,
            alone,
            log: Log::new(slots),
            clients: Vec::new(),
            conns: BTreeMap::new(),
            holds: Holds::default(),
            done: Vec::new(),
            fetched: 0,
            peers: Peers::default(),
            next_conn: 0,
            next_downlink: 0,
            retain_seq: 0,
            flights: steps::Flights::default(),
            reading: vec![0; usize::from(slots)],
        };
        world.boot(shards);
        world.settle();
        world
    }

    fn config(&self, shard: u16, shards: u16) -> Config {
        Config {
            shard,
            shards,
            slots: self.slots,
            node: Arc::from("pod-0"),
            start: self.start,
            session: self.session.clone(),
            limits: self.limits.clone(),
        }
    }

    /// A start of the process: caches from the log, then every slot. Each opens when its reader
    /// comes to the record that the restore has written.
    fn boot(&mut self, shards: u16) {
        self.start = self.now;
        self.shards = (0..shards)
            .map(|n| Shard::new(self.config(n, shards)))
            .collect();
        self.routes = self.log.routes();
        self.retained = self.log.retained();
        self.flights = steps::Flights::default();
        for slot in 0..self.slots {
            self.restore(slot);
        }
    }

    /// Takes a slot's state; its inbox is not yet read.
    pub(crate) fn restore(&mut self, slot: u16) {
        let at = usize::from(slot);
        let records: Vec<_> = self.log.state[at]
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let position = self.log.position[at];
        self.reading[at] = position;
        with_shard!(self, self.shard_of(slot), |shard, view, fx| {
            shard.restore(view, slot, position, &records, fx).unwrap();
        });
    }

    pub(crate) fn shard_of(&self, slot: u16) -> usize {
        usize::from(slot) % self.shards.len()
    }

    pub(crate) fn shard_for(&self, client_id: &str) -> usize {
        self.shard_of(isthmus_core::hash::slot(client_id, self.slots))
    }

    /// Everything in memory goes; `lands(n)` says whether write number n that was under way is
    /// in the log all the same. Of a transaction all or nothing.
    pub(crate) fn crash(&mut self, mut lands: impl FnMut(usize) -> bool) {
        self.land_some(&mut lands);
        self.conns.clear();
        for client in &mut self.clients {
            client.lost();
        }
        self.now += 1000;
        let shards = u16::try_from(self.shards.len()).unwrap();
        self.boot(shards);
    }

    /// A crash in which nothing under way is in the log, and the start after it.
    pub(crate) fn crash_now(&mut self) {
        self.crash(|_| false);
        self.settle();
    }

    /// Seconds pass, one tick each, with everything settled in between.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.tick(1000);
            self.settle();
        }
    }

    /// Time jumps, then every shard ticks once.
    pub(crate) fn tick(&mut self, ms: u64) {
        self.now += ms;
        for at in 0..self.shards.len() {
            with_shard!(self, at, |shard, view, fx| shard.tick(view, fx));
        }
    }

    pub(crate) fn directory_changed(&mut self) {
        for at in 0..self.shards.len() {
            with_shard!(self, at, |shard, view, fx| shard
                .directory_changed(view, fx));
        }
        self.settle();
    }
}

fn limits() -> isthmus_config::Limits {
    isthmus_config::Limits {
        max_packet_size: 2 << 20,
        max_payload_size: None,
        max_topic_length: 65_535,
        max_topic_levels: 128,
        max_client_id_length: 65_535,
        lengths_in_characters: false,
        max_subscriptions_per_client: 100,
        max_inflight: 64,
        max_connections: 1000,
        connect_rate: None,
        publish_rate_per_client: None,
        max_keep_alive_seconds: None,
        max_retained_messages: 1000,
        max_retained_bytes: 1 << 20,
        max_outgoing_bytes_per_client: 1 << 20,
        max_kafka_backlog_bytes: 1 << 20,
    }
}
