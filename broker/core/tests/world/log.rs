//! What outlives the process.

use isthmus_core::Message;
use isthmus_core::record::{OWNER_KEY, RouteRecord, decode};
use isthmus_core::retained::Retained;
use isthmus_core::routes::Routes;
use isthmus_core::shard::{Position, Topic, Uplink, Write};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A record of a parent topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) client: String,
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) seq: u64,
}

/// A presence event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) connects: bool,
    pub(crate) client: String,
    pub(crate) ts: u64,
    pub(crate) connection: String,
    pub(crate) reason: Option<String>,
}

pub(crate) struct Log {
    pub(crate) inbox: Vec<BTreeMap<i64, Vec<u8>>>,
    end: Vec<i64>,
    pub(crate) position: Vec<i64>,
    pub(crate) state: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) routes: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) presence: Vec<Presence>,
    pub(crate) parents: BTreeMap<String, Vec<Stored>>,
    retained: BTreeMap<String, Arc<Message>>,
    /// One line each of what happened, for tests of order: `will:…`, `connect:…`.
    pub(crate) story: Vec<String>,
}

impl Log {
    pub(crate) fn new(slots: u16) -> Self {
        let n = usize::from(slots);
        Self {
            inbox: vec![BTreeMap::new(); n],
            end: vec![0; n],
            position: vec![0; n],
            state: vec![BTreeMap::new(); n],
            routes: vec![BTreeMap::new(); n],
            presence: Vec::new(),
            parents: BTreeMap::new(),
            retained: BTreeMap::new(),
            story: Vec::new(),
        }
    }

    pub(crate) fn store(&mut self, uplink: &Uplink) {
        let message = &uplink.message;
        let record = Stored {
            client: uplink.client_id.to_string(),
            topic: message.topic().to_owned(),
            payload: String::from_utf8_lossy(message.payload()).into_owned(),
            seq: uplink.seq,
        };
        self.story.push(format!("stored:{}", record.payload));
        self.parents
            .entry(uplink.parent.kafka_topic.clone())
            .or_default()
            .push(record);
    }

    pub(crate) fn write(&mut self, write: &Write) {
        let slot = || usize::from(write.slot.unwrap());
        match write.topic {
            Topic::State => change(&mut self.state[slot()], write),
            Topic::Routes => change(&mut self.routes[slot()], write),
            Topic::Inbox => {
                let slot = slot();
                self.inbox[slot].insert(self.end[slot], write.value.clone().unwrap());
                self.end[slot] += 1;
            }
            Topic::Connect | Topic::Disconnect => self.presence(write),
        }
    }

    fn presence(&mut self, write: &Write) {
        let header = |name: &str| {
            write
                .headers
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| v.clone())
        };
        let value: serde_json::Value =
            serde_json::from_slice(write.value.as_ref().unwrap()).unwrap();
        let connects = write.topic == Topic::Connect;
        let client = value["clientid"].as_str().unwrap().to_owned();
        let what = if connects { "connect" } else { "disconnect" };
        self.story.push(format!("{what}:{client}"));
        self.presence.push(Presence {
            connects,
            client,
            ts: value["ts"].as_u64().unwrap(),
            connection: header("connection").unwrap(),
            reason: header("reason"),
        });
    }

    /// A transaction's end takes an offset in every inbox that it wrote to, as Kafka's does.
    pub(crate) fn transaction(&mut self, writes: &[Write], positions: &[Position]) {
        for write in writes {
            self.write(write);
        }
        let mut slots: Vec<u16> = writes
            .iter()
            .filter(|w| w.topic == Topic::Inbox)
            .filter_map(|w| w.slot)
            .collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            self.end[usize::from(slot)] += 1;
        }
        for position in positions {
            let slot = usize::from(position.slot);
            assert!(
                position.next_offset <= self.end[slot],
                "a position past the end: {position:?}"
            );
            self.position[slot] = position.next_offset;
        }
    }

    /// As if so many records had been written to an inbox and deleted.
    pub(crate) fn skip(&mut self, slot: u16, records: i64) {
        self.end[usize::from(slot)] += records;
    }

    pub(crate) fn retain(&mut self, message: &Arc<Message>) {
        if message.payload().is_empty() {
            self.retained.remove(message.topic());
        } else {
            self.retained
                .insert(message.topic().to_owned(), message.clone());
        }
    }

    pub(crate) fn retained(&self) -> Retained {
        let mut retained = Retained::default();
        for (topic, message) in &self.retained {
            retained.logged(topic, None, None, Some(message.clone()));
        }
        retained
    }

    pub(crate) fn routes(&self) -> Routes {
        let mut routes = Routes::default();
        for (slot, records) in (0u16..).zip(&self.routes) {
            for (key, value) in records.iter().filter(|(key, _)| *key != OWNER_KEY) {
                let record: RouteRecord = decode(value).unwrap();
                routes.set(slot, std::str::from_utf8(key).unwrap(), record.kinds);
            }
        }
        routes
    }

    /// The first record at or after an offset.
    pub(crate) fn next(&self, slot: u16, from: i64) -> Option<(i64, Vec<u8>)> {
        self.inbox[usize::from(slot)]
            .range(from..)
            .next()
            .map(|(o, v)| (*o, v.clone()))
    }

    /// Payloads in a parent topic.
    pub(crate) fn payloads(&self, parent: &str) -> Vec<&str> {
        self.parents
            .get(parent)
            .into_iter()
            .flatten()
            .map(|r| &*r.payload)
            .collect()
    }

    /// Keys of the whole state.
    pub(crate) fn state_keys(&self) -> Vec<String> {
        let keys = self.state.iter().flat_map(BTreeMap::keys);
        keys.map(|key| String::from_utf8_lossy(key).into_owned())
            .collect()
    }

    /// Filters that are still routed.
    pub(crate) fn routed(&self) -> Vec<String> {
        let keys = self
            .routes
            .iter()
            .flat_map(BTreeMap::keys)
            .filter(|key| *key != OWNER_KEY);
        keys.map(|key| String::from_utf8_lossy(key).into_owned())
            .collect()
    }
}

fn change(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, write: &Write) {
    let key = write.key.clone().unwrap();
    match &write.value {
        Some(value) => drop(map.insert(key, value.clone())),
        None => drop(map.remove(&key)),
    }
}
