//! What waits for Kafka: a publish is acknowledged when every record that it caused is confirmed,
//! in the order of each connection, and a publisher's records keep their order over the two
//! producers (invariants 1 and 2).

use super::commit::Waiter;
use super::effect::{ConnId, Effect, Token, Topic, Transact, Write};
use super::session::Received;
use super::{Shard, View};
use crate::record::StateKey;
use crate::shard::connection::Ended;
use isthmus_mqtt::encode::ack;
use isthmus_mqtt::{AckType, QoS, ReasonCode, Version};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What is owed when all is confirmed.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// PUBACK or PUBREC.
    Publish { packet_id: u16, qos: QoS },
    /// PUBCOMP.
    Release { packet_id: u16 },
    /// The end of a will.
    Will(Arc<str>, u64),
    /// The commit of a downlink record's offset; whether anyone got it.
    Downlink {
        partition: i32,
        offset: i64,
        reached: bool,
    },
    /// The answer to a live message that went on to others, and how many it reached here.
    Live(usize),
    /// A QoS 2 publish whose session has ended meanwhile: its id must not stay in the changelog.
    Void(Arc<str>, u16),
    /// Nothing: only the publisher's order counts.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) waits: usize,
    pub(super) kind: Kind,
    /// The session that it is for, with its incarnation.
    pub(super) session: Option<(usize, u64)>,
    /// The connection that is owed the acknowledgement.
    pub(super) conn: Option<ConnId>,
    pub(super) reason: ReasonCode,
    /// The publisher whose lane it is in.
    pub(super) lane: Option<Arc<str>>,
    /// The slot whose client it is for.
    pub(super) slot: Option<u16>,
}

impl Pending {
    /// An acknowledgement that a connection is owed.
    pub(super) fn owed(kind: Kind, waits: usize, session: (usize, u64), conn: ConnId) -> Self {
        let (session, conn) = (Some(session), Some(conn));
        Self {
            waits,
            kind,
            session,
            conn,
            reason: ReasonCode::SUCCESS,
            lane: None,
            slot: None,
        }
    }
}

impl Shard {
    /// Registers what is waited for.
    pub(super) fn wait(&mut self, token: Token, kind: Kind, waits: usize, lane: Option<Arc<str>>) {
        let pending = Pending {
            waits,
            kind,
            session: None,
            conn: None,
            reason: ReasonCode::SUCCESS,
            lane,
            slot: None,
        };
        self.pending.insert(token, pending);
    }

    /// A record was stored, or refused for good with this reason.
    pub fn confirmed(
        &mut self,
        view: View<'_>,
        token: Token,
        outcome: Result<(), ReasonCode>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.pending.get_mut(&token) else {
            return;
        };
        pending.waits = pending.waits.saturating_sub(1);
        if let Err(reason) = outcome {
            if !pending.reason.is_error() {
                self.counters.refused_kafka += 1;
            }
            pending.reason = reason;
        }
        if pending.waits == 0 {
            self.complete(view, token, fx);
        }
    }

    /// A shard tells how many sessions a live message reached.
    pub fn live_answered(
        &mut self,
        view: View<'_>,
        token: Token,
        reached: usize,
        fx: &mut Vec<Effect>,
    ) {
        if let Some(pending) = self.pending.get_mut(&token)
            && let Kind::Downlink { reached: any, .. } = &mut pending.kind
        {
            *any |= reached > 0;
        }
        self.confirmed(view, token, Ok(()), fx);
    }

    fn complete(&mut self, view: View<'_>, token: Token, fx: &mut Vec<Effect>) {
        let Some(pending) = self.pending.get(&token) else {
            return;
        };
        let (kind, reason, lane) = (pending.kind.clone(), pending.reason, pending.lane.clone());
        let (session, conn) = (pending.session, pending.conn);
        let ours = session.filter(|(key, incarnation)| {
            self.sessions
                .get(*key)
                .is_some_and(|s| s.incarnation == *incarnation)
        });
        match kind {
            Kind::Publish { packet_id, qos } => {
                if let Some(session) = ours.and_then(|(key, _)| self.sessions.get_mut(key))
                    && qos == QoS::ExactlyOnce
                {
                    let storing =
                        session.received.get(&packet_id) == Some(&Received::Storing(token));
                    match (storing, reason.is_error()) {
                        (true, false) => drop(session.received.insert(packet_id, Received::Stored)),
                        (true, true) => drop(session.received.remove(&packet_id)),
                        (false, _) => {}
                    }
                }
                match conn.filter(|id| self.conns.get(id).is_some_and(|c| !c.closing)) {
                    Some(id) => self.pay(view, id, fx),
                    None => drop(self.pending.remove(&token)),
                }
            }
            Kind::Release { packet_id } => {
                self.pending.remove(&token);
                if let Some(session) = ours.and_then(|(key, _)| self.sessions.get_mut(key))
                    && session.received.get(&packet_id) == Some(&Received::Releasing(token))
                {
                    session.received.remove(&packet_id);
                }
                if let Some(id) = conn {
                    self.acknowledge(id, AckType::PubComp, packet_id, ReasonCode::SUCCESS);
                }
            }
            Kind::Will(client, id) => {
                self.pending.remove(&token);
                self.will_done(&client, id);
            }
            Kind::Downlink {
                partition,
                offset,
                reached,
            } => {
                self.pending.remove(&token);
                fx.push(Effect::DownlinkDone {
                    partition,
                    offset,
                    reached,
                });
            }
            Kind::Live(reached) => {
                self.pending.remove(&token);
                fx.push(Effect::Answer(token, reached));
            }
            Kind::Void(client, packet_id) => {
                self.pending.remove(&token);
                // Not before the end of its session is written: of a session that a crash brings
                // back it is still known.
                let slot = self.slot_of(&client);
                self.commit_for(slot, Waiter::Void(client, packet_id));
            }
            Kind::Nothing => drop(self.pending.remove(&token)),
        }
        if let Some(client) = lane {
            self.leave_lane(view, &client, reason, conn, fx);
        }
    }

    /// Writes the acknowledgements that are next in a connection's order.
    fn pay(&mut self, view: View<'_>, id: ConnId, fx: &mut Vec<Effect>) {
        loop {
            let Some(conn) = self.conns.get_mut(&id) else {
                return;
            };
            let Some(token) = conn.owed.front().copied() else {
                break;
            };
            let Some(pending) = self.pending.get(&token) else {
                conn.owed.pop_front();
                continue;
            };
            if pending.waits > 0 {
                break;
            }
            let (kind, reason, version) = (pending.kind.clone(), pending.reason, conn.version);
            conn.owed.pop_front();
            self.pending.remove(&token);
            let Kind::Publish { packet_id, qos } = kind else {
                continue;
            };
            // A 3.x client cannot be told that its message was refused (ruling 7).
            if reason.is_error() && version != Version::V5 && reason != ReasonCode::NOT_AUTHORIZED {
                return self.end(view, id, Ended::Protocol(reason), fx);
            }
            let kind = if qos == QoS::AtLeastOnce {
                AckType::PubAck
            } else {
                AckType::PubRec
            };
            self.acknowledge(id, kind, packet_id, reason);
        }
        if let Some(conn) = self.conns.get_mut(&id)
            && conn.owed.len() < super::publish::OWED_LOW
            && std::mem::take(&mut conn.owes_too_much)
        {
            fx.push(Effect::Resume(id));
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        id: ConnId,
        kind: AckType,
        packet_id: u16,
        reason: ReasonCode,
    ) {
        if let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.closing) {
            ack(&mut conn.outbox, conn.version, kind, packet_id, reason);
            self.touch(id);
        }
    }

    /// The connection is gone: a confirmed publish that it was to be told of is of no use.
    pub(super) fn forget_if_done(&mut self, token: Token) {
        if let Some(pending) = self.pending.get_mut(&token) {
            pending.conn = None;
            if pending.waits == 0 {
                self.pending.remove(&token);
            }
        }
    }

    /// Takes the id of a QoS 2 publish out of the changelog, by the producer that put it there,
    /// unless the client's next session uses it already.
    pub(super) fn forget_qos2(&mut self, client: &Arc<str>, packet_id: u16, fx: &mut Vec<Effect>) {
        let current = self
            .by_client
            .get(client)
            .and_then(|key| self.sessions.get(*key));
        if current.is_some_and(|s| s.durable && s.received.contains_key(&packet_id)) {
            return;
        }
        let slot = self.slot_of(client);
        if !self.slots.contains_key(&slot) {
            return;
        }
        let gone = Write {
            topic: Topic::State,
            slot: Some(slot),
            key: Some(StateKey::Qos2(packet_id, client).encode()),
            value: None,
            headers: Vec::new(),
        };
        let token = self.token();
        self.wait(token, Kind::Nothing, 1, None);
        if let Some(pending) = self.pending.get_mut(&token) {
            pending.slot = Some(slot);
        }
        fx.push(Effect::Transact(Transact {
            token,
            slot,
            uplinks: Vec::new(),
            writes: vec![gone],
        }));
    }

    /// A session ends: what it has under way leaves no trace when it is done.
    pub(super) fn void_qos2(&mut self, client: &Arc<str>, received: &FxHashMap<u16, Received>) {
        for (packet_id, received) in received {
            if let Received::Storing(token) = received
                && let Some(pending) = self.pending.get_mut(token)
            {
                pending.kind = Kind::Void(client.clone(), *packet_id);
            }
        }
    }
}
