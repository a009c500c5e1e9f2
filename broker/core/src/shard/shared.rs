//! Shared subscriptions (ruling 15): online members first, in turn, else one persistent member;
//! what a member leaves behind moves on to another.

use super::confirm::Kind;
use super::effect::{Effect, Live, Topic, Write};
use super::publish::Manner;
use super::session::{Entry, Sent};
use super::slot::Body;
use super::{Shard, View};
use crate::message::Message;
use crate::queue::State;
use crate::record::{InboxRecord, MessageRecord, Target, encode};
use crate::routes::Kinds;
use isthmus_mqtt::QoS;
use std::sync::Arc;

impl Shard {
    /// The slot whose turn it is, and whether by its inbox.
    pub(super) fn choose(&mut self, slots: &[(u16, Kinds)], by_inbox: bool) -> Option<(u16, bool)> {
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let nth = |wanted: Kinds| {
            let able: Vec<_> = slots.iter().filter(|(_, kinds)| kinds.any(wanted)).collect();
            let at = turn % able.len().max(1);
            able.get(at).map(|(slot, kinds)| (*slot, *kinds, turn / able.len().max(1)))
        };
        if let Some((slot, kinds, round)) = nth(Kinds::LIVE | Kinds::DURABLE_ONLINE) {
            let both = kinds.any(Kinds::LIVE) && kinds.any(Kinds::DURABLE_ONLINE);
            let durable = kinds.any(Kinds::DURABLE_ONLINE) && !(both && round % 2 == 1);
            return Some((slot, durable && by_inbox));
        }
        by_inbox.then(|| nth(Kinds::DURABLE)).flatten().map(|(slot, _, _)| (slot, true))
    }

    /// The member of a group in one slot whose turn it is.
    pub(super) fn member(
        &mut self,
        slot: u16,
        group: &str,
        filter: &str,
        able: impl Fn(&Self, &Entry) -> bool,
    ) -> Option<Entry> {
        self.turn = self.turn.wrapping_add(1);
        let members = &self.index.group(group, filter)?.members;
        let able: Vec<&Entry> =
            members.iter().filter(|e| e.slot == slot && !e.sub.silent && able(self, e)).collect();
        able.get(self.turn % able.len().max(1)).map(|e| (*e).clone())
    }

    pub(super) fn is_online(&self, session: usize) -> bool {
        self.sessions.get(session).is_some_and(|s| s.conn.is_some())
    }

    /// An inbox record or what an ended session had of it goes on to another member. `guard` is
    /// the inbox offset that must not be passed before it is safe.
    pub(super) fn forward(
        &mut self,
        view: View<'_>,
        message: &Arc<Message>,
        group: (&str, &str),
        guard: Option<(u16, i64)>,
        fx: &mut Vec<Effect>,
    ) {
        let slots = view.routes.shared_slots(group.0, group.1);
        let by_inbox = message.qos > QoS::AtMostOnce;
        let Some((slot, durable)) = self.choose(&slots, by_inbox) else {
            self.counters.inbox_unclaimed += 1;
            return;
        };
        if !durable {
            let live = Live {
                message: message.clone(),
                all: false,
                by_filter: false,
                only_online: Manner::default().only_online,
                shared: vec![(slot, group.0.into(), group.1.into())],
                answer: None,
            };
            let shard = self.shard_of(slot);
            if shard == self.config.shard {
                self.deliver(view, &live, fx);
            } else {
                fx.push(Effect::Live(shard, live));
            }
            return;
        }
        let target = Target { shared: vec![group], ..Target::default() };
        let record = InboxRecord::Message { message: MessageRecord::from(&**message), target };
        let token = self.token();
        let kind = match guard {
            Some((slot, offset)) => {
                if let Some(slot) = self.slots.get_mut(&slot) {
                    slot.forwarding.insert(offset);
                }
                Kind::Forward { slot, offset }
            }
            None => Kind::Nothing,
        };
        self.wait(token, kind, 1, None);
        fx.push(Effect::Write(token, Write {
            topic: Topic::Inbox,
            slot: Some(slot),
            key: None,
            value: Some(encode(&record)),
            headers: Vec::new(),
        }));
    }

    /// A member's session ends: its unsent and QoS 1 messages move on.
    pub(super) fn hand_on_shared(&mut self, view: View<'_>, key: usize, fx: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let slot_no = session.slot;
        let live = std::mem::take(&mut session.live);
        let moves = |qos: QoS, sent: bool| !sent || qos == QoS::AtLeastOnce;
        let window = session.queue.window().filter(|(_, e)| e.state() == State::Sent);
        let owed: Vec<i64> = window
            .chain(session.queue.unsent())
            .filter(|(_, e)| e.shared() && moves(e.qos(), e.state() == State::Sent))
            .map(|(_, e)| e.offset())
            .collect();
        // Its subscriptions no longer count as members.
        let filters: Vec<Box<str>> = session.subs.keys().filter(|f| f.starts_with("$share/")).cloned().collect();
        for filter in filters {
            self.set_sub(key, &filter, None, fx);
        }
        for entry in live {
            if let Some((group, filter)) = &entry.shared
                && moves(entry.qos, entry.sent != Sent::No)
            {
                self.forward(view, &entry.message, (group, filter), None, fx);
            }
        }
        let Some(slot) = self.slots.get_mut(&slot_no) else { return };
        for offset in owed {
            slot.forwarding.insert(offset);
            slot.orphans.insert(offset);
            slot.wants.insert(offset);
        }
        self.forward_orphans(view, slot_no, fx);
    }

    /// Sends on what is at hand, and asks for the rest.
    pub(super) fn forward_orphans(&mut self, view: View<'_>, slot_no: u16, fx: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(&slot_no) else { return };
        let mut ready: Vec<(i64, Option<Body>)> = Vec::new();
        for offset in &slot.orphans {
            if let Some(body) = slot.body(*offset) {
                ready.push((*offset, body.cloned()));
            }
        }
        for (offset, _) in &ready {
            slot.orphans.remove(offset);
            slot.wants.remove(offset);
            slot.forwarding.remove(offset);
        }
        for (offset, body) in ready {
            let Some(body) = body else { continue };
            for (group, filter) in &body.shared {
                self.forward(view, &body.message, (group, filter), Some((slot_no, offset)), fx);
            }
        }
        self.fetch(slot_no, fx);
    }
}
