//! PUBLISH of a client: limits, rights, then the ways of architecture section 4: (a) the parent
//! topic, (b) live subscribers, (c) the inboxes of slots with durable ones.

use super::confirm::{Kind, Pending};
use super::connection::Flow;
use super::effect::{ConnId, Effect, Token, Topic, Transact, Write};
use super::limits::resolve_alias;
use super::route::Manner;
use super::session::Received;
use super::uplink::Stored;
use super::{Shard, View};
use crate::message::Message;
use crate::record::{Qos2Record, StateKey, encode};
use isthmus_mqtt::{AckType, Publish, QoS, ReasonCode, Version};
use std::sync::Arc;

/// Unacknowledged publishes past which a connection is not read (3.x has no Receive Maximum).
pub(super) const OWED_HIGH: usize = 4096;
/// Below this it is read again.
pub(super) const OWED_LOW: usize = 2048;

impl Shard {
    pub(super) fn publish(
        &mut self,
        view: View<'_>,
        id: ConnId,
        packet: &Publish<'_>,
        fx: &mut Vec<Effect>,
    ) -> Flow {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Flow::Close;
        };
        let (key, version) = (conn.session, conn.version);
        if let Some(count) = self.counters.received.get_mut(packet.qos as usize) {
            *count += 1;
        }
        let topic = match resolve_alias(conn, packet) {
            Ok(topic) => topic,
            Err(reason) => return self.protocol_error(view, id, reason, fx),
        };
        let Some(session) = self.sessions.get(key) else {
            return Flow::Close;
        };
        let client = session.client_id.clone();
        let of = (key, session.incarnation);
        if packet.qos == QoS::ExactlyOnce
            && let Some(known) = session.received.get(&packet.packet_id).copied()
            && !matches!(known, Received::Releasing(_))
        {
            return self.published_again(id, of, packet.packet_id, known);
        }
        let most = usize::from(self.config.limits.max_inflight.clamp(1, 32_767));
        if version == Version::V5
            && packet.qos > QoS::AtMostOnce
            && self.in_flight(id, key, most) >= most
        {
            return self.protocol_error(view, id, ReasonCode::RECEIVE_MAXIMUM_EXCEEDED, fx);
        }
        let refusal = self.refusal(key, &topic, packet);
        let message = self.message(view, &client, &topic, packet);
        let stored = match refusal {
            None => self.stored(view, &client, &message),
            Some(_) => Ok(None),
        };
        let reason = match (refusal, &stored) {
            (Some(reason), _) => reason,
            (None, Err(reason)) => *reason,
            (None, Ok(_)) => ReasonCode::SUCCESS,
        };
        if reason.is_error() {
            return self.refuse_publish(view, id, of, packet, reason, fx);
        }
        let stored = stored.unwrap_or_default();
        let message = Arc::new(message);
        match packet.qos {
            QoS::AtMostOnce => self.publish_qos0(view, &client, &message, stored, fx),
            QoS::AtLeastOnce => {
                self.publish_qos1(view, id, of, packet.packet_id, &message, stored, fx)
            }
            QoS::ExactlyOnce => {
                self.publish_qos2(view, id, of, packet.packet_id, &message, stored, fx)
            }
        }
        self.rate(view, id)
    }

    /// Publishes of a connection that it holds to be unacknowledged; not counted past `most` where
    /// a cheaper estimate stays below.
    fn in_flight(&self, id: ConnId, key: usize, most: usize) -> usize {
        let Some(conn) = self.conns.get(&id) else {
            return 0;
        };
        let Some(session) = self.sessions.get(key) else {
            return 0;
        };
        let received = session
            .received
            .values()
            .filter(|r| !matches!(r, Received::Releasing(_)))
            .count();
        if conn.owed.len() + received < most {
            return conn.owed.len() + received;
        }
        // A QoS 2 publish stands among those owed and among those received.
        let twice = conn.owed.iter().filter_map(|token| self.pending.get(token)).filter(|p| {
            matches!(p.kind, Kind::Publish { packet_id, qos: QoS::ExactlyOnce } if session.received.contains_key(&packet_id))
        });
        conn.owed.len() + received - twice.count().min(received)
    }

    /// A QoS 2 message that came before is not taken again [MQTT-4.3.3-10].
    fn published_again(
        &mut self,
        id: ConnId,
        of: (usize, u64),
        packet_id: u16,
        known: Received,
    ) -> Flow {
        match known {
            Received::Releasing(_) => {}
            // Behind those that are owed before it [MQTT-4.6.0-3].
            Received::Stored => {
                let kind = Kind::Publish {
                    packet_id,
                    qos: QoS::ExactlyOnce,
                };
                let token = self.token();
                self.owe(token, id, Pending::owed(kind, 0, of, id));
            }
            Received::Storing(token) => {
                if let Some(pending) = self.pending.get_mut(&token)
                    && pending.conn != Some(id)
                {
                    pending.conn = Some(id);
                    if let Some(conn) = self.conns.get_mut(&id) {
                        conn.owed.push_back(token);
                    }
                }
            }
        }
        Flow::Go
    }

    fn message(
        &self,
        view: View<'_>,
        client: &Arc<str>,
        topic: &str,
        packet: &Publish<'_>,
    ) -> Message {
        let mut forwarded = Vec::new();
        // What came as properties can be written as properties.
        if packet.properties.encode_forwarded(&mut forwarded).is_err() {
            forwarded.clear();
        }
        let mut message = Message::new(topic, &forwarded, packet.payload);
        message.qos = packet.qos;
        message.retain = packet.retain;
        message.publisher = client.clone();
        message.expires_at = packet
            .properties
            .expiry
            .map(|s| view.now + u64::from(s) * 1000);
        message
    }

    fn publish_qos0(
        &mut self,
        view: View<'_>,
        client: &Arc<str>,
        message: &Arc<Message>,
        stored: Option<Stored>,
        fx: &mut Vec<Effect>,
    ) {
        if let Some(stored) = stored {
            if view.backlogged {
                self.counters.dropped_backlog += 1;
            } else {
                let token = self.token();
                self.wait(token, Kind::Nothing, 1, Some(client.clone()));
                let (way, uplink) = self.uplink(view, client, message, stored);
                let effect = self.by_way(way, token, client, uplink, Vec::new());
                self.enter_lane(client, way, effect, fx);
            }
        }
        self.retain(view, None, message, fx);
        self.route(view, message, Manner::default(), fx);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "who, what and where of one publish"
    )]
    fn publish_qos1(
        &mut self,
        view: View<'_>,
        id: ConnId,
        of: (usize, u64),
        packet_id: u16,
        message: &Arc<Message>,
        stored: Option<Stored>,
        fx: &mut Vec<Effect>,
    ) {
        let token = self.token();
        let client = message.publisher.clone();
        let routed = self.route(view, message, Manner::acknowledged(token), fx);
        let mut waits = routed.writes.len() + routed.answers;
        let lane = stored.as_ref().map(|_| client.clone());
        if let Some(stored) = stored {
            let (way, uplink) = self.uplink(view, &client, message, stored);
            let effect = self.by_way(way, token, &client, uplink, Vec::new());
            self.enter_lane(&client, way, effect, fx);
            waits += 1;
        }
        fx.extend(
            routed
                .writes
                .into_iter()
                .map(|write| Effect::Write(token, write)),
        );
        waits += self.retain(view, Some(token), message, fx);
        let kind = Kind::Publish {
            packet_id,
            qos: QoS::AtLeastOnce,
        };
        self.owe(
            token,
            id,
            Pending {
                lane,
                ..Pending::owed(kind, waits, of, id)
            },
        );
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "who, what and where of one publish"
    )]
    fn publish_qos2(
        &mut self,
        view: View<'_>,
        id: ConnId,
        of: (usize, u64),
        packet_id: u16,
        message: &Arc<Message>,
        stored: Option<Stored>,
        fx: &mut Vec<Effect>,
    ) {
        let token = self.token();
        let client = message.publisher.clone();
        let routed = self.route(view, message, Manner::acknowledged(token), fx);
        let mut writes = routed.writes;
        let Some(session) = self.sessions.get_mut(of.0) else {
            return;
        };
        session.received.insert(packet_id, Received::Storing(token));
        if session.durable {
            writes.push(Write {
                topic: Topic::State,
                slot: Some(session.slot),
                key: Some(StateKey::Qos2(packet_id, &client).encode()),
                value: Some(encode(&Qos2Record {
                    incarnation: session.incarnation,
                })),
                headers: Vec::new(),
            });
        }
        let slot = session.slot;
        let transacts = !writes.is_empty() || stored.is_some();
        let mut waits = usize::from(transacts) + routed.answers;
        let mut lane = None;
        if let Some(stored) = stored {
            let (way, uplink) = self.uplink(view, &client, message, stored);
            let effect = Effect::Transact(Transact {
                token,
                slot,
                uplinks: vec![uplink],
                writes,
            });
            lane = Some(client.clone());
            self.enter_lane(&client, way, effect, fx);
        } else if transacts {
            fx.push(Effect::Transact(Transact {
                token,
                slot,
                uplinks: Vec::new(),
                writes,
            }));
        }
        waits += self.retain(view, Some(token), message, fx);
        let kind = Kind::Publish {
            packet_id,
            qos: QoS::ExactlyOnce,
        };
        if waits == 0
            && let Some(session) = self.sessions.get_mut(of.0)
        {
            session.received.insert(packet_id, Received::Stored);
        }
        self.owe(
            token,
            id,
            Pending {
                lane,
                ..Pending::owed(kind, waits, of, id)
            },
        );
    }

    /// Owes an acknowledgement; it is paid at once when nothing is waited for or owed before it.
    pub(super) fn owe(&mut self, token: Token, id: ConnId, mut pending: Pending) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if pending.waits == 0
            && conn.owed.is_empty()
            && let Kind::Publish { packet_id, qos } = pending.kind
        {
            let ack = if qos == QoS::AtLeastOnce {
                AckType::PubAck
            } else {
                AckType::PubRec
            };
            return self.acknowledge(id, ack, packet_id, pending.reason);
        }
        conn.owed.push_back(token);
        conn.owes_too_much |= conn.owed.len() >= OWED_HIGH;
        let session = self.sessions.get(conn.session);
        pending.slot = session.map(|session| session.slot);
        self.pending.insert(token, pending);
    }
}
