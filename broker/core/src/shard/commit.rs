//! What the changelog is told, slot by slot: each commit carries everything that has changed in a
//! slot together with its inbox position, so that a replay starts from a state that was. One
//! commit at a time; what gathers meanwhile goes with the next (architecture section 3).

use super::effect::{ConnId, Effect, Position, Token, Topic, Write};
use super::session::Session;
use super::slot::Slot;
use super::{Shard, View};
use crate::message::Message;
use crate::record::{
    ChunkRecord, MarkRecord, MessageRecord, OWNER_KEY, OwnerRecord, ROUTE_NUMBER, SessionRecord,
    StateKey, SubscriptionRecord, encode,
};
use isthmus_mqtt::encode::ack;
use isthmus_mqtt::{AckType, ReasonCode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a client is told after a commit.
#[derive(Clone, Debug)]
pub(super) enum Waiter {
    /// CONNACK.
    ConnAck {
        conn: ConnId,
        present: bool,
        assigned: bool,
        asked: Option<u32>,
        keep_alive: u16,
    },
    /// SUBACK or UNSUBACK, once the other pods that this token asks have said their word as well.
    Answer(Answer, Option<Token>),
    /// PUBREL of a durable message.
    PubRel { conn: ConnId, packet_id: u16 },
    /// Nobody: a will of QoS 2 may be published.
    Will(Arc<str>, u64),
    /// Nobody: the id of a QoS 2 publish whose session has ended leaves the changelog.
    Void(Arc<str>, u16),
}

/// SUBACK or UNSUBACK, then what is retained.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) conn: ConnId,
    pub(super) bytes: Vec<u8>,
    pub(super) retained: Retained,
}

/// Retained messages that are sent from memory.
pub(super) type Retained = Vec<(SubscriptionRecord, Arc<Message>)>;

struct Running {
    id: u64,
    writes: Arc<Vec<Write>>,
    /// How many of the writes are of which slot, in order; nothing names a slot that was dropped.
    parts: Vec<(Option<u16>, usize)>,
    waiters: Vec<(u16, Waiter)>,
}

/// The commits of a shard.
#[derive(Default)]
pub(super) struct Commits {
    noted: BTreeSet<u16>,
    urgent: bool,
    waiting: Vec<(u16, Waiter)>,
    running: Option<Running>,
    last_id: u64,
    /// CONNACKs that wait, with their deadline.
    pub(super) connacks: rustc_hash::FxHashMap<ConnId, u64>,
}

impl Commits {
    /// Whether a PUBREL follows a commit that is still to come.
    pub(super) fn owes_pubrel(&self, id: ConnId, named: u16) -> bool {
        let running = self.running.iter().flat_map(|running| &running.waiters);
        running.chain(&self.waiting).any(|(_, waiter)| {
            matches!(waiter, Waiter::PubRel { conn, packet_id } if *conn == id && *packet_id == named)
        })
    }

    /// Something of the slot is to be committed within a second.
    pub(super) fn note(&mut self, slot: u16) {
        self.noted.insert(slot);
    }

    /// Something of the slot is to be committed at once.
    pub(super) fn note_urgent(&mut self, slot: u16) {
        self.noted.insert(slot);
        self.urgent = true;
    }

    /// What is to be committed of the slot is to be committed at once.
    pub(super) fn hurry(&mut self, slot: u16) {
        self.urgent |= self.noted.contains(&slot);
    }

    /// How many wait to be told, and how many slots are to be committed.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.waiting.len(), self.noted.len())
    }

    /// Nobody is told of a slot that is gone.
    pub(super) fn forget(&mut self, slot: u16) {
        self.noted.remove(&slot);
        self.waiting.retain(|(of, _)| *of != slot);
        if let Some(running) = &mut self.running {
            running.waiters.retain(|(of, _)| *of != slot);
            for (of, _) in &mut running.parts {
                of.take_if(|of| *of == slot);
            }
        }
    }

    /// Whether something of the slot is still to be committed.
    pub(super) fn concerns(&self, slot: u16) -> bool {
        let running = self.running.iter().flat_map(|running| &running.parts);
        self.noted.contains(&slot) || running.into_iter().any(|(of, _)| *of == Some(slot))
    }
}

impl Shard {
    /// A client waits: the slot is committed as soon as the running commit is done.
    pub(super) fn commit_for(&mut self, slot: u16, waiter: Waiter) {
        self.commits.note(slot);
        self.commits.urgent = true;
        self.commits.waiting.push((slot, waiter));
    }

    /// Starts a commit if one is due; `all`: also of what no client waits for. The driver calls it
    /// when it has handed in what was ready.
    pub fn flush(&mut self, fx: &mut Vec<Effect>, all: bool) {
        if self.commits.running.is_some() || !(self.commits.urgent || all) {
            return;
        }
        self.commits.urgent = false;
        let (mut positions, mut writes) = (Vec::new(), Vec::new());
        let mut included = BTreeSet::new();
        let mut parts = Vec::new();
        for slot_no in std::mem::take(&mut self.commits.noted) {
            let Some(slot) = self.slots.get_mut(&slot_no) else {
                continue;
            };
            if !slot.may_commit() {
                self.commits.noted.insert(slot_no);
                continue;
            }
            included.insert(slot_no);
            let before = writes.len();
            writes.append(&mut slot.writes);
            let position = slot.safe_position();
            let dirty = std::mem::take(&mut slot.dirty);
            let seen = slot.position;
            for key in dirty {
                self.write_session(key, slot_no, seen, &mut writes);
            }
            if let Some(slot) = self.slots.get_mut(&slot_no) {
                slot.reported = position;
            }
            parts.push((Some(slot_no), writes.len() - before));
            positions.push(Position {
                slot: slot_no,
                next_offset: position,
            });
        }
        let waiting = std::mem::take(&mut self.commits.waiting);
        let (waiters, rest) = waiting
            .into_iter()
            .partition(|(slot, _)| included.contains(slot));
        self.commits.waiting = rest;
        if positions.is_empty() {
            return;
        }
        self.commits.last_id += 1;
        let id = self.commits.last_id;
        let writes = Arc::new(writes);
        self.commits.running = Some(Running {
            id,
            writes: writes.clone(),
            parts,
            waiters,
        });
        fx.push(Effect::Commit {
            id,
            positions,
            writes,
        });
    }

    /// A commit is done: clients are told.
    pub fn committed(&mut self, view: View<'_>, id: u64, fx: &mut Vec<Effect>) {
        let Some(running) = self.commits.running.take_if(|running| running.id == id) else {
            return;
        };
        for (_, waiter) in running.waiters {
            match waiter {
                Waiter::ConnAck { conn, .. } => self.open(view, conn, &waiter, fx),
                Waiter::Answer(answer, sync) => self.answer(view, sync, answer, fx),
                Waiter::Will(client, id) => self.will_written(view, &client, id, fx),
                Waiter::Void(client, packet_id) => self.forget_qos2(&client, packet_id, fx),
                Waiter::PubRel { conn, packet_id } => {
                    let Some(found) = self.conns.get_mut(&conn).filter(|c| !c.closing) else {
                        continue;
                    };
                    ack(
                        &mut found.outbox,
                        found.version,
                        AckType::PubRel,
                        packet_id,
                        ReasonCode::SUCCESS,
                    );
                    self.touch(conn);
                }
            }
        }
        self.flush(fx, false);
    }

    /// Nothing of a commit is visible, and the group is lost: it goes with the first one after.
    pub fn fenced(&mut self, id: u64) {
        let Some(running) = self.commits.running.take_if(|running| running.id == id) else {
            return;
        };
        let mut rest = running.writes.iter().cloned();
        for (slot_no, number) in running.parts {
            let mut writes: Vec<Write> = rest.by_ref().take(number).collect();
            // What is of an earlier life of a slot is not of this one.
            let Some(slot_no) = slot_no else { continue };
            if let Some(slot) = self.slots.get_mut(&slot_no) {
                writes.append(&mut slot.writes);
                slot.writes = writes;
                self.commits.noted.insert(slot_no);
            }
        }
        let mut waiting = running.waiters;
        waiting.append(&mut self.commits.waiting);
        self.commits.urgent |= !waiting.is_empty();
        self.commits.waiting = waiting;
    }

    /// Whether everything has been committed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.commits.running.is_none()
            && self.commits.noted.is_empty()
            && self.pending.is_empty()
            && self.refreshes.len() == 0
    }

    fn write_session(&mut self, key: usize, slot_no: u16, seen: i64, writes: &mut Vec<Write>) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let client = session.client_id.clone();
        let mut put = |key: StateKey<'_>, value: Option<Vec<u8>>| {
            writes.push(Write {
                topic: Topic::State,
                slot: Some(slot_no),
                key: Some(key.encode()),
                value,
                headers: Vec::new(),
            })
        };
        if session.durable && (session.changed || session.queue.is_dirty()) {
            session.seen = seen;
            put(
                StateKey::Session(&client),
                Some(encode(&session_record(session))),
            );
            for (chunk, entries) in session.queue.take_dirty() {
                let incarnation = session.incarnation;
                let value = entries.map(|entries| {
                    encode(&ChunkRecord {
                        incarnation,
                        entries,
                    })
                });
                put(StateKey::Chunk(chunk, &client), value);
            }
            session.changed = false;
            session.stored = true;
        }
        if std::mem::take(&mut session.mark_changed) {
            match session.conn.and_then(|id| self.conns.get(&id)) {
                Some(conn) => {
                    session.marked = true;
                    let will = self.wills.armed(&client);
                    let record = MarkRecord {
                        connection: conn.label.clone(),
                        username: session.username.as_deref().map(str::to_owned),
                        peer: conn.peer.clone(),
                        protocol: conn.protocol().to_owned(),
                        node: self.config.node.to_string(),
                        ts: conn.connected_ts,
                        will: will.map(|w| (MessageRecord::from(&*w.message), w.delay)),
                    };
                    put(StateKey::Mark(&client), Some(encode(&record)));
                }
                None if session.marked => {
                    session.marked = false;
                    put(StateKey::Mark(&client), None);
                }
                None => {}
            }
        }
    }
}

fn session_record(session: &Session) -> SessionRecord {
    let subs = session.subs.iter();
    SessionRecord {
        incarnation: session.incarnation,
        expiry: session.expiry,
        disconnected_at: session.disconnected_at,
        username: session.username.as_deref().map(str::to_owned),
        next: session.queue.next(),
        seen: session.seen,
        subscriptions: subs
            .filter_map(|(f, sub)| sub.durable.map(|o| (f.to_string(), o)))
            .collect(),
    }
}

/// `!owner`: whose the slot is from this number of route changes on; nobody's, when it was given
/// away in order.
pub(super) fn owner_write(slot: u16, owner: Option<&OwnerRecord>, number: u64) -> Write {
    Write {
        topic: Topic::Routes,
        slot: Some(slot),
        key: Some(OWNER_KEY.to_vec()),
        value: owner.map(encode),
        headers: vec![(ROUTE_NUMBER, number.to_string())],
    }
}

impl Slot {
    /// Whether its changelog lags behind.
    #[must_use]
    pub(super) fn lags(&self) -> bool {
        !self.writes.is_empty() || !self.dirty.is_empty() || self.safe_position() != self.reported
    }
}
