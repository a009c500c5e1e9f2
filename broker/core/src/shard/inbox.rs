//! The inbox at its owner: markers change durable subscriptions, messages enter the queues of the
//! sessions that they are due to, and bodies are fetched again for queues that are long.

use super::effect::Effect;
use super::session::Sub;
use super::shared::Onward;
use super::slot::{Body, Phase};
use super::{Shard, View};
use crate::message::Message;
use crate::queue::Entry;
use crate::record::{
    InboxRecord, Marker, RecordError, RetainedFor, SubscriptionRecord, Target, decode, qos,
};
use isthmus_mqtt::QoS;
use std::sync::Arc;

/// Bytes of fetched bodies that a slot keeps for sessions in the middle of them.
const FETCHED_BYTES: usize = 8 << 20;
/// Bodies asked for at once.
const FETCH: usize = 1024;

impl Shard {
    /// A record of a slot's inbox.
    ///
    /// # Errors
    /// A record that this release cannot read stops the reader; nothing is skipped.
    pub fn inbox(
        &mut self,
        view: View<'_>,
        slot_no: u16,
        offset: i64,
        value: &[u8],
        fx: &mut Vec<Effect>,
    ) -> Result<(), RecordError> {
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return Ok(());
        };
        // A slot that closes would never be done while others write to it: what comes is the next
        // owner's, who reads from the position that is committed.
        if offset < slot.position || slot.phase == Phase::Closing {
            return Ok(());
        }
        match decode::<InboxRecord<'_>>(value)? {
            InboxRecord::Marker(marker) => self.apply(slot_no, offset, &marker, fx),
            InboxRecord::Opened { owner, restore } => {
                let ours = *owner.node == *self.config.node && owner.start == self.config.start;
                if ours && slot.restore == restore {
                    slot.life = offset;
                    self.open_slot(view, slot_no, fx);
                }
            }
            InboxRecord::Message { message, target } => {
                let body = body(&message, &target);
                if let Some(slot) = self.slots.get_mut(&slot_no) {
                    slot.recent.push(offset, body.clone());
                }
                self.enqueue_due(view, slot_no, offset, &body, &target, fx);
            }
        }
        if let Some(slot) = self.slots.get_mut(&slot_no) {
            slot.position = offset + 1;
        }
        self.commits.note(slot_no);
        Ok(())
    }

    fn apply(&mut self, slot_no: u16, offset: i64, marker: &Marker, fx: &mut Vec<Effect>) {
        let Some(key) = self.by_client.get(&*marker.client_id).copied() else {
            return;
        };
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.incarnation != marker.incarnation || offset < session.seen {
            return;
        }
        session.changed = true;
        for (filter, options) in &marker.changes {
            let Some(session) = self.sessions.get(key) else {
                return;
            };
            let before = session.subs.get(&**filter).copied().unwrap_or_default();
            // After a crash the marker is all that is left of a SUBSCRIBE.
            let live = if self.slots.get(&slot_no).is_some_and(|s| s.is_open()) {
                before.live
            } else {
                *options
            };
            let silent = !session.acl.may_subscribe(filter);
            let sub = Sub {
                live,
                durable: *options,
                silent,
                ..before
            };
            let left = (sub.live.is_some() || sub.durable.is_some()).then_some(sub);
            self.set_sub(key, filter, left, fx);
        }
        if let Some(slot) = self.slots.get_mut(&slot_no) {
            slot.dirty.insert(key);
        }
    }

    fn enqueue_due(
        &mut self,
        view: View<'_>,
        slot_no: u16,
        offset: i64,
        body: &Body,
        target: &Target<'_>,
        fx: &mut Vec<Effect>,
    ) {
        let mut due: Vec<(usize, SubscriptionRecord, bool)> = Vec::new();
        if target.all {
            let mut matches = Vec::new();
            self.matches(&body.message, body.by_filter, Some(slot_no), &mut matches);
            matches.retain(|m| m.keeps);
            if matches.len() > 1 {
                matches.sort_by_key(|m| m.session);
            }
            for same in matches.chunk_by(|a, b| a.session == b.session) {
                let Some(key) = same.first().map(|m| m.session) else {
                    continue;
                };
                let Some(client) = self.sessions.get(key).map(|s| s.client_id.clone()) else {
                    continue;
                };
                let own = *client == *body.message.publisher;
                let options = same
                    .iter()
                    .filter_map(|m| m.sub.durable)
                    .filter(|o| !(o.no_local && own));
                let joined = options.reduce(|a, b| SubscriptionRecord {
                    qos: a.qos.max(b.qos),
                    retain_as_published: a.retain_as_published || b.retain_as_published,
                    ..a
                });
                due.extend(joined.filter(|o| o.qos > 0).map(|o| (key, o, false)));
            }
        }
        if let Some(RetainedFor {
            client_id,
            incarnation,
            filter,
        }) = &target.retained
        {
            let key = self.by_client.get(&**client_id).copied();
            let session = key
                .and_then(|k| self.sessions.get(k))
                .filter(|s| s.incarnation == *incarnation);
            let options = session
                .and_then(|s| s.subs.get(&**filter))
                .and_then(|sub| sub.durable);
            if let (Some(key), Some(options)) = (key, options) {
                due.push((
                    key,
                    SubscriptionRecord {
                        retain_as_published: true,
                        ..options
                    },
                    false,
                ));
            }
        }
        for (group, filter) in &target.shared {
            // Who has this offset behind it already may not have been a member then.
            let able = |shard: &Self, e: &super::session::Entry| {
                e.keeps
                    && e.sub.durable.is_some_and(|o| o.qos > 0)
                    && shard
                        .sessions
                        .get(e.session)
                        .is_some_and(|s| s.seen <= offset)
            };
            let member = self
                .member(slot_no, group, filter, |shard, e| {
                    able(shard, e) && shard.is_online(e.session)
                })
                .or_else(|| self.member(slot_no, group, filter, able));
            match member.and_then(|e| e.sub.durable.map(|o| (e.session, o))) {
                Some((key, options)) => due.push((key, options, true)),
                None => {
                    let how = Onward::FromInbox(slot_no);
                    let group = (&**group, &**filter);
                    self.forward(view, &body.message, body.by_filter, group, how, fx);
                }
            }
        }
        if due.is_empty() && target.shared.is_empty() {
            self.counters.inbox_unclaimed += 1;
        }
        for (key, options, shared) in due {
            self.enqueue(
                view,
                slot_no,
                key,
                offset,
                &body.message,
                options,
                shared,
                fx,
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "which record for whom")]
    fn enqueue(
        &mut self,
        view: View<'_>,
        slot_no: u16,
        key: usize,
        offset: i64,
        message: &Message,
        options: SubscriptionRecord,
        shared: bool,
        fx: &mut Vec<Effect>,
    ) {
        let Some(session) = self.sessions.get_mut(key).filter(|s| offset >= s.seen) else {
            return;
        };
        let granted: QoS = message.qos.min(qos(options.qos));
        if granted == QoS::AtMostOnce {
            return;
        }
        let retain = message.retain && options.retain_as_published;
        let entry = Entry::new(offset, message.size(), granted, retain, message.expires_at);
        let entry = if shared { entry.by_share() } else { entry };
        let bounds = &self.config.session;
        let dropped = session.queue.push(
            entry,
            bounds.max_queued_messages as usize,
            bounds.max_queued_bytes,
        );
        self.counters.dropped_queue_full += dropped as u64;
        if let Some(slot) = self.slots.get_mut(&slot_no) {
            slot.dirty.insert(key);
        }
        self.pump(view, key, fx);
    }

    /// Asks for the bodies that sessions of the slot wait for, one pass at a time.
    pub(super) fn fetch(&mut self, slot_no: u16, fx: &mut Vec<Effect>) {
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return;
        };
        if slot.fetching || slot.wants.is_empty() {
            return;
        }
        slot.fetching = true;
        let offsets: Vec<i64> = slot.wants.iter().copied().take(FETCH).collect();
        fx.push(Effect::Fetch(slot_no, offsets));
    }

    /// Bodies that were fetched; an absent one is no longer in Kafka. What was asked for and is
    /// not among them is asked for again.
    pub fn bodies(
        &mut self,
        view: View<'_>,
        slot_no: u16,
        found: &[(i64, Option<Vec<u8>>)],
        fx: &mut Vec<Effect>,
    ) -> Result<(), RecordError> {
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return Ok(());
        };
        slot.fetching = false;
        for (offset, value) in found {
            slot.wants.remove(offset);
            let body = match value
                .as_deref()
                .map(decode::<InboxRecord<'_>>)
                .transpose()?
            {
                Some(InboxRecord::Message { message, target }) => Some(body(&message, &target)),
                Some(InboxRecord::Marker(_) | InboxRecord::Opened { .. }) | None => None,
            };
            slot.fetched.insert(*offset, body);
        }
        for key in std::mem::take(&mut slot.waiting_for_bodies) {
            self.pump(view, key, fx);
        }
        self.forward_orphans(view, slot_no, fx);
        if let Some(slot) = self.slots.get_mut(&slot_no) {
            // Kept while someone is in the middle of them; fetched again for whoever comes later.
            if slot.waiting_for_bodies.is_empty() {
                let orphans = &slot.orphans;
                slot.wants.retain(|offset| orphans.contains_key(offset));
            }
            let size = |body: &Option<Body>| body.as_ref().map_or(0, |b| b.message.size());
            let mut bytes: usize = slot.fetched.values().map(size).sum();
            while slot.fetched.len() > 1
                && (bytes > FETCHED_BYTES || slot.fetched.len() > 4 * FETCH)
            {
                bytes -= slot.fetched.pop_first().map_or(0, |(_, body)| size(&body));
            }
        }
        Ok(())
    }
}

fn body(message: &crate::record::MessageRecord<'_>, target: &Target<'_>) -> Body {
    Body {
        message: Arc::new(message.to_message()),
        by_filter: target.by_filter,
        shared: target
            .shared
            .iter()
            .map(|(g, f)| ((*g).into(), (*f).into()))
            .collect(),
    }
}
