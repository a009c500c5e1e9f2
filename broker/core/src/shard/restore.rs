//! A slot comes: its state from the changelog, then its inbox from the committed position, then it
//! is open (architecture section 3, "Restore"). How it goes is in [`super::handover`].

use super::commit::owner_write;
use super::confirm::Kind;
use super::connect::presence;
use super::connection::Ended;
use super::effect::{Effect, Topic, Write};
use super::interest::kinds;
use super::session::{Received, Session, Sub};
use super::slot::{Phase, Slot};
use super::will::Will;
use super::{Shard, View};
use crate::queue::{Entry, Queue};
use crate::record::{
    ChunkRecord, InboxRecord, MarkRecord, OwnerRecord, Qos2Record, RecordError, SessionRecord,
    StateKey, WillRecord, decode, encode,
};
use crate::routes::Kinds;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default)]
struct Found<'a> {
    sessions: FxHashMap<&'a str, SessionRecord>,
    chunks: FxHashMap<&'a str, BTreeMap<u64, ChunkRecord>>,
    qos2: Vec<(&'a str, u16, Qos2Record)>,
    marks: Vec<(&'a str, MarkRecord<'a>)>,
    wills: Vec<(&'a str, u64, WillRecord<'a>)>,
}

impl Shard {
    /// Takes a slot over: `records` are the latest of its state partition, `position` is the
    /// committed offset of its inbox. Then come the inbox's records; a record of our own behind
    /// them opens the slot.
    ///
    /// # Errors
    /// A record that this release cannot read.
    pub fn restore(
        &mut self,
        view: View<'_>,
        slot_no: u16,
        position: i64,
        records: &[(Vec<u8>, Vec<u8>)],
        fx: &mut Vec<Effect>,
    ) -> Result<(), RecordError> {
        let mut found = Found::default();
        for (key, value) in records {
            match StateKey::decode(key)? {
                StateKey::Session(client) => drop(found.sessions.insert(client, decode(value)?)),
                StateKey::Chunk(n, client) => {
                    found
                        .chunks
                        .entry(client)
                        .or_default()
                        .insert(n, decode(value)?);
                }
                StateKey::Qos2(id, client) => found.qos2.push((client, id, decode(value)?)),
                StateKey::Mark(client) => found.marks.push((client, decode(value)?)),
                StateKey::Will(id, client) => found.wills.push((client, id, decode(value)?)),
            }
        }
        let mut slot = Slot::new(position);
        slot.route_number = view.routes.next_owner(slot_no, view.now);
        self.slots.insert(slot_no, slot);
        self.delete_leftovers(slot_no, &found);
        let marked: rustc_hash::FxHashSet<&str> =
            found.marks.iter().map(|(client, _)| *client).collect();
        for (client, record) in std::mem::take(&mut found.sessions) {
            let was_connected = marked.contains(client);
            let chunks = found.chunks.remove(client).unwrap_or_default();
            self.restore_session(view, slot_no, client, record, chunks, was_connected, fx);
        }
        for (client, id, record) in found.qos2 {
            let session = self
                .by_client
                .get(client)
                .and_then(|key| self.sessions.get_mut(*key));
            if let Some(session) = session.filter(|s| s.incarnation == record.incarnation) {
                session.received.insert(id, Received::Stored);
            }
        }
        for (client, id, record) in found.wills {
            let will = Will {
                message: Arc::new(record.message.to_message()),
                delay: 0,
                username: record.username.as_deref().map(Arc::from),
            };
            self.restore_will(&Arc::from(client), id, record.due, will, true);
        }
        for (client, mark) in found.marks {
            self.end_lost_client(view, slot_no, client, &mark);
        }
        let restore = self.incarnation();
        if let Some(slot) = self.slots.get_mut(&slot_no) {
            slot.restore = restore;
        }
        let owner = OwnerRecord {
            node: self.config.node.to_string(),
            start: self.config.start,
        };
        let opened = InboxRecord::Opened { owner, restore };
        let token = self.token();
        self.wait(token, Kind::Nothing, 1, None);
        fx.push(Effect::Write(
            token,
            Write {
                topic: Topic::Inbox,
                slot: Some(slot_no),
                key: None,
                value: Some(encode(&opened)),
                headers: Vec::new(),
            },
        ));
        Ok(())
    }

    /// What belongs to no session: the second producer's word may come after a session's end.
    fn delete_leftovers(&mut self, slot_no: u16, found: &Found<'_>) {
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return;
        };
        let owned = |client: &str, incarnation| {
            found
                .sessions
                .get(client)
                .is_some_and(|s| s.incarnation == incarnation)
        };
        let chunks = found
            .chunks
            .iter()
            .flat_map(|(client, chunks)| chunks.iter().map(|(n, c)| (*client, *n, c)));
        let chunks = chunks.filter(|(client, _, chunk)| !owned(client, chunk.incarnation));
        let qos2 = found
            .qos2
            .iter()
            .filter(|(client, _, record)| !owned(client, record.incarnation));
        let keys = chunks.map(|(client, n, _)| StateKey::Chunk(n, client));
        for key in keys.chain(qos2.map(|(client, id, _)| StateKey::Qos2(*id, client))) {
            slot.writes.push(Write {
                topic: Topic::State,
                slot: Some(slot_no),
                key: Some(key.encode()),
                value: None,
                headers: Vec::new(),
            });
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all that the changelog has of a session"
    )]
    fn restore_session(
        &mut self,
        view: View<'_>,
        slot_no: u16,
        client: &str,
        record: SessionRecord,
        chunks: BTreeMap<u64, ChunkRecord>,
        was_connected: bool,
        fx: &mut Vec<Effect>,
    ) {
        let own = chunks
            .into_iter()
            .filter(|(_, chunk)| chunk.incarnation == record.incarnation);
        let chunks: BTreeMap<u64, Vec<Entry>> = own.map(|(n, chunk)| (n, chunk.entries)).collect();
        let client: Arc<str> = Arc::from(client);
        let mut session = Session::new(client.clone(), slot_no, record.incarnation, record.expiry);
        session.durable = true;
        session.stored = true;
        session.changed = record.disconnected_at.is_none();
        session.mark_changed = false;
        session.seen = record.seen;
        session.queue = Queue::restore(record.next, &chunks);
        session.username = record.username.as_deref().map(Arc::from);
        session.acl = view.directory.acl(record.username.as_deref(), &client);
        let disconnected_at = record.disconnected_at.unwrap_or(view.now);
        session.disconnected_at = Some(disconnected_at);
        let changed = session.changed;
        let key = self.sessions.insert(session);
        self.by_client.insert(client, key);
        if record.expiry != u32::MAX {
            let at = disconnected_at + u64::from(record.expiry) * 1000;
            self.expiries.insert((at, key, record.incarnation));
        }
        for (filter, options) in record.subscriptions {
            let sub = Sub {
                live: Some(options),
                durable: Some(options),
                ..Sub::default()
            };
            self.set_sub(key, &filter, Some(sub), fx);
        }
        self.refresh_rights(key, fx);
        if let Some(slot) = self.slots.get_mut(&slot_no) {
            if changed {
                slot.dirty.insert(key);
            }
            if was_connected {
                slot.lost.push(key);
            }
        }
        self.commits.note(slot_no);
    }

    /// A client that the last owner still had: its will and its disconnect event (rulings 16, 18).
    fn end_lost_client(
        &mut self,
        view: View<'_>,
        slot_no: u16,
        client: &str,
        mark: &MarkRecord<'_>,
    ) {
        let client: Arc<str> = Arc::from(client);
        let now = view.now.max(mark.ts + 1);
        let ts = self.presence_ts(&client, now);
        let headers = vec![
            ("username", mark.username.clone().unwrap_or_default()),
            ("peer", mark.peer.clone()),
            ("protocol", mark.protocol.clone()),
            ("node", mark.node.clone()),
            ("connection", mark.connection.clone()),
            ("reason", Ended::ServerLost.reason().to_owned()),
        ];
        if let Some(slot) = self.slots.get_mut(&slot_no) {
            slot.writes
                .push(presence(Topic::Disconnect, &client, ts, headers));
            slot.writes.push(Write {
                topic: Topic::State,
                slot: Some(slot_no),
                key: Some(StateKey::Mark(&client).encode()),
                value: None,
                headers: Vec::new(),
            });
        }
        if let Some((message, delay)) = &mark.will {
            let session = self
                .by_client
                .get(&client)
                .and_then(|key| self.sessions.get(*key));
            let expiry = session.map_or(0, |s| s.expiry);
            let username = mark.username.as_deref().map(Arc::from);
            let will = Will {
                message: Arc::new(message.to_message()),
                delay: *delay,
                username,
            };
            self.owe_will(view, &client, will, expiry);
        }
        self.commits.note(slot_no);
    }

    /// The inbox has been read up to where it stood: clients are served.
    pub(super) fn open_slot(&mut self, view: View<'_>, slot_no: u16, fx: &mut Vec<Effect>) {
        let restoring = |slot: &&mut Slot| slot.phase == Phase::Restoring;
        let Some(slot) = self.slots.get_mut(&slot_no).filter(restoring) else {
            return;
        };
        slot.phase = Phase::Open;
        for key in std::mem::take(&mut slot.lost) {
            if let Some(session) = self.sessions.get_mut(key).filter(|s| s.slot == slot_no) {
                session
                    .queue
                    .assume_sent(usize::from(self.config.limits.max_inflight));
                slot.dirty.insert(key);
            }
        }
        let owner = OwnerRecord {
            node: self.config.node.to_string(),
            start: self.config.start,
        };
        let write = owner_write(slot_no, Some(&owner), slot.route_number);
        slot.writes.push(write);
        self.settle_routes(view, slot_no, fx);
        fx.push(Effect::Opened(slot_no));
        self.admit_parked(view, slot_no, fx);
        self.publish_due_wills(view, fx);
        self.flush(fx, true);
    }

    /// The routes say what the restored sessions want; what clean sessions of the last owner
    /// subscribed to is gone with them. Called again when the log has been read up to our own name,
    /// behind all that the last owner wrote.
    pub fn settle_routes(&mut self, view: View<'_>, slot_no: u16, fx: &mut Vec<Effect>) {
        let serving = |slot: &&mut Slot| slot.phase != Phase::Restoring;
        let Some(slot) = self.slots.get_mut(&slot_no).filter(serving) else {
            return;
        };
        let known = view.routes.filters_of(slot_no).map(|(filter, _)| filter);
        let gone = known.filter(|filter| !slot.wanted.contains_key(*filter));
        let gone = gone.map(|filter| (Box::from(filter), Kinds::default()));
        let wanted = slot
            .wanted
            .iter()
            .map(|(filter, n)| (filter.clone(), kinds(*n)));
        let wanted = wanted.filter(|(filter, is)| view.routes.kinds_of(slot_no, filter) != *is);
        for (filter, kinds) in gone.chain(wanted).collect::<Vec<(Box<str>, Kinds)>>() {
            slot.route(slot_no, &filter, kinds, fx);
        }
        self.commits.note(slot_no);
    }
}
