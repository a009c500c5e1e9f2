//! The kit of the tests: real Kafka, the real service through local mode, and clients.
//!
//! A test binary shares one Kafka ([`kafka::shared`]) and, where it changes nothing for the others,
//! one service ([`service::shared`]). Everything a test process starts or writes is gone when it
//! ends, however it ends ([`run`]). Nothing here waits for time to pass: every wait is for an event
//! and has a deadline ([`eventually`]).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "test code: a failed expectation is a failed test"
)]

pub mod chaos;
pub mod client;
pub mod cluster;
pub mod conformance;
pub mod kafka;
pub mod ledger;
pub mod parts;
pub mod records;
pub mod run;
pub mod service;
pub mod web;

use std::time::{Duration, Instant};

pub use client::{Client, Message, Options};
pub use isthmus_mqtt::{QoS, Version};
pub use kafka::Kafka;
pub use records::{Outgoing, Record, Tail};
pub use service::{Parent, Service, Spec, User};

/// How long a test waits for what must happen, unless it says otherwise. Far above what a healthy
/// service needs, so that a slow machine fails no test.
pub const SOON: Duration = Duration::from_secs(20);

/// Asks until there is an answer, at most for `within`; `what` names what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A name that no other test of this run uses, for clients, topics and users.
#[must_use]
pub fn unique(stem: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The seed of this run: `ISTHMUS_SEED`, or a new one. Printed, so that a failure shows it.
#[must_use]
pub fn seed() -> u64 {
    static SEED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *SEED.get_or_init(|| {
        let seed = std::env::var("ISTHMUS_SEED")
            .ok()
            .map_or_else(rand::random, |text| {
                text.parse().expect("ISTHMUS_SEED is a number")
            });
        eprintln!("seed: ISTHMUS_SEED={seed}");
        seed
    })
}
