//! Shared subscriptions (ruling 15): online members first, in turn, else one persistent member;
//! what a member leaves behind moves on to another.

use super::confirm::Kind;
use super::effect::{Effect, Live, To, Token, Topic, Write};
use super::interest::kinds as wants;
use super::route::Manner;
use super::session::Entry;
use super::slot::Body;
use super::{Shard, View};
use crate::message::Message;
use crate::queue::State;
use crate::record::{InboxRecord, MessageRecord, Target, encode};
use crate::routes::{Kinds, SharedHit};
use isthmus_mqtt::QoS;
use std::sync::Arc;

/// How a message goes on to another member.
#[derive(Clone, Copy, Debug)]
pub(super) enum Onward {
    /// From the inbox of this slot: with its next commit, so that the position passes it and it
    /// moves in one transaction.
    FromInbox(u16),
    /// A live one that somebody waits for: who takes it says so by this token.
    Awaited(Token),
    /// What an ended session had of live ones.
    Alone,
}

/// The slot whose turn it is, and whether by its inbox.
fn choose(slots: &[(u16, Kinds)], turn: usize, by_inbox: bool) -> Option<(u16, bool)> {
    let nth = |wanted: Kinds| {
        let able: Vec<_> = slots
            .iter()
            .filter(|(_, kinds)| kinds.any(wanted))
            .collect();
        let at = turn % able.len().max(1);
        able.get(at)
            .map(|(slot, kinds)| (*slot, *kinds, turn / able.len().max(1)))
    };
    if let Some((slot, kinds, round)) = nth(Kinds::LIVE | Kinds::DURABLE_ONLINE) {
        let both = kinds.any(Kinds::LIVE) && kinds.any(Kinds::DURABLE_ONLINE);
        let durable = kinds.any(Kinds::DURABLE_ONLINE) && !(both && round % 2 == 1);
        return Some((slot, durable && by_inbox));
    }
    by_inbox
        .then(|| nth(Kinds::DURABLE))
        .flatten()
        .map(|(slot, _, _)| (slot, true))
}

impl Shard {
    /// The slot whose turn it is, and whether by its inbox. What this shard's own slots have is
    /// known better than the routes tell: a member may be about to leave.
    pub(super) fn choose(&self, hit: &SharedHit, by_inbox: bool) -> Option<(u16, bool)> {
        let mut slots = hit.slots.clone();
        let name = format!("$share/{}/{}", hit.group, hit.filter);
        for (number, kinds) in &mut slots {
            if let Some(slot) = self.slots.get(number) {
                *kinds = slot
                    .wanted
                    .get(&*name)
                    .map_or(Kinds::default(), |wanted| wants(*wanted));
            }
        }
        choose(&slots, hit.turn, by_inbox)
    }

    /// The member of a group in one slot whose turn it is: who has waited longest.
    pub(super) fn member(
        &mut self,
        slot: u16,
        group: &str,
        filter: &str,
        able: impl Fn(&Self, &Entry) -> bool,
    ) -> Option<Entry> {
        self.turn = self.turn.wrapping_add(1);
        let members = &self.index.group(group, filter)?.members;
        let able = members
            .iter()
            .filter(|e| e.slot == slot && !e.sub.silent && able(self, e));
        let member = able.min_by_key(|e| e.served)?.clone();
        self.index.served(group, filter, member.session, self.turn);
        Some(member)
    }

    pub(super) fn is_online(&self, session: usize) -> bool {
        self.sessions.get(session).is_some_and(|s| s.conn.is_some())
    }

    /// A message goes on to another member; yields whether somebody's word about that is to come.
    pub(super) fn forward(
        &mut self,
        view: View<'_>,
        message: &Arc<Message>,
        by_filter: bool,
        group: (&str, &str),
        how: Onward,
        fx: &mut Vec<Effect>,
    ) -> bool {
        let by_inbox = message.qos > QoS::AtMostOnce;
        let hit = view.routes.shared_hit(group.0, group.1);
        let Some((slot, durable)) = hit.and_then(|hit| self.choose(&hit, by_inbox)) else {
            self.counters.inbox_unclaimed += 1;
            return false;
        };
        let awaited = match how {
            Onward::Awaited(token) => Some(token),
            Onward::FromInbox(_) | Onward::Alone => None,
        };
        if !durable {
            let mut live = Live {
                message: message.clone(),
                all: false,
                by_filter,
                only_online: Manner::default().only_online,
                shared: vec![(slot, group.0.into(), group.1.into())],
                answer: None,
            };
            let to = self.home_of(view, slot);
            if to == To::Shard(self.config.shard) {
                self.deliver(view, &live, &mut Vec::new(), fx);
                return false;
            }
            live.answer = awaited;
            fx.push(Effect::Live(to, live));
            return awaited.is_some();
        }
        let target = Target {
            shared: vec![group],
            by_filter,
            ..Target::default()
        };
        let record = InboxRecord::Message {
            message: MessageRecord::from(&**message),
            target,
        };
        let write = Write {
            topic: Topic::Inbox,
            slot: Some(slot),
            key: None,
            value: Some(encode(&record)),
            headers: Vec::new(),
        };
        if let Onward::FromInbox(from) = how {
            if let Some(slot) = self.slots.get_mut(&from) {
                slot.writes.push(write);
                self.commits.note_urgent(from);
            }
            return false;
        }
        let token = awaited.unwrap_or_else(|| {
            let token = self.token();
            self.wait(token, Kind::Nothing, 1, None);
            token
        });
        fx.push(Effect::Write(token, write));
        awaited.is_some()
    }

    /// A member's session ends: its unsent and QoS 1 messages move on.
    pub(super) fn hand_on_shared(&mut self, view: View<'_>, key: usize, fx: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let slot_no = session.slot;
        let live = session.live.take_all();
        let moves = |qos: QoS, sent: bool| !sent || qos == QoS::AtLeastOnce;
        let window = session
            .queue
            .window()
            .filter(|(_, e)| e.state() == State::Sent);
        let owed: Vec<i64> = window
            .chain(session.queue.unsent())
            .filter(|(_, e)| e.shared() && moves(e.qos(), e.state() == State::Sent))
            .map(|(_, e)| e.offset())
            .collect();
        // Its subscriptions no longer count as members.
        let filters: Vec<Box<str>> = session
            .subs
            .keys()
            .filter(|f| f.starts_with("$share/"))
            .cloned()
            .collect();
        for filter in &filters {
            self.set_sub(key, filter, None, fx);
        }
        for (entry, sent) in live {
            if let Some((group, filter)) = entry.shared.as_deref()
                && moves(entry.share.qos, sent)
            {
                self.forward(
                    view,
                    &entry.message,
                    entry.share.name.is_some(),
                    (group, filter),
                    Onward::Alone,
                    fx,
                );
            }
        }
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return;
        };
        for offset in owed {
            slot.orphans
                .entry(offset)
                .or_default()
                .extend(filters.iter().cloned());
            slot.wants.insert(offset);
        }
        self.forward_orphans(view, slot_no, fx);
    }

    /// Sends on what is at hand, and asks for the rest.
    pub(super) fn forward_orphans(&mut self, view: View<'_>, slot_no: u16, fx: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return;
        };
        let mut ready: Vec<(i64, Option<Body>)> = Vec::new();
        for offset in slot.orphans.keys() {
            if let Some(body) = slot.body(*offset) {
                ready.push((*offset, body.cloned()));
            }
        }
        for (offset, body) in ready {
            let Some(slot) = self.slots.get_mut(&slot_no) else {
                return;
            };
            let left = slot.orphans.remove(&offset).unwrap_or_default();
            slot.wants.remove(&offset);
            self.commits.note(slot_no);
            let Some(body) = body else { continue };
            // Of several groups in one record it is owed to the one that the session was in, as far
            // as it had not unsubscribed.
            let was_in = |(group, filter): &&(Box<str>, Box<str>)| {
                left.contains(&*format!("$share/{group}/{filter}"))
            };
            let any = !body.shared.iter().any(|g| was_in(&g));
            for (group, filter) in body.shared.iter().filter(|g| any || was_in(g)) {
                self.forward(
                    view,
                    &body.message,
                    body.by_filter,
                    (group, filter),
                    Onward::FromInbox(slot_no),
                    fx,
                );
            }
        }
        self.fetch(slot_no, fx);
    }
}
