//! What an ordinary consumer of committed records finds in the parent topics.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::ledger::{Ledger, Promise};
use crate::{SOON, records};

/// Longer than a transaction that its producer left open.
const PATIENCE: Duration = Duration::from_secs(40);

/// Where a message stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) number: usize,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// By stream, in the order of the records.
pub(super) type Stored = HashMap<usize, Vec<Place>>;

/// Reads the parent topics from their beginning until all that has to be there was found, or no more
/// comes. A record that does not say what its device sent is a broken promise.
pub(super) fn read(ledger: &Ledger, bootstrap: &str, prefix: &str, parents: &[&str]) -> Stored {
    let mut config = records::config(bootstrap);
    let consumer: BaseConsumer = config
        .set("enable.partition.eof", "true")
        .create()
        .expect("consumer");
    let mut assignment = TopicPartitionList::new();
    let mut open = HashSet::new();
    for parent in parents {
        let topic = format!("{prefix}{parent}");
        let metadata = consumer.fetch_metadata(Some(&topic), SOON);
        for partition in metadata.expect("metadata").topics()[0].partitions() {
            assignment
                .add_partition_offset(&topic, partition.id(), Offset::Beginning)
                .expect("offset");
            open.insert((topic.clone(), partition.id()));
        }
    }
    let partitions = open.len();
    consumer.assign(&assignment).expect("assign");
    let mut stored = Stored::new();
    let mut ended = 0;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => enter(ledger, prefix, &message, &mut stored),
            // The end of a partition; it may be one that an open transaction hides the rest of.
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(_)) => {}
            None => {
                let complete = ended >= partitions && lost(ledger, &stored).is_empty();
                if complete || Instant::now() >= deadline {
                    return stored;
                }
            }
        }
    }
}

/// Stream and number of what is acknowledged and not stored.
pub(super) fn lost(ledger: &Ledger, stored: &Stored) -> Vec<(usize, usize)> {
    let mut lost = Vec::new();
    for (at, stream) in ledger.streams.iter().enumerate() {
        let found: HashSet<usize> = stored
            .get(&at)
            .into_iter()
            .flatten()
            .map(|place| place.number)
            .collect();
        for (number, sent) in stream.state().sent.iter().enumerate() {
            let due = sent.promise == Promise::Given && stream.stored_in(number).is_some();
            if due && !found.contains(&number) {
                lost.push((at, number));
            }
        }
    }
    lost
}

fn enter(ledger: &Ledger, prefix: &str, message: &BorrowedMessage<'_>, stored: &mut Stored) {
    let value = message.payload().unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(value).unwrap_or_default();
    let text = |key: &str| json[key].as_str().unwrap_or_default();
    let key = message.key().unwrap_or_default();
    let parent = message.topic().strip_prefix(prefix);
    let found = ledger.identify(text("payload").as_bytes());
    let sound = found.is_some_and(|(stream, number)| {
        let stream = &ledger.streams[stream];
        stream.client == text("clientId")
            && key == stream.client.as_bytes()
            && stream.topic(number) == text("topic")
            && stream.stored_in(number) == parent
    });
    let place = (message.partition(), message.offset());
    match found {
        Some((stream, number)) if sound => stored.entry(stream).or_default().push(Place {
            number,
            partition: place.0,
            offset: place.1,
        }),
        _ => {
            let value = String::from_utf8_lossy(value);
            let what = format!(
                "stored wrongly in {} at {place:?}: {value}",
                message.topic()
            );
            ledger.break_promise(what);
        }
    }
}
