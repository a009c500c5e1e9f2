//! A publisher's stored records go by two producers; its lane keeps their order over both (invariant 2).

use super::confirm::Kind;
use super::connection::Ended;
use super::effect::{ConnId, Effect, Transact};
use super::session::Received;
use super::{Shard, View};
use isthmus_mqtt::ReasonCode;
use std::collections::VecDeque;
use std::sync::Arc;

/// The ways into Kafka that a publisher's records take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Idempotent producer.
    Stream,
    /// Second transactional producer.
    Transaction,
    /// The same, one change at a time: ordered parents.
    Ordered,
}

/// Keeps a publisher's stored records in its order over the two producers.
#[derive(Debug, Default)]
pub(super) struct Lane {
    way: Option<Way>,
    out: usize,
    held: VecDeque<(Way, Effect)>,
}

impl Shard {
    /// Sends a stored record its way, or holds it while the publisher's earlier records go by
    /// the other producer.
    pub(super) fn enter_lane(
        &mut self,
        client: &Arc<str>,
        way: Way,
        effect: Effect,
        fx: &mut Vec<Effect>,
    ) {
        let lane = self.lanes.entry(client.clone()).or_default();
        let free = lane.out == 0 || (lane.way == Some(way) && way != Way::Ordered);
        if free && lane.held.is_empty() {
            lane.way = Some(way);
            lane.out += 1;
            fx.push(effect);
        } else {
            lane.held.push_back((way, effect));
        }
    }

    pub(super) fn leave_lane(
        &mut self,
        view: View<'_>,
        client: &Arc<str>,
        reason: ReasonCode,
        conn: Option<ConnId>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(lane) = self.lanes.get_mut(client) else {
            return;
        };
        lane.out = lane.out.saturating_sub(1);
        if lane.way == Some(Way::Ordered) && reason.is_error() {
            // What the device sent after a refused record must not overtake it.
            let dropped = std::mem::take(lane);
            self.lanes.remove(client);
            for (_, effect) in dropped.held {
                self.abandon(&effect);
            }
            let current = self
                .by_client
                .get(client)
                .and_then(|k| self.sessions.get(*k));
            if let Some(id) = conn.or(current.and_then(|s| s.conn)) {
                self.end(view, id, Ended::Protocol(reason), fx);
            }
            return;
        }
        release(lane, fx);
        if lane.out == 0 && lane.held.is_empty() {
            self.lanes.remove(client);
        }
    }

    /// What clients of the slot have sent and Kafka has not seen is nobody's promise: they send it again.
    pub(super) fn drop_held(&mut self, slot_no: u16) {
        let slots = self.config.slots;
        let of_slot = |client: &&Arc<str>| crate::hash::slot(client, slots) == slot_no;
        let clients: Vec<Arc<str>> = self.lanes.keys().filter(of_slot).cloned().collect();
        for client in clients {
            let Some(lane) = self.lanes.get_mut(&client) else {
                continue;
            };
            let held = std::mem::take(&mut lane.held);
            if lane.out == 0 {
                self.lanes.remove(&client);
            }
            for (_, effect) in held {
                // A will stays in the changelog.
                if let Effect::Uplink(token, _) | Effect::Transact(Transact { token, .. }) = &effect
                    && let Some(Kind::Will(..)) = self.pending.get(token).map(|found| &found.kind)
                {
                    self.pending.remove(token);
                }
                self.abandon(&effect);
            }
        }
    }

    fn abandon(&mut self, effect: &Effect) {
        let token = match effect {
            Effect::Uplink(token, _) | Effect::Transact(Transact { token, .. }) => *token,
            _ => return,
        };
        let Some(pending) = self.pending.remove(&token) else {
            return;
        };
        match (pending.kind, pending.session) {
            (Kind::Publish { packet_id, .. }, Some((key, _))) => {
                if let Some(session) = self.sessions.get_mut(key)
                    && session.received.get(&packet_id) == Some(&Received::Storing(token))
                {
                    session.received.remove(&packet_id);
                }
            }
            (Kind::Will(client, id), _) => self.will_done(&client, id),
            _ => {}
        }
    }
}

/// Lets the next held records go, as many as may go together.
fn release(lane: &mut Lane, fx: &mut Vec<Effect>) {
    while let Some((way, _)) = lane.held.front() {
        let way = *way;
        let free = lane.out == 0 || (lane.way == Some(way) && way != Way::Ordered);
        if !free {
            break;
        }
        let Some((_, effect)) = lane.held.pop_front() else {
            break;
        };
        lane.way = Some(way);
        lane.out += 1;
        fx.push(effect);
    }
}
