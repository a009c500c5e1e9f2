//! SUBSCRIBE and UNSUBSCRIBE. A session that ends with its connection is answered at once; of a
//! durable one the change is a marker in its slot's inbox, and SUBACK follows its commit: where
//! the marker stands is where the subscription begins (architecture section 4).

use super::commit::{Answer, Waiter};
use super::connection::{Ended, Flow};
use super::effect::{ConnId, Effect, Token, Topic, Write};
use super::limits::fits;
use super::replay::{Change, Due, asks};
use super::session::Sub;
use super::{Shard, View};
use crate::message::Message;
use crate::record::{
    InboxRecord, Marker, MessageRecord, RetainedFor, SubscriptionRecord, Target, encode, qos,
};
use isthmus_mqtt::{Packet, QoS, ReasonCode, SubAck, Subscribe, Unsubscribe, Version, topic};
use std::sync::Arc;

impl Shard {
    pub(super) fn subscribe(
        &mut self,
        view: View<'_>,
        id: ConnId,
        packet: &Subscribe<'_>,
        fx: &mut Vec<Effect>,
    ) -> Flow {
        let Some(conn) = self.conns.get(&id) else {
            return Flow::Close;
        };
        let (key, version) = (conn.session, conn.version);
        let mut reasons = Vec::with_capacity(packet.filters.len());
        let mut changes = Vec::new();
        let mut retained = Vec::new();
        for wanted in &packet.filters {
            if topic::validate_filter(wanted.filter).is_err() && version != Version::V5 {
                return self.protocol_error(view, id, ReasonCode::TOPIC_FILTER_INVALID, fx); // [MQTT-4.7.1-2] of 3.1.1
            }
            if wanted.options.no_local && topic::parse_shared(wanted.filter).is_some() {
                return self.protocol_error(view, id, ReasonCode::PROTOCOL_ERROR, fx); // [MQTT-3.8.3-4]
            }
            if let Some(reason) = self.refused_filter(key, wanted.filter) {
                reasons.push(match version {
                    Version::V5 => reason,
                    // MQTT 3.1 defines no code for it; the contract says 0x80 there as well.
                    Version::V31 | Version::V311 => ReasonCode::UNSPECIFIED_ERROR,
                });
                continue;
            }
            reasons.push(ReasonCode(wanted.options.qos as u8));
            let options = SubscriptionRecord {
                qos: wanted.options.qos as u8,
                no_local: wanted.options.no_local,
                retain_as_published: wanted.options.retain_as_published,
                id: packet.subscription_id,
            };
            let is_new = self.add(key, wanted.filter, options, fx);
            changes.push((wanted.filter.to_owned(), Some(options)));
            if asks(wanted, is_new) {
                retained.push((wanted.filter.to_owned(), options));
            }
        }
        let answer = Packet::SubAck(SubAck {
            packet_id: packet.packet_id,
            reason_string: None,
            user_properties: Default::default(),
            reasons,
        });
        self.replay(view, id, key, changes, retained, answer, fx);
        Flow::Go
    }

    pub(super) fn unsubscribe(
        &mut self,
        view: View<'_>,
        id: ConnId,
        packet: &Unsubscribe<'_>,
        fx: &mut Vec<Effect>,
    ) -> Flow {
        let Some(conn) = self.conns.get(&id) else {
            return Flow::Close;
        };
        let (key, version) = (conn.session, conn.version);
        let mut reasons = Vec::with_capacity(packet.filters.len());
        let mut changes = Vec::new();
        for filter in &packet.filters {
            if topic::validate_filter(filter).is_err() && version != Version::V5 {
                return self.protocol_error(view, id, ReasonCode::TOPIC_FILTER_INVALID, fx);
            }
            let Some(session) = self.sessions.get(key) else {
                return Flow::Close;
            };
            let had = session
                .subs
                .get(*filter)
                .copied()
                .filter(|sub| sub.live.is_some());
            reasons.push(if had.is_some() {
                ReasonCode::SUCCESS
            } else {
                ReasonCode::NO_SUBSCRIPTION_EXISTED
            });
            let Some(mut sub) = had else { continue };
            sub.live = None;
            let left = (session.durable && sub.durable.is_some()).then_some(sub);
            self.set_sub(key, filter, left, fx);
            self.end_replays(key, filter);
            changes.push(((*filter).to_owned(), None));
        }
        let answer = Packet::UnsubAck(SubAck {
            packet_id: packet.packet_id,
            reason_string: None,
            user_properties: Default::default(),
            reasons,
        });
        self.replay(view, id, key, changes, Vec::new(), answer, fx);
        Flow::Go
    }

    fn refused_filter(&self, key: usize, filter: &str) -> Option<ReasonCode> {
        let limits = &self.config.limits;
        let session = self.sessions.get(key)?;
        if topic::validate_filter(filter).is_err() || !fits(limits, filter) {
            return Some(ReasonCode::TOPIC_FILTER_INVALID);
        }
        if !session.acl.may_subscribe(filter) {
            return Some(ReasonCode::NOT_AUTHORIZED);
        }
        let full = session.subs.len() >= limits.max_subscriptions_per_client as usize;
        (full && !session.subs.contains_key(filter)).then_some(ReasonCode::QUOTA_EXCEEDED)
    }

    /// Takes a subscription in for live deliveries; yields whether it is a new one.
    fn add(
        &mut self,
        key: usize,
        filter: &str,
        options: SubscriptionRecord,
        fx: &mut Vec<Effect>,
    ) -> bool {
        let Some(session) = self.sessions.get(key) else {
            return false;
        };
        let before = session.subs.get(filter).copied().unwrap_or_default();
        let sub = Sub {
            live: Some(options),
            silent: false,
            ..before
        };
        self.set_sub(key, filter, Some(sub), fx);
        before.live.is_none()
    }

    /// Answers SUBSCRIBE or UNSUBSCRIBE, at once or when the change is committed and the other pods
    /// that the token asks have said their word.
    #[expect(
        clippy::too_many_arguments,
        reason = "whose change, what, and the answer"
    )]
    pub(super) fn change(
        &mut self,
        view: View<'_>,
        id: ConnId,
        key: usize,
        changes: Vec<Change>,
        retained: Vec<Due>,
        answer: &Packet<'_>,
        fx: &mut Vec<Effect>,
    ) -> Option<Token> {
        let session = self.sessions.get(key)?;
        let (durable, slot, no_local) = (session.durable, session.slot, session.client_id.clone());
        let mut now = Vec::new();
        let mut by_inbox = Vec::new();
        for (filter, options, message) in retained {
            if options.no_local && message.publisher == no_local {
                continue;
            }
            let granted = message.qos.min(qos(options.qos));
            if durable && granted > QoS::AtMostOnce {
                by_inbox.push((filter, message));
            } else {
                now.push((options, message));
            }
        }
        let subscribes = changes.iter().any(|(_, options)| options.is_some());
        let commits = durable && !changes.is_empty();
        let sync = match subscribes {
            true => self.sync(view, commits, fx),
            false => None,
        };
        if !commits && sync.is_none() {
            self.send(id, answer);
            self.send_retained(view, key, now, fx);
            return None;
        }
        let mut bytes = Vec::new();
        if isthmus_mqtt::encode::encode(answer, self.version(id), &mut bytes).is_err() {
            self.end(view, id, Ended::Protocol(ReasonCode::UNSPECIFIED_ERROR), fx);
            return None;
        }
        let answer = Answer {
            conn: id,
            bytes,
            retained: now,
        };
        if commits {
            self.mark(key, changes, by_inbox);
            self.commit_for(slot, Waiter::Answer(answer, sync));
        } else {
            self.answer(view, sync, answer, fx);
        }
        sync
    }

    /// Writes the marker of a change, and the retained messages that are due behind it.
    fn mark(&mut self, key: usize, changes: Vec<Change>, retained: Vec<(String, Arc<Message>)>) {
        let Some(session) = self.sessions.get(key).filter(|session| session.durable) else {
            return;
        };
        let slot_no = session.slot;
        let (client_id, incarnation) = (session.client_id.to_string(), session.incarnation);
        let marker = InboxRecord::Marker(Marker {
            client_id: client_id.clone(),
            incarnation,
            changes,
        });
        let to_inbox = |value| Write {
            topic: Topic::Inbox,
            slot: Some(slot_no),
            key: None,
            value: Some(value),
            headers: Vec::new(),
        };
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return;
        };
        slot.writes.push(to_inbox(encode(&marker)));
        for (filter, message) in retained {
            let only = RetainedFor {
                client_id: client_id.clone(),
                incarnation,
                filter,
            };
            let target = Target {
                retained: Some(only),
                ..Target::default()
            };
            let record = InboxRecord::Message {
                message: MessageRecord::from(&*message),
                target,
            };
            slot.writes.push(to_inbox(encode(&record)));
        }
        self.commits.note(slot_no);
    }
}
