//! What is written to Kafka: stored messages, internal records, states, and what belongs together.

use super::Kafka;
use super::answers::{NOBODY, shard_token};
use super::headers::with_uplink_headers;
use isthmus_core::shard::{Position, Token, Transact, Uplink, Write};
use isthmus_kafka::directory::Entry;
use isthmus_kafka::record::{OwnedRecord, Record};
use isthmus_kafka::transactor::{Change, TopicOffset};

impl Kafka {
    /// Stores a record in a parent topic.
    pub fn uplink(&self, shard: u16, token: Token, uplink: &Uplink) {
        with_uplink_headers(&self.process, shard, uplink, |headers| {
            self.producer.produce(
                shard_token(shard, token),
                &Record {
                    topic: &uplink.parent.kafka_topic,
                    partition: None,
                    key: Some(uplink.client_id.as_bytes()),
                    value: Some(&uplink.envelope),
                    headers,
                    timestamp: i64::try_from(uplink.ts).ok(),
                },
            );
        });
    }

    /// Writes a record of an internal topic.
    pub fn write(&self, shard: u16, token: Token, write: &Write) {
        self.producer.produce(
            shard_token(shard, token),
            &Record {
                topic: self.topics.of(write.topic),
                partition: write.slot.map(i32::from),
                key: write.key.as_deref(),
                value: write.value.as_deref(),
                headers: &[],
                timestamp: None,
            },
        );
    }

    /// Says something in the directory, in passing: nobody waits for it.
    pub fn say(&self, entry: &Entry) {
        let (key, value) = entry.encode();
        self.producer.produce(
            NOBODY,
            &Record {
                topic: &self.topics.names().directory(),
                partition: None,
                key: Some(key.as_bytes()),
                value: value.as_deref(),
                headers: &[],
                timestamp: None,
            },
        );
    }

    /// Copies a bad downlink record to the dead letter; `done` is called with the token.
    pub fn dead_letter(&self, token: u64, record: &OwnedRecord) {
        let headers: Vec<(&str, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(name, value)| (&**name, value.as_deref()))
            .collect();
        self.producer.produce(
            token,
            &Record {
                topic: &self.topics.dead_letter,
                partition: None,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
                timestamp: record.timestamp,
            },
        );
    }

    /// All of it or nothing, once: QoS 2 and ordered parents.
    pub fn transact(&self, shard: u16, transact: Transact) {
        let Transact {
            token,
            slot,
            uplinks,
            writes,
        } = transact;
        let uplinks = uplinks.into_iter().map(|uplink| OwnedRecord {
            topic: uplink.parent.kafka_topic.clone(),
            partition: None,
            key: Some(uplink.client_id.as_bytes().to_vec()),
            headers: with_uplink_headers(&self.process, shard, &uplink, |headers| {
                let owned = headers.iter();
                owned
                    .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
                    .collect()
            }),
            timestamp: i64::try_from(uplink.ts).ok(),
            value: Some(uplink.envelope),
        });
        let records = uplinks
            .chain(writes.iter().map(|write| self.owned(write)))
            .collect();
        // The generation is proved by an offset of its own: the inbox's belongs to the state.
        let proof = TopicOffset {
            topic: self.topics.routes.clone(),
            partition: i32::from(slot),
            offset: 0,
            owned_as: Some(self.topics.inbox().clone()),
        };
        self.exact.submit(Change {
            token: shard_token(shard, token),
            records,
            offsets: vec![proof],
        });
    }

    /// The state of slots with the positions that it belongs to.
    pub fn commit(&self, shard: u16, id: u64, positions: &[Position], writes: &[Write]) {
        let offsets = positions.iter().map(|position| TopicOffset {
            topic: self.topics.inbox().clone(),
            partition: i32::from(position.slot),
            offset: position.next_offset,
            owned_as: None,
        });
        let change = Change {
            token: shard_token(shard, id),
            records: writes.iter().map(|write| self.owned(write)).collect(),
            offsets: offsets.collect(),
        };
        self.states.submit(change);
    }

    fn owned(&self, write: &Write) -> OwnedRecord {
        OwnedRecord {
            topic: self.topics.of(write.topic).to_string(),
            partition: write.slot.map(i32::from),
            key: write.key.clone(),
            value: write.value.clone(),
            headers: write
                .headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), Some(v.clone().into_bytes())))
                .collect(),
            timestamp: None,
        }
    }
}
