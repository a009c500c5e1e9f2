//! What the core asks for, done.

use super::Worker;
use crate::shared::{Event, From};
use isthmus_core::ownership;
use isthmus_core::shard::{Effect, To};
use isthmus_kafka::failpoint;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Worker {
    pub(super) fn perform(&mut self) {
        if self.fx.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.fx);
        for effect in effects.drain(..) {
            self.perform_one(effect);
        }
        // Nothing above makes new ones; the buffer is used again.
        self.fx = effects;
    }

    fn perform_one(&mut self, effect: Effect) {
        let shared = &self.shared;
        let number = self.number;
        let Some(kafka) = shared.kafka.get() else {
            tracing::error!("an effect before Kafka's clients are there");
            return;
        };
        match effect {
            Effect::Uplink(token, uplink) => {
                self.measured.record_leaves(token);
                kafka.uplink(number, token, &uplink);
            }
            Effect::Write(token, write) => kafka.write(number, token, &write),
            Effect::Transact(transact) => kafka.transact(number, transact),
            Effect::Commit {
                id,
                positions,
                writes,
            } => {
                self.measured.commit_begins();
                kafka.commit(number, id, &positions, &writes);
            }
            Effect::Live(To::Peer(peer), live) => shared.links.live(shared, number, peer, &live),
            Effect::Sync(token) => shared.links.sync(shared, number, token),
            Effect::Live(To::Shard(shard), live) => {
                let size = live.message.size() as u64;
                let from = From::Shard(number, live.answer);
                shared.live_bytes.fetch_add(size, Ordering::Relaxed);
                shared.tell(usize::from(shard), Event::Live(from, Box::new(live)));
            }
            Effect::Answer(token, reached) => {
                if let Some(from) = self.asked.remove(&token) {
                    from.answer(shared, reached);
                }
            }
            Effect::Route {
                slot,
                filter,
                kinds,
                number,
            } => {
                shared.routes.write().own(slot, &filter, kinds, number);
                shared.links.route(shared, slot, &filter, kinds, number);
            }
            Effect::Retain(token, word, message) => {
                let seq = shared.retained_seq.fetch_add(1, Ordering::Relaxed);
                let kept = (!message.payload().is_empty()).then(|| Arc::clone(&message));
                let mut retained = shared.retained.write();
                let word = retained.overlay(message.topic(), seq, word, kept);
                drop(retained);
                kafka.retain(number, token, seq, word, &message);
            }
            Effect::Refresh(token) => shared.fresh.ask(number, token),
            Effect::Fetch(slot, offsets) => kafka.fetch(slot, offsets),
            Effect::Close(id) => {
                if let Some(link) = self.links.get(&id) {
                    link.close();
                }
            }
            Effect::Resume(id) => {
                if let Some(link) = self.links.get(&id) {
                    link.resume();
                }
            }
            Effect::Opened(slot) => {
                // Its `!owner` is in a commit that follows.
                failpoint::hit("open", "inbox");
                shared.tell_ownership(ownership::Event::Opened(slot));
            }
            Effect::DownlinkDone {
                partition,
                offset,
                reached,
            } => {
                crate::bridge::done(shared, partition, offset, reached);
            }
        }
    }
}
