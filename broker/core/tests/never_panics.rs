//! No sequence of packets, confirmations and records makes a shard panic (invariant 8), sensible
//! or not: packets come on connections that wait, are closing or never were, tokens are made up.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

#[path = "never_panics/events.rs"]
mod events;

use events::{Event, FILTERS, event, version, with_packet};
use isthmus_core::acl::{Acl, Action};
use isthmus_core::record::InboxRecord;
use isthmus_core::retained::Retained;
use isthmus_core::routes::Routes;
use isthmus_core::shard::{
    Config, ConnId, Connecting, Directory, Downlink, Effect, Ended, Live, Parent, Shard, Topic,
    View, Write,
};
use isthmus_mqtt::{QoS, ReasonCode};
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Default)]
struct Rights {
    deleted: bool,
}

impl Directory for Rights {
    fn parent(&self, first_level: &str) -> Option<Arc<Parent>> {
        let ordered = first_level.starts_with("orderMsg2mq-");
        let parent = Parent {
            kafka_topic: first_level.to_owned(),
            ordered,
            max_message_bytes: 50_000,
        };
        (ordered || first_level == "p").then(|| Arc::new(parent))
    }

    fn acl(&self, _: Option<&str>, client_id: &str) -> Acl {
        let rules: &[(&str, Action)] = if self.deleted {
            &[("t", Action::Pub)]
        } else {
            &[("#", Action::PubSub)]
        };
        Acl::bind(rules.iter().copied(), "", client_id)
    }

    fn is_user(&self, _: &str) -> bool {
        !self.deleted
    }
}

struct Rig {
    shard: Shard,
    routes: Routes,
    retained: Retained,
    rights: Rights,
    now: u64,
    waiting: Vec<Effect>,
    /// Values for inboxes and state that the shard itself has written.
    inbox: Vec<Vec<u8>>,
    state: Vec<(Vec<u8>, Vec<u8>)>,
    seq: u64,
}

fn outcome(refused: bool) -> Result<(), ReasonCode> {
    if refused {
        Err(ReasonCode::QUOTA_EXCEEDED)
    } else {
        Ok(())
    }
}

impl Rig {
    fn new() -> Self {
        let config: isthmus_config::Limits = serde_json::from_value(serde_json::json!({
            "maxPacketSize": 100_000, "maxTopicLength": 40, "maxTopicLevels": 4, "maxClientIdLength": 40,
            "maxSubscriptionsPerClient": 5, "maxInflight": 4, "maxConnections": 100,
            "maxRetainedMessages": 3, "maxRetainedBytes": 1000, "maxOutgoingBytesPerClient": 2000,
            "maxKafkaBacklogBytes": 1000, "publishRatePerClient": 5,
        }))
        .unwrap();
        let session = isthmus_config::Session {
            expiry_seconds: 100,
            max_expiry_seconds: u32::MAX,
            max_queued_messages: 5,
            max_queued_bytes: 1000,
        };
        let (shard, now) = (0, 1_700_000_000_000);
        let config = Config {
            shard,
            shards: 2,
            slots: 4,
            node: Arc::from("n"),
            start: now,
            session,
            limits: config,
        };
        let shard = Shard::new(config);
        let (routes, retained) = (Routes::default(), Retained::default());
        let (rights, waiting) = (Rights::default(), Vec::new());
        let mut rig = Self {
            shard,
            routes,
            retained,
            rights,
            now,
            waiting,
            inbox: Vec::new(),
            state: Vec::new(),
            seq: 0,
        };
        for slot in 0..4 {
            rig.call(|shard, view, fx| drop(shard.restore(view, slot, 0, &[], fx)));
        }
        let opened = rig.inbox.pop().unwrap();
        for slot in 0..4 {
            rig.call(|shard, view, fx| drop(shard.inbox(view, slot, 0, &opened, fx)));
        }
        rig
    }

    fn call<T>(&mut self, with: impl FnOnce(&mut Shard, View<'_>, &mut Vec<Effect>) -> T) -> T {
        let mut effects = Vec::new();
        let view = View {
            now: self.now,
            routes: &self.routes,
            retained: &self.retained,
            directory: &self.rights,
            backlogged: self.now.is_multiple_of(2),
            alone: self.now.is_multiple_of(3),
        };
        let answer = with(&mut self.shard, view, &mut effects);
        self.shard.flush(&mut effects, false);
        for effect in effects {
            self.effect(effect);
        }
        answer
    }

    fn keep(&mut self, write: &Write) {
        match (write.topic, write.value.clone()) {
            (Topic::Inbox, Some(value)) => self.inbox.push(value),
            (Topic::State, Some(value)) => self.state.push((write.key.clone().unwrap(), value)),
            _ => {}
        }
    }

    fn effect(&mut self, effect: Effect) {
        match &effect {
            Effect::Route {
                slot,
                filter,
                kinds,
                number,
            } => return self.routes.own(*slot, filter, *kinds, *number),
            Effect::Write(_, write) => self.keep(&write.clone()),
            Effect::Transact(transact) => transact.writes.clone().iter().for_each(|w| self.keep(w)),
            Effect::Commit { writes, .. } => writes.clone().iter().for_each(|w| self.keep(w)),
            Effect::Retain(_, word, message) => {
                self.seq += 1;
                let kept = Some(message.clone()).filter(|m| !m.payload().is_empty());
                self.retained
                    .overlay(message.topic(), self.seq, *word, kept);
            }
            _ => {}
        }
        self.waiting.push(effect);
    }

    fn answer(&mut self, nth: usize, refused: bool) {
        if self.waiting.is_empty() {
            return;
        }
        let effect = self.waiting.remove(nth.min(self.waiting.len() - 1));
        let token = match effect {
            Effect::Uplink(token, _)
            | Effect::Write(token, _)
            | Effect::Retain(Some(token), ..) => token,
            Effect::Transact(transact) => transact.token,
            Effect::Commit { id, .. } if refused => return self.shard.fenced(id),
            Effect::Commit { id, .. } => {
                return self.call(|shard, view, fx| shard.committed(view, id, fx));
            }
            Effect::Live(_, live) => return self.live(&live),
            Effect::Close(conn) => return self.call(|shard, view, fx| shard.lost(view, conn, fx)),
            Effect::Fetch(slot, offsets) => return self.bodies(slot, &offsets, nth),
            Effect::Refresh(token) if !refused => {
                return self.call(|shard, view, fx| shard.refreshed(view, token, fx));
            }
            _ => return,
        };
        self.call(|shard, view, fx| shard.confirmed(view, token, outcome(refused), fx));
    }

    fn live(&mut self, live: &Live) {
        self.call(|shard, view, fx| shard.live(view, live, fx));
        if let Some(token) = live.answer {
            self.call(|shard, view, fx| shard.live_answered(view, token, 1, fx));
        }
    }

    fn bodies(&mut self, slot: u16, offsets: &[i64], nth: usize) {
        let inbox = &self.inbox;
        let value = |n: usize| inbox.get(nth.wrapping_add(n) % (inbox.len() + 1)).cloned();
        let found: Vec<_> = offsets
            .iter()
            .enumerate()
            .map(|(n, offset)| (*offset, value(n)))
            .collect();
        self.call(|shard, view, fx| drop(shard.bodies(view, slot, &found, fx)));
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Packet { conn, .. } => {
                let conn = ConnId(*conn);
                self.call(|shard, view, fx| {
                    with_packet(event, |packet| {
                        shard.received(view, conn, packet, fx);
                    });
                });
            }
            Event::Connect { .. } => self.connect(event),
            Event::Lost(conn) => self.call(|shard, view, fx| shard.lost(view, ConnId(*conn), fx)),
            Event::Written(conn) => self.call(|shard, view, fx| {
                if let Some(outbox) = shard.outbox(ConnId(*conn)) {
                    outbox.clear();
                }
                shard.written(view, ConnId(*conn), fx);
            }),
            Event::Answer { nth, refused } => self.answer(*nth, *refused),
            Event::Confirmed { token, refused } => {
                self.call(|shard, view, fx| shard.confirmed(view, *token, outcome(*refused), fx));
            }
            Event::Committed(id) => self.call(|shard, view, fx| shard.committed(view, *id, fx)),
            Event::Fenced(id) => self.shard.fenced(*id),
            Event::LiveAnswered(token) => {
                self.call(|shard, view, fx| shard.live_answered(view, *token, 0, fx))
            }
            Event::Inbox { slot, offset, nth } => {
                if let Some(value) = self.inbox.get(nth % self.inbox.len().max(1)).cloned() {
                    self.call(|shard, view, fx| {
                        drop(shard.inbox(view, *slot, *offset, &value, fx))
                    });
                }
            }
            Event::Bytes {
                slot,
                offset,
                bytes,
            } => {
                self.call(|shard, view, fx| drop(shard.inbox(view, *slot, *offset, bytes, fx)));
                let record = isthmus_core::record::decode::<InboxRecord<'_>>(bytes);
                drop(record);
            }
            Event::Bodies { slot, offsets, nth } => self.bodies(*slot, offsets, *nth),
            Event::Suspend(slot) => self.shard.suspend_slot(*slot),
            Event::Resume(slot) => {
                self.call(|shard, view, fx| {
                    let _ = shard.resume_slot(view, *slot, fx);
                });
            }
            Event::Drop(slot) => self.call(|shard, view, fx| shard.drop_slot(view, *slot, fx)),
            Event::Close(slot) => self.call(|shard, view, fx| shard.close_slot(view, *slot, fx)),
            Event::Restore {
                slot,
                position,
                nth,
            } => {
                self.call(|shard, view, fx| shard.drop_slot(view, *slot, fx));
                let from = nth % (self.state.len() + 1);
                let records: Vec<_> = self.state[from..].iter().take(20).cloned().collect();
                self.call(|shard, view, fx| {
                    drop(shard.restore(view, *slot, *position, &records, fx))
                });
            }
            Event::Downlink {
                filter,
                qos,
                online,
            } => {
                let topic = FILTERS[usize::from(*filter) % FILTERS.len()].to_owned();
                let qos = QoS::from_bits(*qos).unwrap();
                let record = Downlink {
                    partition: 0,
                    offset: 0,
                    topic,
                    qos,
                    only_online: *online,
                    payload: vec![1],
                };
                self.call(|shard, view, fx| shard.downlink(view, &record, fx));
            }
            Event::Time(ms) => {
                self.now += ms;
                self.call(|shard, view, fx| shard.tick(view, fx));
            }
            Event::Directory { deleted } => {
                self.rights.deleted = *deleted;
                self.call(|shard, view, fx| shard.directory_changed(view, fx));
            }
            Event::Kick(client) => {
                self.call(|shard, view, fx| shard.kick(view, &format!("c{client}"), fx));
            }
            Event::EndAll => {
                self.call(|shard, view, fx| shard.end_all(view, Ended::ServerShutdown, fx))
            }
        }
    }

    fn connect(&mut self, event: &Event) {
        let Event::Connect {
            conn,
            client,
            version: number,
            clean,
            expiry,
            will,
            window,
            most,
        } = event
        else {
            return;
        };
        let message = || Arc::new(isthmus_core::Message::new("p/w", &[], b"gone"));
        let connecting = Connecting {
            conn: ConnId(*conn),
            client_id: Arc::from(format!("c{client}")),
            assigned: false,
            username: clean.then(|| Arc::from("u")),
            peer: String::new(),
            version: version(*number),
            clean_start: *clean,
            keep_alive: u16::from(*client),
            will: will.then(|| (message(), expiry.unwrap_or(0))),
            session_expiry: *expiry,
            receive_maximum: *window,
            maximum_packet_size: *most,
            problem_information: true,
        };
        // The driver never uses an id again.
        self.call(|shard, view, fx| shard.lost(view, ConnId(*conn), fx));
        self.call(|shard, view, fx| shard.connect(view, connecting, fx));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_comes_in_whatever_order(events in prop::collection::vec(event(), 1..200)) {
        let mut rig = Rig::new();
        for event in &events {
            rig.take(event);
        }
    }
}
