//! A ledger of what was sent, acknowledged and received, kept by clients that never give up.
//!
//! A [`Publisher`] numbers its messages and, whatever happens to the service, connects again and
//! repeats what was not acknowledged, as the standard asks. A [`Subscriber`] holds a persistent
//! session and notes every message it takes. The verdicts compare both with Kafka.

mod load;
mod publisher;
mod subscriber;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use load::Load;
pub use publisher::{Published, Publisher};
pub use subscriber::{Received, Subscriber};

use crate::{Client, Options, Record, Tail};

/// The longest that anything may take to recover.
pub const RECOVERY: Duration = Duration::from_secs(90);

/// Connects as soon as the service lets in; `None` when `give_up` says so or nothing came of it in time.
fn connect(address: &str, options: &Options, mut give_up: impl FnMut() -> bool) -> Option<Client> {
    let deadline = Instant::now() + RECOVERY;
    while Instant::now() < deadline && !give_up() {
        if let Ok(client) = Client::try_connect(address, options) {
            return Some(client);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// Connects as soon as the service lets in, as any device does.
#[track_caller]
#[must_use]
pub fn let_in(address: &str, options: &Options) -> Client {
    match connect(address, options, || false) {
        Some(client) => client,
        None => panic!("{}: no connection within {RECOVERY:?}", options.client_id),
    }
}

/// Payload of a publisher's message: its number, and a filling that makes sizes differ.
fn payload(number: u64) -> Vec<u8> {
    let filling = usize::try_from(number * 37 % 400).unwrap();
    format!("{number}:{}", "x".repeat(filling)).into_bytes()
}

fn number(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).expect("a ledger's payload");
    text.split(':')
        .next()
        .and_then(|number| number.parse().ok())
        .expect("a ledger's number")
}

/// The numbers of a publisher's records in Kafka, in the order of the partition, up to `last`.
#[track_caller]
#[must_use]
pub fn stored(tail: &mut Tail, client_id: &str, last: u64) -> Vec<u64> {
    let of = |record: &Record| {
        number(
            record.json()["payload"]
                .as_str()
                .expect("payload")
                .as_bytes(),
        )
    };
    let found = tail.keyed_until(client_id, |record| of(record) == last);
    found.iter().map(of).collect()
}

/// Panics unless every number from 0 to `last` is there, first occurrences in order.
#[track_caller]
pub fn assert_complete_in_order(what: &str, numbers: &[u64], last: u64) {
    let mut next = 0;
    for (at, found) in numbers.iter().enumerate() {
        assert!(
            *found <= next,
            "{what}: {next} is missing or late: {found} came first, at {at}"
        );
        next = next.max(found + 1);
    }
    assert_eq!(next, last + 1, "{what}: {next} and what follows is missing");
}

/// Panics unless every number from 0 to `last` is there exactly once, in order.
#[track_caller]
pub fn assert_exactly_once(what: &str, numbers: &[u64], last: u64) {
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    for found in numbers {
        *times.entry(*found).or_default() += 1;
    }
    let repeated: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(repeated.is_empty(), "{what}: more than once: {repeated:?}");
    assert_complete_in_order(what, numbers, last);
}
