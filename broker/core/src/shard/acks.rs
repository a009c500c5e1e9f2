//! Packets of a client once it is connected: the dispatch, and its acknowledgements of what it
//! was sent.

use super::commit::Waiter;
use super::confirm::{Kind, Pending};
use super::connection::{Ended, Flow};
use super::effect::{ConnId, Effect, Topic, Transact, Write};
use super::live::SentEntry;
use super::session::Received;
use super::{Shard, View};
use crate::queue::{DURABLE_IDS, State};
use crate::record::StateKey;
use isthmus_mqtt::encode::pingresp;
use isthmus_mqtt::{Ack, AckType, DecodeError, Packet, PacketType, QoS, ReasonCode};

impl Shard {
    /// A packet of a connection whose CONNACK has been said.
    pub fn received(
        &mut self,
        view: View<'_>,
        id: ConnId,
        packet: &Packet<'_>,
        fx: &mut Vec<Effect>,
    ) -> Flow {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.closing) else {
            return Flow::Close;
        };
        conn.last_received = view.now;
        match packet {
            Packet::Publish(publish) => return self.publish(view, id, publish, fx),
            Packet::PubAck(ack) => self.puback(view, id, ack, fx),
            Packet::PubRec(ack) => self.pubrec(view, id, ack, fx),
            Packet::PubRel(ack) => self.pubrel(id, ack, fx),
            Packet::PubComp(ack) => self.pubcomp(view, id, ack, fx),
            Packet::Subscribe(subscribe) => return self.subscribe(view, id, subscribe, fx),
            Packet::Unsubscribe(unsubscribe) => return self.unsubscribe(view, id, unsubscribe, fx),
            Packet::PingReq => {
                pingresp(&mut conn.outbox);
                self.touch(id);
            }
            Packet::Disconnect(disconnect) => {
                self.disconnected(view, id, disconnect, fx);
                return Flow::Close;
            }
            // A second CONNECT [MQTT-3.1.0-2], an AUTH without a method agreed on, or a packet
            // that only a server sends.
            Packet::Connect(_)
            | Packet::Auth(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp => {
                return self.protocol_error(view, id, ReasonCode::PROTOCOL_ERROR, fx);
            }
        }
        Flow::Go
    }

    /// Bytes that are no packet.
    pub fn malformed(
        &mut self,
        view: View<'_>,
        id: ConnId,
        error: &DecodeError,
        fx: &mut Vec<Effect>,
    ) {
        let code = error.reason_code();
        // What only a CONNACK may say of a CONNECT: here it is a second one, [MQTT-3.1.0-2].
        let code = match code.is_legal_in(PacketType::Disconnect) {
            true => code,
            false => ReasonCode::PROTOCOL_ERROR,
        };
        self.end(view, id, Ended::Protocol(code), fx);
    }

    fn puback(&mut self, view: View<'_>, id: ConnId, ack: &Ack<'_>, fx: &mut Vec<Effect>) {
        self.acknowledged(
            view,
            id,
            ack.packet_id,
            |qos, released| qos == QoS::AtLeastOnce && !released,
            fx,
        );
    }

    fn pubcomp(&mut self, view: View<'_>, id: ConnId, ack: &Ack<'_>, fx: &mut Vec<Effect>) {
        self.acknowledged(
            view,
            id,
            ack.packet_id,
            |qos, released| qos == QoS::ExactlyOnce && released,
            fx,
        );
    }

    /// The last word about a message sent: it leaves the queue.
    fn acknowledged(
        &mut self,
        view: View<'_>,
        id: ConnId,
        packet_id: u16,
        fits: impl Fn(QoS, bool) -> bool,
        fx: &mut Vec<Effect>,
    ) {
        let Some(key) = self.conns.get(&id).map(|conn| conn.session) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let counted;
        if u64::from(packet_id) <= DURABLE_IDS {
            let found = session.queue.find(packet_id);
            let Some((seq, _)) = found.filter(|(_, e)| fits(e.qos(), e.state() == State::Released))
            else {
                return;
            };
            session.queue.finish(seq);
            counted = !session.resend.contains(&seq);
            session.resend.retain(|s| *s != seq);
            let slot_no = session.slot;
            if let Some(slot) = self.slots.get_mut(&slot_no) {
                slot.dirty.insert(key);
            }
            self.commits.note(slot_no);
        } else {
            let of_kind = |sent: &SentEntry| fits(sent.entry.share.qos, sent.released);
            let Some(gone) = session.live.finish(packet_id, of_kind) else {
                return;
            };
            counted = !gone.resend;
        }
        // What this connection has not been sent again does not count against its window.
        if let Some(conn) = self.conns.get_mut(&id).filter(|_| counted) {
            conn.inflight = conn.inflight.saturating_sub(1);
        }
        self.pump(view, key, fx);
    }

    fn pubrec(&mut self, view: View<'_>, id: ConnId, ack: &Ack<'_>, fx: &mut Vec<Effect>) {
        let packet_id = ack.packet_id;
        if ack.reason.is_error() {
            // Section 4.3.3: the receiver does not want it; there is no PUBREL.
            return self.acknowledged(view, id, packet_id, |qos, _| qos == QoS::ExactlyOnce, fx);
        }
        let Some(key) = self.conns.get(&id).map(|conn| conn.session) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if u64::from(packet_id) <= DURABLE_IDS
            && let Some((seq, entry)) = session
                .queue
                .find(packet_id)
                .filter(|(_, e)| e.qos() == QoS::ExactlyOnce)
        {
            let slot_no = session.slot;
            if entry.state() == State::Sent {
                session.queue.release(seq);
                if let Some(slot) = self.slots.get_mut(&slot_no) {
                    slot.dirty.insert(key);
                }
                self.commit_for(
                    slot_no,
                    Waiter::PubRel {
                        conn: id,
                        packet_id,
                    },
                );
            } else if !self.commits.owes_pubrel(id, packet_id) {
                self.acknowledge(id, AckType::PubRel, packet_id, ReasonCode::SUCCESS);
            }
            return;
        }
        let live = session.live.get_mut(packet_id);
        let reason = match live.filter(|sent| sent.entry.share.qos == QoS::ExactlyOnce) {
            Some(sent) => {
                sent.released = true;
                ReasonCode::SUCCESS
            }
            None => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
        };
        self.acknowledge(id, AckType::PubRel, packet_id, reason);
    }

    /// The client lets go of a QoS 2 message that it sent.
    fn pubrel(&mut self, id: ConnId, ack: &Ack<'_>, fx: &mut Vec<Effect>) {
        let packet_id = ack.packet_id;
        let Some(key) = self.conns.get(&id).map(|conn| conn.session) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        match session.received.get(&packet_id).copied() {
            Some(Received::Stored) => {}
            // Said again on a new connection: that one is told.
            Some(Received::Releasing(token)) => {
                if let Some(pending) = self.pending.get_mut(&token) {
                    pending.conn = Some(id);
                }
                return;
            }
            Some(Received::Storing(_)) | None => {
                let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
                return self.acknowledge(id, AckType::PubComp, packet_id, reason);
            }
        }
        if !session.durable {
            session.received.remove(&packet_id);
            return self.acknowledge(id, AckType::PubComp, packet_id, ReasonCode::SUCCESS);
        }
        let (slot, of) = (session.slot, (key, session.incarnation));
        let gone = Write {
            topic: Topic::State,
            slot: Some(slot),
            key: Some(StateKey::Qos2(packet_id, &session.client_id).encode()),
            value: None,
            headers: Vec::new(),
        };
        let token = self.token();
        if let Some(session) = self.sessions.get_mut(key) {
            session
                .received
                .insert(packet_id, Received::Releasing(token));
        }
        self.pending.insert(
            token,
            Pending {
                waits: 1,
                kind: Kind::Release { packet_id },
                session: Some(of),
                conn: Some(id),
                reason: ReasonCode::SUCCESS,
                lane: None,
                slot: Some(slot),
            },
        );
        fx.push(Effect::Transact(Transact {
            token,
            slot,
            uplinks: Vec::new(),
            writes: vec![gone],
        }));
    }
}
