//! Records on their way to Kafka and from it.

use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Header, Message as _, OwnedHeaders};

/// What a record costs in memory besides its bytes.
const OVERHEAD: usize = 128;
/// What a header costs besides its value.
const HEADER_OVERHEAD: usize = 32;

/// A record to be stored, borrowed for the call alone.
#[derive(Clone, Debug, Default)]
pub struct Record<'a> {
    /// Kafka topic.
    pub topic: &'a str,
    /// Partition; absent: by the key's hash (`murmur2_random`).
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; absent: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Milliseconds since 1970; absent: now.
    pub timestamp: Option<i64>,
}

impl Record<'_> {
    /// What it counts for in a backlog.
    #[must_use]
    pub fn weight(&self) -> u64 {
        weight(
            self.key.map_or(0, <[u8]>::len),
            self.value.map_or(0, <[u8]>::len),
            self.headers
                .iter()
                .map(|(_, value)| value.map_or(0, <[u8]>::len)),
        )
    }
}

/// A record to be stored that owns its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Kafka topic.
    pub topic: String,
    /// Partition; absent: by the key's hash (`murmur2_random`).
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; absent: a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970; absent: now.
    pub timestamp: Option<i64>,
}

impl OwnedRecord {
    /// What it counts for in a backlog.
    #[must_use]
    pub fn weight(&self) -> u64 {
        weight(
            self.key.as_ref().map_or(0, Vec::len),
            self.value.as_ref().map_or(0, Vec::len),
            self.headers
                .iter()
                .map(|(_, value)| value.as_ref().map_or(0, Vec::len)),
        )
    }
}

/// A record read from Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Kafka topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; absent: a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order; what is not UTF-8 in a name is replaced.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Message {
    /// What it counts for in a backlog.
    #[must_use]
    pub fn weight(&self) -> u64 {
        weight(
            self.key.as_ref().map_or(0, Vec::len),
            self.value.as_ref().map_or(0, Vec::len),
            self.headers
                .iter()
                .map(|(_, value)| value.as_ref().map_or(0, Vec::len)),
        )
    }
}

/// Copies messages out of librdkafka; topic names are shared.
#[derive(Debug, Default)]
pub(crate) struct Copier {
    topics: Vec<Arc<str>>,
}

impl Copier {
    pub(crate) fn copy(&mut self, message: &BorrowedMessage<'_>) -> Message {
        let mut headers = Vec::new();
        isthmus_kafka_ffi::for_each_header(message, |name, value| {
            headers.push((
                String::from_utf8_lossy(name).into_owned(),
                value.map(<[u8]>::to_vec),
            ));
        });
        Message {
            topic: self.topic(message.topic()),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }

    fn topic(&mut self, name: &str) -> Arc<str> {
        if let Some(topic) = self.topics.iter().find(|topic| &***topic == name) {
            return Arc::clone(topic);
        }
        let topic = Arc::from(name);
        self.topics.push(Arc::clone(&topic));
        topic
    }
}

/// Headers as librdkafka takes them; none for none.
pub(crate) fn headers<'a>(
    of: impl ExactSizeIterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> Option<OwnedHeaders> {
    if of.len() == 0 {
        return None;
    }
    let mut headers = OwnedHeaders::new_with_capacity(of.len());
    for (key, value) in of {
        headers = headers.insert(Header { key, value });
    }
    Some(headers)
}

/// What a message in a delivery report counted for when it was given to librdkafka.
pub(crate) fn reported_weight(message: &BorrowedMessage<'_>) -> u64 {
    let mut values = 0;
    let mut count = 0;
    isthmus_kafka_ffi::for_each_header(message, |_, value| {
        values += value.map_or(0, <[u8]>::len);
        count += 1;
    });
    let (key, value) = (message.key_len(), message.payload_len());
    (key + value + values + OVERHEAD + count * HEADER_OVERHEAD) as u64
}

fn weight(key: usize, value: usize, headers: impl Iterator<Item = usize>) -> u64 {
    let headers: usize = headers.map(|value| value + HEADER_OVERHEAD).sum();
    (key + value + headers + OVERHEAD) as u64
}
