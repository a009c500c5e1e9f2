//! Does what the shards ask for.

use super::steps::{Committing, Item, Pipe};
use super::{World, with_shard};
use isthmus_core::shard::{Effect, To, Topic};

impl World {
    /// Does what a shard asks for, in its order; then the clients get their bytes.
    pub(crate) fn perform(&mut self, at: usize, effects: Vec<Effect>) {
        let mut closing = Vec::new();
        for effect in effects {
            match effect {
                Effect::Uplink(token, uplink) => {
                    let pipe = Pipe::Parent(uplink.parent.kafka_topic.clone());
                    self.depart(pipe, at, Item::Uplink(token, uplink));
                }
                Effect::Write(token, write) => {
                    let slot = write.slot.unwrap();
                    let pipe = match write.topic {
                        Topic::Inbox => Pipe::Inbox(slot),
                        Topic::State => Pipe::State(slot),
                        other => panic!("a write to {other:?} outside a transaction"),
                    };
                    self.depart(pipe, at, Item::Write(token, write));
                }
                Effect::Transact(transact) => {
                    self.depart(Pipe::Exact, at, Item::Transact(transact))
                }
                Effect::Retain(token, word, message) => {
                    self.retain_seq += 1;
                    let kept = Some(message.clone()).filter(|m| !m.payload().is_empty());
                    let seq = self.retain_seq;
                    let word = self.retained.overlay(message.topic(), seq, word, kept);
                    self.depart(Pipe::Retained, at, Item::Retain(token, seq, word, message));
                }
                Effect::Commit {
                    id,
                    positions,
                    writes,
                } => {
                    let running = self.flights.commits.iter().any(|c| c.shard == at);
                    assert!(!running, "two commits of one shard at a time");
                    self.flights.commits.push(Committing {
                        shard: at,
                        id,
                        positions,
                        writes,
                        landed: false,
                    });
                }
                Effect::Live(To::Shard(to), live) => {
                    self.flights.lives.push_back((at, usize::from(to), live));
                }
                Effect::Live(To::Peer(peer), live) => self.peers.lives.push((at, peer, live)),
                Effect::Sync(token) => self.peers.syncs.push((at, token)),
                Effect::Route {
                    slot,
                    filter,
                    kinds,
                    number,
                } => self.routes.own(slot, &filter, kinds, number),
                Effect::Fetch(slot, offsets) => {
                    assert!(offsets.is_sorted(), "{offsets:?}");
                    self.flights.fetches.push_back((slot, offsets));
                }
                Effect::Opened(_) => {}
                Effect::Answer(token, reached) => {
                    if let Some(asker) = self.flights.asked.remove(&(at, token)) {
                        self.answer(asker, reached);
                    }
                }
                Effect::Refresh(token) => self.flights.refreshes.push_back((at, token)),
                Effect::Close(conn) => closing.push(conn),
                Effect::Resume(conn) => {
                    if let Some(link) = self.conns.get_mut(&conn) {
                        link.reads = true;
                    }
                }
                Effect::DownlinkDone {
                    partition,
                    offset,
                    reached,
                } => {
                    let again = self
                        .done
                        .iter()
                        .any(|(p, o, _)| (*p, *o) == (partition, offset));
                    assert!(!again, "downlink {offset} done twice");
                    self.done.push((partition, offset, reached));
                }
            }
        }
        self.drain(at);
        for conn in closing {
            self.hang_up(conn);
        }
        let mut more = Vec::new();
        self.shards[at].flush(&mut more, false);
        if !more.is_empty() {
            self.perform(at, more);
        }
    }

    fn depart(&mut self, pipe: Pipe, at: usize, item: Item) {
        self.flights
            .unlanded
            .entry(pipe)
            .or_default()
            .push_back((at, item));
    }
}
