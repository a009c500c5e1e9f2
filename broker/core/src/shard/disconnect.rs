//! The end of a connection and the end of a session.

use super::connect::presence;
use super::connection::Ended;
use super::effect::{ConnId, Effect, Topic, Write};
use super::session::Received;
use super::{Shard, View};
use crate::record::StateKey;
use isthmus_mqtt::{Disconnect, ReasonCode, Version};

impl Shard {
    /// DISCONNECT of the client.
    pub(super) fn disconnected(
        &mut self,
        view: View<'_>,
        id: ConnId,
        packet: &Disconnect<'_>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let (key, was_zero, v5) = (
            conn.session,
            conn.expiry_was_zero,
            conn.version == Version::V5,
        );
        if let Some(expiry) = packet.session_expiry.filter(|_| v5) {
            // Section 3.14.2.2.2: a session that was to end with its connection stays so.
            if was_zero && expiry > 0 {
                return self.end(view, id, Ended::Protocol(ReasonCode::PROTOCOL_ERROR), fx);
            }
            if let Some(session) = self.sessions.get_mut(key) {
                session.expiry = expiry.min(self.config.session.max_expiry_seconds);
                session.changed |= session.durable;
            }
        }
        self.finish(view, id, Ended::Client(packet.reason), fx);
    }

    /// The network connection is gone; the driver will not ask about it again.
    pub fn lost(&mut self, view: View<'_>, id: ConnId, fx: &mut Vec<Effect>) {
        self.finish(view, id, Ended::Lost, fx);
        self.conns.remove(&id);
    }

    /// A kick, by clientId. Yields whether the client was connected.
    pub fn kick(&mut self, view: View<'_>, client_id: &str, fx: &mut Vec<Effect>) -> bool {
        let key = self.by_client.get(client_id).copied();
        let conn = key
            .and_then(|key| self.sessions.get(key))
            .and_then(|s| s.conn);
        if let Some(id) = conn {
            self.end(view, id, Ended::Kicked, fx);
        }
        conn.is_some()
    }

    /// Parts connection and session; the connection's last bytes stay for the driver.
    pub(super) fn finish(&mut self, view: View<'_>, id: ConnId, why: Ended, fx: &mut Vec<Effect>) {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.closing) else {
            return;
        };
        conn.closing = true;
        let opened = conn.open;
        let key = std::mem::replace(&mut conn.session, usize::MAX);
        let (label, peer, protocol) = (
            std::mem::take(&mut conn.label),
            std::mem::take(&mut conn.peer),
            conn.protocol(),
        );
        for token in std::mem::take(&mut conn.owed) {
            self.forget_if_done(token);
        }
        fx.push(Effect::Close(id));
        self.parked
            .retain(|(_, _, connecting)| connecting.conn != id);
        self.commits.connacks.remove(&id);
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.conn = None;
        session.disconnected_at = Some(view.now);
        session.changed |= session.durable;
        session.mark_changed = true;
        session.resend.clear();
        if session.durable && session.expiry > 0 {
            session.live.drop_unsent();
        }
        let (client, slot_no) = (session.client_id.clone(), session.slot);
        let (expiry, incarnation, durable) = (session.expiry, session.incarnation, session.durable);
        let username = session.username.as_deref().unwrap_or_default().to_owned();
        let ts = self.presence_ts(&client, view.now);
        if let Some(slot) = self.slots.get_mut(&slot_no) {
            slot.dirty.insert(key);
            // What gathers for a commit is long when many come and go; it is searched only where
            // CONNACK was not said.
            let unsaid = match opened {
                true => None,
                false => slot.writes.iter().position(|w| is_connect_of(w, &label)),
            };
            match unsaid {
                // It was never told of its CONNACK: neither event is said.
                Some(at) => drop(slot.writes.remove(at)),
                None => slot.writes.push(presence(
                    Topic::Disconnect,
                    &client,
                    ts,
                    vec![
                        ("username", username),
                        ("peer", peer),
                        ("protocol", protocol.to_owned()),
                        ("node", self.config.node.to_string()),
                        ("connection", label),
                        ("reason", why.reason().to_owned()),
                    ],
                )),
            }
        }
        self.commits.note(slot_no);
        self.recount_shared(key, fx);
        // Before its will, so that it is not among those who get that.
        if !durable || expiry == 0 {
            self.end_session(view, key, fx);
        } else if expiry != u32::MAX {
            self.expiries
                .insert((view.now + u64::from(expiry) * 1000, key, incarnation));
        }
        let normal = why == Ended::Client(ReasonCode::NORMAL_DISCONNECTION);
        if normal || !opened {
            self.drop_will(&client);
        } else {
            self.release_will(view, &client, expiry, fx);
        }
    }

    /// A session that is to expire is resumed, or gone.
    pub(super) fn forget_expiry(&mut self, key: usize) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        if let Some(since) = session.disconnected_at {
            self.expiries.remove(&(
                since + u64::from(session.expiry) * 1000,
                key,
                session.incarnation,
            ));
        }
    }

    /// Sessions whose time has come (contract 5.2).
    pub(super) fn end_expired_sessions(&mut self, view: View<'_>, fx: &mut Vec<Effect>) {
        while let Some((at, key, incarnation)) = self.expiries.first().copied() {
            if at > view.now {
                break;
            }
            self.expiries.pop_first();
            let due = self
                .sessions
                .get(key)
                .filter(|s| s.incarnation == incarnation && s.conn.is_none());
            if due.is_some() {
                self.end_session(view, key, fx);
            }
        }
    }

    /// Ends a session for good: subscriptions, queue and everything the changelog has of it.
    pub(super) fn end_session(&mut self, view: View<'_>, key: usize, fx: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let client = session.client_id.clone();
        let slot_no = session.slot;
        let filters: Vec<Box<str>> = session.subs.keys().cloned().collect();
        // The Will Delay ends with the session (MQTT 5 section 3.1.3.2.2).
        self.hasten_will(view, &client, fx);
        self.hand_on_shared(view, key, fx);
        for filter in filters {
            self.set_sub(key, &filter, None, fx);
        }
        self.forget_expiry(key);
        let Some(session) = self.sessions.try_remove(key) else {
            return;
        };
        self.by_client.remove(&client);
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return;
        };
        slot.dirty.remove(&key);
        slot.waiting_for_bodies.remove(&key);
        let mut tombstone = |key: StateKey<'_>| {
            slot.writes.push(Write {
                topic: Topic::State,
                slot: Some(slot_no),
                key: Some(key.encode()),
                value: None,
                headers: Vec::new(),
            })
        };
        if session.marked {
            tombstone(StateKey::Mark(&client));
        }
        if session.stored {
            tombstone(StateKey::Session(&client));
            for chunk in session.queue.all_chunks() {
                tombstone(StateKey::Chunk(chunk, &client));
            }
        }
        if session.durable {
            for (id, received) in &session.received {
                if *received == Received::Stored {
                    tombstone(StateKey::Qos2(*id, &client));
                }
            }
            self.void_qos2(&client, &session.received);
        }
        self.commits.note(slot_no);
    }
}

fn is_connect_of(write: &Write, label: &str) -> bool {
    write.topic == Topic::Connect
        && write
            .headers
            .iter()
            .any(|(name, value)| *name == "connection" && value == label)
}
