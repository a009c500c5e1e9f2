//! CONNECT: takeover, resumption or a new session, and the CONNACK once what it promises is
//! committed (contract 5.6, architecture section 4).

use super::commit::Waiter;
use super::connection::{Conn, Ended};
use super::effect::{ConnId, Effect, Topic, Write};
use super::session::Session;
use super::slot::Phase;
use super::{Shard, View};
use crate::message::Message;
use isthmus_mqtt::{ConnAck, Connect, Packet, ReasonCode, Version};
use std::sync::Arc;

/// How long a CONNECT waits for its slot or its commit, ms.
const PATIENCE: u64 = 15_000;
/// Topic aliases that a client may set.
pub(super) const TOPIC_ALIASES: u16 = 32;

/// An authenticated CONNECT.
#[derive(Clone, Debug)]
pub struct Connecting {
    /// Its connection.
    pub conn: ConnId,
    /// ClientId, assigned where the client sent none.
    pub client_id: Arc<str>,
    /// The server made the clientId.
    pub assigned: bool,
    /// `None`: anonymous.
    pub username: Option<Arc<str>>,
    /// Peer address.
    pub peer: String,
    /// Protocol version.
    pub version: Version,
    /// Clean Start, or cleanSession.
    pub clean_start: bool,
    /// Keep Alive, seconds.
    pub keep_alive: u16,
    /// Will and its delay in seconds.
    pub will: Option<(Arc<Message>, u32)>,
    /// Session Expiry Interval (MQTT 5).
    pub session_expiry: Option<u32>,
    /// Receive Maximum.
    pub receive_maximum: Option<u16>,
    /// Maximum Packet Size.
    pub maximum_packet_size: Option<u32>,
    /// Request Problem Information.
    pub problem_information: bool,
}

impl Connecting {
    /// Takes what a shard needs from a CONNECT.
    #[must_use]
    pub fn new(
        conn: ConnId,
        packet: &Connect<'_>,
        client_id: &str,
        username: Option<Arc<str>>,
        peer: String,
    ) -> Self {
        let client_id: Arc<str> = Arc::from(client_id);
        let will = packet.will.as_ref().map(|will| {
            let mut forwarded = Vec::new();
            // What came as properties can be written as properties.
            if will.properties.encode_forwarded(&mut forwarded).is_err() {
                forwarded.clear();
            }
            let mut message = Message::new(will.topic, &forwarded, will.payload);
            message.qos = will.qos;
            message.retain = will.retain;
            message.publisher = client_id.clone();
            // Counted from its publication; until then this is the interval itself, ms.
            message.expires_at = will.properties.expiry.map(|s| u64::from(s) * 1000);
            (Arc::new(message), will.delay)
        });
        Self {
            conn,
            assigned: packet.client_id.is_empty(),
            client_id,
            username,
            peer,
            version: packet.version,
            clean_start: packet.clean_start,
            keep_alive: packet.keep_alive,
            will,
            session_expiry: packet.session_expiry,
            receive_maximum: packet.receive_maximum,
            maximum_packet_size: packet.maximum_packet_size,
            problem_information: packet.request_problem_information,
        }
    }
}

impl Shard {
    /// An authenticated CONNECT of one of this shard's slots. Reading goes on at
    /// [`Effect::Resume`].
    pub fn connect(&mut self, view: View<'_>, connecting: Connecting, fx: &mut Vec<Effect>) {
        let mut conn = Conn::new(usize::MAX, connecting.version, view.now);
        conn.peer.clone_from(&connecting.peer);
        self.conns.insert(connecting.conn, conn);
        let slot = self.slot_of(&connecting.client_id);
        if self
            .slots
            .get(&slot)
            .is_some_and(|s| !matches!(s.phase, Phase::Restoring | Phase::Closing))
        {
            self.admit(view, connecting, fx);
        } else {
            self.parked.push((view.now + PATIENCE, slot, connecting));
        }
    }

    /// The CONNECTs that waited for a slot.
    pub(super) fn admit_parked(&mut self, view: View<'_>, slot: u16, fx: &mut Vec<Effect>) {
        let (now, later) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|p| p.1 == slot);
        self.parked = later;
        let now: Vec<_> = now;
        for (_, _, connecting) in now {
            self.admit(view, connecting, fx);
        }
    }

    fn admit(&mut self, view: View<'_>, connecting: Connecting, fx: &mut Vec<Effect>) {
        if !self.conns.contains_key(&connecting.conn) {
            return;
        }
        self.end_expired_sessions(view, fx);
        let client = connecting.client_id.clone();
        let before = self
            .by_client
            .get(&client)
            .and_then(|key| self.sessions.get(*key));
        if let Some(old) = before.and_then(|session| session.conn) {
            self.end(view, old, Ended::TakenOver, fx);
        }
        let mut must_commit = false;
        if let Some(key) = self.by_client.get(&client).copied()
            && connecting.clean_start
        {
            must_commit = self
                .sessions
                .get(key)
                .is_some_and(|s| s.stored || s.durable);
            self.end_session(view, key, fx);
        }
        let present = self.by_client.contains_key(&client);
        let key = match self.by_client.get(&client) {
            Some(key) => *key,
            None => self.new_session(&connecting),
        };
        if present {
            self.cancel_will(view, &client);
        }
        let expiry = self.expiry_of(&connecting);
        let acl = view.directory.acl(connecting.username.as_deref(), &client);
        self.forget_expiry(key);
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.expiry = expiry;
        session.disconnected_at = None;
        session.username.clone_from(&connecting.username);
        session.acl = acl;
        session.conn = Some(connecting.conn);
        session.changed |= session.durable;
        session.mark_changed = true;
        session.resend = session.queue.window().map(|(seq, _)| seq).collect();
        session.live.reconnect();
        let durable = session.durable;
        let slot = session.slot;
        self.attach(view, key, slot, &connecting);
        self.refresh_rights(key, fx);
        self.recount_shared(key, fx);
        if let Some((will, delay)) = connecting.will {
            must_commit = true;
            self.set_will(&client, will, delay, connecting.username);
        }
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.dirty.insert(key);
        }
        let (id, assigned) = (connecting.conn, connecting.assigned);
        let connack = Waiter::ConnAck {
            conn: id,
            present,
            assigned,
            asked: connecting.session_expiry,
            keep_alive: connecting.keep_alive,
        };
        if durable || must_commit {
            self.commits.connacks.insert(id, view.now + PATIENCE);
            self.commit_for(slot, connack);
        } else {
            self.commits.note(slot);
            self.open(view, id, &connack, fx);
        }
    }

    fn new_session(&mut self, connecting: &Connecting) -> usize {
        let client = connecting.client_id.clone();
        let slot = self.slot_of(&client);
        let incarnation = self.incarnation();
        let expiry = self.expiry_of(connecting);
        let session = Session::new(client.clone(), slot, incarnation, expiry);
        let key = self.sessions.insert(session);
        self.by_client.insert(client, key);
        key
    }

    /// Contract 5.1, 5.2.
    fn expiry_of(&self, connecting: &Connecting) -> u32 {
        let bounds = &self.config.session;
        match connecting.version {
            Version::V5 => connecting
                .session_expiry
                .unwrap_or(0)
                .min(bounds.max_expiry_seconds),
            Version::V31 | Version::V311 if connecting.clean_start => 0,
            Version::V31 | Version::V311 => bounds.expiry_seconds.max(1),
        }
    }

    fn attach(&mut self, view: View<'_>, key: usize, slot: u16, connecting: &Connecting) {
        let ts = self.presence_ts(&connecting.client_id, view.now);
        let label = format!(
            "{}-{:x}-{}",
            self.config.node, self.config.start, connecting.conn.0
        );
        let keep_alive = self.keep_alive(connecting.keep_alive);
        let ours = self.config.limits.max_inflight.clamp(1, 32_767);
        let Some(conn) = self.conns.get_mut(&connecting.conn) else {
            return;
        };
        conn.session = key;
        conn.patience = u64::from(keep_alive) * 1500;
        conn.last_received = view.now;
        conn.window = connecting.receive_maximum.unwrap_or(u16::MAX).min(ours);
        conn.max_packet = connecting
            .maximum_packet_size
            .map_or(usize::MAX, |n| n as usize);
        conn.problem_information = connecting.problem_information;
        conn.expiry_was_zero = connecting.session_expiry.unwrap_or(0) == 0;
        conn.connected_ts = ts;
        conn.label.clone_from(&label);
        let headers = vec![
            (
                "username",
                connecting
                    .username
                    .as_deref()
                    .unwrap_or_default()
                    .to_owned(),
            ),
            ("peer", connecting.peer.clone()),
            ("protocol", conn.protocol().to_owned()),
            ("node", self.config.node.to_string()),
            ("connection", label),
        ];
        let event = presence(Topic::Connect, &connecting.client_id, ts, headers);
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.writes.push(event);
        }
    }

    /// The keep-alive granted, seconds; 0: none.
    fn keep_alive(&self, asked: u16) -> u16 {
        match self.config.limits.max_keep_alive_seconds {
            Some(most) if asked == 0 || asked > most => most,
            _ => asked,
        }
    }

    /// Says CONNACK and sends what waits for the client.
    pub(super) fn open(&mut self, view: View<'_>, id: ConnId, ack: &Waiter, fx: &mut Vec<Effect>) {
        let Waiter::ConnAck {
            present,
            assigned,
            asked,
            keep_alive,
            ..
        } = *ack
        else {
            return;
        };
        self.commits.connacks.remove(&id);
        let granted = self.keep_alive(keep_alive);
        let limits = &self.config.limits;
        let (max_packet, max_inflight) =
            (limits.max_packet_size, limits.max_inflight.clamp(1, 32_767));
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.closing) else {
            return;
        };
        conn.open = true;
        conn.last_received = view.now;
        let key = conn.session;
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let client = session.client_id.clone();
        let expiry = session.expiry;
        let packet = Packet::ConnAck(ConnAck {
            session_present: present,
            reason: ReasonCode::SUCCESS,
            session_expiry: (asked.unwrap_or(0) != expiry).then_some(expiry),
            receive_maximum: Some(max_inflight),
            maximum_packet_size: Some(max_packet),
            assigned_client_id: assigned.then_some(&*client),
            topic_alias_maximum: Some(TOPIC_ALIASES),
            server_keep_alive: (granted != keep_alive).then_some(granted),
            ..ConnAck::default()
        });
        self.send(id, &packet);
        if let Some(conn) = self.conns.get_mut(&id).filter(|c| c.outbox.is_empty()) {
            // Larger than the client takes: without CONNACK nothing may be sent [MQTT-3.2.0-1].
            conn.open = false;
            let why = Ended::Protocol(ReasonCode::PACKET_TOO_LARGE);
            return self.finish(view, id, why, fx);
        }
        fx.push(Effect::Resume(id));
        self.pump(view, key, fx);
    }

    /// 0x88, in 3.x 0x03: the slot or its commit did not come in time.
    pub(super) fn refuse_late_connects(&mut self, view: View<'_>, fx: &mut Vec<Effect>) {
        let (late, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|(at, _, _)| *at <= view.now);
        self.parked = rest;
        let late = late.into_iter().map(|(_, _, connecting)| connecting.conn);
        let uncommitted = self
            .commits
            .connacks
            .iter()
            .filter(|(_, at)| **at <= view.now);
        let late: Vec<ConnId> = late.chain(uncommitted.map(|(conn, _)| *conn)).collect();
        for id in late {
            self.commits.connacks.remove(&id);
            self.refuse(view, id, ReasonCode::SERVER_UNAVAILABLE, fx);
        }
    }

    /// The slot is another pod's now: who waits for it here comes again, and is brought there.
    pub fn turn_away(&mut self, view: View<'_>, slot: u16, fx: &mut Vec<Effect>) {
        let (gone, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parked)
            .into_iter()
            .partition(|(_, of, _)| *of == slot);
        self.parked = rest;
        for (_, _, connecting) in gone {
            self.refuse(view, connecting.conn, ReasonCode::SERVER_UNAVAILABLE, fx);
        }
    }

    fn refuse(&mut self, view: View<'_>, id: ConnId, reason: ReasonCode, fx: &mut Vec<Effect>) {
        self.send(
            id,
            &Packet::ConnAck(ConnAck {
                reason,
                ..ConnAck::default()
            }),
        );
        self.finish(view, id, Ended::Protocol(reason), fx);
    }
}

/// A presence event (contract section 4).
pub(super) fn presence(
    topic: Topic,
    client: &Arc<str>,
    ts: u64,
    headers: Vec<(&'static str, String)>,
) -> Write {
    let mut value = Vec::with_capacity(40 + client.len());
    value.extend_from_slice(b"{\"clientid\":");
    super::envelope::string(client, &mut value);
    value.extend_from_slice(format!(",\"ts\":{ts}}}").as_bytes());
    Write {
        topic,
        slot: None,
        key: Some(client.as_bytes().to_vec()),
        value: Some(value),
        headers,
    }
}
