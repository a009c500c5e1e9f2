//! A connection as the shard sees it: version, limits, outbox, and the publishes whose
//! acknowledgements are owed in order.

use super::effect::{ConnId, Token};
use super::{Shard, View};
use crate::shard::effect::Effect;
use isthmus_mqtt::{Disconnect, Packet, ReasonCode, Version};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// Whether the driver goes on reading a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Next packet.
    Go,
    /// Not before [`Effect::Resume`]; the packet was taken.
    Pause,
    /// Not for so many ms: the publish rate is used up; the packet was taken.
    Wait(u64),
    /// Never again; the connection closes when its outbox is written.
    Close,
}

/// Why a connection ended: the `reason` header of its disconnect event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// DISCONNECT of the client with this reason.
    Client(ReasonCode),
    /// The network connection was closed without one.
    Lost,
    /// Nothing came for 1.5 times the keep-alive.
    KeepAlive,
    /// A second connection with the clientId.
    TakenOver,
    /// The client broke the protocol or a limit.
    Protocol(ReasonCode),
    /// The account was deleted or disabled, or an administrator asked for it.
    Kicked,
    /// This server stops or gives the slot away.
    ServerShutdown,
    /// The server that had the connection is no more.
    ServerLost,
}

impl Ended {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Lost => "connectionLost",
            Self::KeepAlive => "keepAliveTimeout",
            Self::TakenOver => "takenOver",
            Self::Protocol(_) => "protocolError",
            Self::Kicked => "kicked",
            Self::ServerShutdown => "serverShutdown",
            Self::ServerLost => "serverLost",
        }
    }

    /// The DISCONNECT that an MQTT 5 client is sent.
    fn disconnect(self) -> Option<ReasonCode> {
        match self {
            Self::Client(_) | Self::Lost | Self::ServerLost => None,
            Self::KeepAlive => Some(ReasonCode::KEEP_ALIVE_TIMEOUT),
            Self::TakenOver => Some(ReasonCode::SESSION_TAKEN_OVER),
            Self::Protocol(reason) => Some(reason),
            Self::Kicked => Some(ReasonCode::ADMINISTRATIVE_ACTION),
            Self::ServerShutdown => Some(ReasonCode::SERVER_SHUTTING_DOWN),
        }
    }
}

pub(super) struct Conn {
    pub(super) session: usize,
    pub(super) version: Version,
    /// CONNACK is in the outbox or sent.
    pub(super) open: bool,
    pub(super) closing: bool,
    pub(super) outbox: Vec<u8>,
    touched: bool,
    pub(super) last_received: u64,
    /// 1.5 times the keep-alive in ms; 0: none.
    pub(super) patience: u64,
    /// Receive Maximum of the client and ours, the lower.
    pub(super) window: u16,
    /// QoS > 0 PUBLISH sent on this connection and not acknowledged.
    pub(super) inflight: u16,
    pub(super) max_packet: usize,
    pub(super) aliases: FxHashMap<u16, Arc<str>>,
    /// Publishes in the order in which they are acknowledged.
    pub(super) owed: VecDeque<Token>,
    /// Reading is paused until fewer are owed.
    pub(super) owes_too_much: bool,
    /// For presence: pairs connect and disconnect.
    pub(super) label: String,
    pub(super) peer: String,
    pub(super) connected_ts: u64,
    pub(super) problem_information: bool,
    /// Session Expiry Interval of the CONNECT was 0: DISCONNECT cannot raise it.
    pub(super) expiry_was_zero: bool,
    /// Publish rate: when the next is allowed, ms << 10.
    pub(super) rate_debt: u64,
}

impl Conn {
    pub(super) fn new(session: usize, version: Version, now: u64) -> Self {
        Self {
            session,
            version,
            open: false,
            closing: false,
            outbox: Vec::new(),
            touched: false,
            last_received: now,
            patience: 0,
            window: 0,
            inflight: 0,
            max_packet: usize::MAX,
            aliases: FxHashMap::default(),
            owed: VecDeque::new(),
            owes_too_much: false,
            label: String::new(),
            peer: String::new(),
            connected_ts: now,
            problem_information: true,
            expiry_was_zero: false,
            rate_debt: 0,
        }
    }

    pub(super) fn protocol(&self) -> &'static str {
        match self.version {
            Version::V31 => "MQTT 3.1",
            Version::V311 => "MQTT 3.1.1",
            Version::V5 => "MQTT 5",
        }
    }
}

impl Shard {
    /// Connections with something to write since the last call.
    pub fn take_touched(&mut self, into: &mut Vec<ConnId>) {
        std::mem::swap(&mut self.touched, into);
        self.touched.clear();
        for id in into {
            if let Some(conn) = self.conns.get_mut(id) {
                conn.touched = false;
            }
        }
    }

    /// What is to be written to a connection; the driver takes from its front.
    pub fn outbox(&mut self, id: ConnId) -> Option<&mut Vec<u8>> {
        self.conns.get_mut(&id).map(|conn| &mut conn.outbox)
    }

    /// The driver has written some of the outbox: what waited for room may follow.
    pub fn written(&mut self, view: View<'_>, id: ConnId, fx: &mut Vec<Effect>) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if conn.outbox.len() < 64 * 1024 && !conn.closing {
            let session = conn.session;
            self.pump(view, session, fx);
        }
    }

    /// The MQTT version of a connection, for decoding.
    #[must_use]
    pub fn version(&self, id: ConnId) -> Version {
        self.conns
            .get(&id)
            .map_or(Version::V311, |conn| conn.version)
    }

    /// Counts input against the keep-alive: the driver calls it for what it has read, and while
    /// it is the one not reading.
    pub fn alive(&mut self, id: ConnId, now: u64) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.last_received = now;
        }
    }

    pub(super) fn touch(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id)
            && !conn.touched
        {
            conn.touched = true;
            self.touched.push(id);
        }
    }

    /// Encodes a packet into a connection's outbox.
    pub(super) fn send(&mut self, id: ConnId, packet: &Packet<'_>) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let before = conn.outbox.len();
        let encoded = isthmus_mqtt::encode::encode(packet, conn.version, &mut conn.outbox);
        // A packet of ours without an encoding, or past what the client takes, is left out.
        if encoded.is_err() || conn.outbox.len() - before > conn.max_packet {
            conn.outbox.truncate(before);
        }
        self.touch(id);
    }

    /// Ends a connection from this side: DISCONNECT where the version has one, then close.
    pub(super) fn end(&mut self, view: View<'_>, id: ConnId, why: Ended, fx: &mut Vec<Effect>) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let tells = conn.version == Version::V5 && conn.open && !conn.closing;
        if let Some(reason) = why.disconnect().filter(|_| tells) {
            self.send(
                id,
                &Packet::Disconnect(Disconnect {
                    reason,
                    ..Disconnect::default()
                }),
            );
        }
        self.finish(view, id, why, fx);
    }

    /// No packet for 1.5 times the keep-alive [MQTT-3.1.2-22].
    pub(super) fn end_silent_connections(&mut self, view: View<'_>, fx: &mut Vec<Effect>) {
        let silent: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, c)| c.patience > 0 && !c.closing && c.open)
            .filter(|(_, c)| view.now.saturating_sub(c.last_received) > c.patience)
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            self.end(view, id, Ended::KeepAlive, fx);
        }
    }

    /// A connection that does nothing keeps no buffer.
    pub(super) fn release_idle_buffers(&mut self, now: u64) {
        for conn in self.conns.values_mut() {
            let idle = conn.outbox.is_empty() && now.saturating_sub(conn.last_received) >= 1000;
            if idle && conn.outbox.capacity() > 0 {
                conn.outbox = Vec::new();
            }
        }
    }

    /// Ends every connection: the server stops.
    pub fn end_all(&mut self, view: View<'_>, why: Ended, fx: &mut Vec<Effect>) {
        let mut ids: Vec<ConnId> = self.conns.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.end(view, id, why, fx);
        }
    }
}
