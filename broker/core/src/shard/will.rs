//! Wills from CONNECT to publication (ruling 16). A will of whatever client survives a crash: it
//! is in the connected mark before CONNACK, and under a key of its own once it is to be published.

use super::commit::Waiter;
use super::effect::{Effect, Topic, Write};
use super::{Shard, View};
use crate::message::Message;
use crate::record::{MessageRecord, StateKey, WillRecord, encode};
use isthmus_mqtt::QoS;
use rustc_hash::FxHashMap;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Will {
    pub(super) message: Arc<Message>,
    pub(super) delay: u32,
    pub(super) username: Option<Arc<str>>,
}

#[derive(Debug)]
struct Due {
    /// Tells it from other wills of the client.
    id: u64,
    at: u64,
    will: Will,
    /// It stands under its own key in the changelog.
    written: bool,
    publishing: bool,
}

/// The wills of a shard.
#[derive(Debug, Default)]
pub(super) struct Wills {
    /// Of connected clients.
    armed: FxHashMap<Arc<str>, Will>,
    /// Of connections that ended; each stands under `w/…` in the changelog.
    due: FxHashMap<Arc<str>, Vec<Due>>,
}

impl Wills {
    pub(super) fn armed(&self, client: &str) -> Option<&Will> {
        self.armed.get(client)
    }

    pub(super) fn len(&self) -> usize {
        self.armed.len() + self.due.values().map(Vec::len).sum::<usize>()
    }

    /// Forgets those of the clients that are not kept.
    pub(super) fn retain(&mut self, kept: impl Fn(&str) -> bool) {
        self.armed.retain(|client, _| kept(client));
        self.due.retain(|client, _| kept(client));
    }
}

impl Due {
    /// One of QoS 2 is published by a transaction that takes it out of the changelog, so that no
    /// crash repeats it; it has to be in there first.
    fn is_ready(&self, now: u64) -> bool {
        let written = self.written || self.will.message.qos != QoS::ExactlyOnce;
        !self.publishing && self.at <= now && written
    }
}

/// A will in the changelog, or its end.
pub(super) fn will_write(slot: u16, id: u64, client: &str, value: Option<Vec<u8>>) -> Write {
    Write {
        topic: Topic::State,
        slot: Some(slot),
        key: Some(StateKey::Will(id, client).encode()),
        value,
        headers: Vec::new(),
    }
}

impl Shard {
    pub(super) fn set_will(
        &mut self,
        client: &Arc<str>,
        message: Arc<Message>,
        delay: u32,
        username: Option<Arc<str>>,
    ) {
        self.wills.armed.insert(
            client.clone(),
            Will {
                message,
                delay,
                username,
            },
        );
    }

    /// A normal DISCONNECT [MQTT-3.14.4-3].
    pub(super) fn drop_will(&mut self, client: &str) {
        self.wills.armed.remove(client);
    }

    /// The connection ended otherwise: the will is due after its delay or the session's expiry,
    /// whichever is sooner.
    pub(super) fn release_will(
        &mut self,
        view: View<'_>,
        client: &Arc<str>,
        expiry: u32,
        fx: &mut Vec<Effect>,
    ) {
        let Some(will) = self.wills.armed.remove(client) else {
            return;
        };
        self.owe_will(view, client, will, expiry);
        self.publish_due_wills_of(view, client, fx);
    }

    /// Puts a will into the changelog under a key of its own.
    pub(super) fn owe_will(&mut self, view: View<'_>, client: &Arc<str>, will: Will, expiry: u32) {
        let at = view.now + u64::from(will.delay.min(expiry)) * 1000;
        let slot_no = self.slot_of(client);
        let id = self.incarnation();
        let record = WillRecord {
            due: at,
            username: will.username.as_deref().map(str::to_owned),
            message: MessageRecord::from(&*will.message),
        };
        let value = encode(&record);
        self.write_will(slot_no, id, client, Some(value));
        if will.message.qos == QoS::ExactlyOnce {
            self.commit_for(slot_no, Waiter::Will(client.clone(), id));
        }
        self.restore_will(client, id, at, will, false);
    }

    /// The changelog has it: its publication can take it out again.
    pub(super) fn will_written(
        &mut self,
        view: View<'_>,
        client: &Arc<str>,
        id: u64,
        fx: &mut Vec<Effect>,
    ) {
        let wills = self.wills.due.get_mut(client).into_iter().flatten();
        for due in wills.filter(|due| due.id == id) {
            due.written = true;
        }
        self.publish_due_wills_of(view, client, fx);
    }

    fn write_will(&mut self, slot_no: u16, id: u64, client: &str, value: Option<Vec<u8>>) {
        if let Some(slot) = self.slots.get_mut(&slot_no) {
            slot.writes.push(will_write(slot_no, id, client, value));
            self.commits.note(slot_no);
        }
    }

    /// A will as the changelog has it.
    pub(super) fn restore_will(
        &mut self,
        client: &Arc<str>,
        id: u64,
        at: u64,
        will: Will,
        written: bool,
    ) {
        let due = Due {
            id,
            at,
            will,
            written,
            publishing: false,
        };
        self.wills.due.entry(client.clone()).or_default().push(due);
    }

    /// The session was resumed before the delay passed [MQTT-3.1.3-9]. One whose delay has passed
    /// stays due: it may only have waited for its slot to open.
    pub(super) fn cancel_will(&mut self, view: View<'_>, client: &Arc<str>) {
        let waiting = self
            .wills
            .due
            .get(client)
            .into_iter()
            .flatten()
            .filter(|d| !d.publishing && d.at > view.now);
        for id in waiting.map(|due| due.id).collect::<Vec<_>>() {
            self.will_done(client, id);
        }
    }

    /// The session ends: its will waits no longer.
    pub(super) fn hasten_will(&mut self, view: View<'_>, client: &Arc<str>, fx: &mut Vec<Effect>) {
        for due in self.wills.due.get_mut(client).into_iter().flatten() {
            due.at = due.at.min(view.now);
        }
        self.publish_due_wills_of(view, client, fx);
    }

    pub(super) fn publish_due_wills(&mut self, view: View<'_>, fx: &mut Vec<Effect>) {
        let due = |d: &Due| d.is_ready(view.now);
        let clients = self
            .wills
            .due
            .iter()
            .filter(|(_, wills)| wills.iter().any(due));
        for client in clients
            .map(|(client, _)| client.clone())
            .collect::<Vec<_>>()
        {
            self.publish_due_wills_of(view, &client, fx);
        }
    }

    fn publish_due_wills_of(&mut self, view: View<'_>, client: &Arc<str>, fx: &mut Vec<Effect>) {
        let slot = self.slots.get(&self.slot_of(client));
        if slot.is_none_or(|slot| !slot.may_begin(view.now)) {
            return;
        }
        let mut ready = Vec::new();
        for due in self.wills.due.get_mut(client).into_iter().flatten() {
            if due.is_ready(view.now) {
                due.publishing = true;
                ready.push((due.id, due.will.message.clone(), due.will.username.clone()));
            }
        }
        for (id, message, username) in ready {
            if !view
                .directory
                .acl(username.as_deref(), client)
                .may_publish(message.topic())
            {
                self.counters.refused_acl += 1;
                self.will_done(client, id);
                continue;
            }
            let mut message = (*message).clone();
            message.expires_at = message.expires_at.map(|interval| view.now + interval);
            self.publish_will(view, client, id, &Arc::new(message), fx);
        }
    }

    /// Published and stored: nothing of it is owed any more.
    pub(super) fn will_done(&mut self, client: &Arc<str>, id: u64) {
        let Some(wills) = self.wills.due.get_mut(client) else {
            return;
        };
        wills.retain(|due| due.id != id);
        if wills.is_empty() {
            self.wills.due.remove(client);
        }
        let slot = self.slot_of(client);
        self.write_will(slot, id, client, None);
    }
}
