//! Retained messages for new subscriptions where other pods retain messages too: a replay waits
//! until this pod has read what the log held at SUBSCRIBE. A pod that is cut off from Kafka would hand out
//! what has been replaced elsewhere, so it waits for longer than it takes to lose its slots, and
//! only then goes on with what is there.
//!
//! SUBACK of a session that ends with its connection does not wait. A durable SUBSCRIBE waits as a
//! whole: its marker and the messages due behind it stand in one commit, so that no crash comes
//! between SUBACK and what it promises. Changes of a session keep their order.

use super::effect::{ConnId, Effect, Token};
use super::{Shard, View};
use crate::message::Message;
use crate::record::SubscriptionRecord;
use isthmus_mqtt::{Packet, RetainHandling, SubscribeFilter, topic};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How long Kafka may take to say where the log ends, and the pod to read it, ms.
pub const REFRESH_PATIENCE: u64 = 30_000;
/// Replays of one session that may wait; more go on with what is there.
const REPLAYS: usize = 64;

/// A subscription change as its marker tells it.
pub(super) type Change = (String, Option<SubscriptionRecord>);
/// A retained message that is due to a subscription.
pub(super) type Due = (String, SubscriptionRecord, Arc<Message>);

/// What waits in a session; in the order in which it came.
#[derive(Debug)]
pub(super) struct Replay {
    /// `None`: it only waits for those before it.
    token: Option<Token>,
    conn: ConnId,
    /// Whose retained messages are due.
    filters: Vec<(String, SubscriptionRecord)>,
    /// The change of a durable session and its answer.
    held: Option<(Vec<Change>, Packet<'static>)>,
    /// Else: what its answer waits for.
    answer: Option<Token>,
}

struct Refreshing {
    session: usize,
    incarnation: u64,
    until: u64,
}

/// Questions under way, the oldest first.
#[derive(Default)]
pub(super) struct Refreshes(BTreeMap<Token, Refreshing>);

impl Refreshes {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Whether a SUBSCRIBE asks for what is retained under one of its filters.
pub(super) fn asks(wanted: &SubscribeFilter<'_>, is_new: bool) -> bool {
    let sends = match wanted.options.retain_handling {
        RetainHandling::Send => true,
        RetainHandling::SendIfNew => is_new,
        RetainHandling::DoNotSend => false,
    };
    sends && topic::parse_shared(wanted.filter).is_none()
}

impl Shard {
    /// Answers SUBSCRIBE, with what is retained under `filters`, when that is known.
    #[expect(
        clippy::too_many_arguments,
        reason = "whose change, what, and the answer"
    )]
    pub(super) fn replay(
        &mut self,
        view: View<'_>,
        conn: ConnId,
        key: usize,
        changes: Vec<Change>,
        filters: Vec<(String, SubscriptionRecord)>,
        answer: Packet<'static>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let held = session.durable && !changes.is_empty();
        let (incarnation, waiting) = (session.incarnation, session.replays.len());
        let asks = !view.alone && !filters.is_empty() && waiting < REPLAYS;
        // A change of a durable session does not overtake those that wait.
        if !asks && (waiting == 0 || !held) {
            let due = due(view, &filters);
            self.change(view, conn, key, changes, due, &answer, fx);
            return;
        }
        let token = asks.then(|| {
            let token = self.token();
            let refreshing = Refreshing {
                session: key,
                incarnation,
                until: view.now + REFRESH_PATIENCE,
            };
            self.refreshes.0.insert(token, refreshing);
            fx.push(Effect::Refresh(token));
            token
        });
        let mut replay = Replay {
            token,
            conn,
            filters,
            held: None,
            answer: None,
        };
        if held {
            replay.held = Some((changes, answer));
        } else {
            replay.answer = self.change(view, conn, key, changes, Vec::new(), &answer, fx);
        }
        if let Some(session) = self.sessions.get_mut(key) {
            session.replays.push_back(replay);
        }
    }

    /// The pod has read as far as the log of retained messages went when this was asked for.
    pub fn refreshed(&mut self, view: View<'_>, token: Token, fx: &mut Vec<Effect>) {
        let Some(asked) = self.refreshes.0.remove(&token) else {
            return;
        };
        let key = asked.session;
        let found = self.sessions.get_mut(key);
        let Some(session) = found.filter(|s| s.incarnation == asked.incarnation) else {
            return;
        };
        let mut replays = session.replays.iter_mut();
        if let Some(replay) = replays.find(|replay| replay.token == Some(token)) {
            replay.token = None;
        }
        while let Some(session) = self.sessions.get_mut(key)
            && let Some(replay) = session.replays.pop_front_if(|next| next.token.is_none())
        {
            self.perform_replay(view, key, replay, fx);
        }
    }

    fn perform_replay(&mut self, view: View<'_>, key: usize, replay: Replay, fx: &mut Vec<Effect>) {
        if let Some((changes, answer)) = replay.held {
            let due = due(view, &replay.filters);
            self.change(view, replay.conn, key, changes, due, &answer, fx);
            return;
        }
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        if session.conn != Some(replay.conn) {
            return;
        }
        // As it is subscribed to now.
        let now = replay.filters.into_iter().filter_map(|(filter, _)| {
            let sub = session.subs.get(&*filter).filter(|sub| !sub.silent)?;
            Some((filter, sub.live?))
        });
        let mut due = due(view, &now.collect::<Vec<_>>());
        due.retain(|(_, options, m)| !(options.no_local && m.publisher == session.client_id));
        let messages = due.into_iter().map(|(_, options, m)| (options, m));
        let messages = self.syncs.put_behind(replay.answer, messages.collect());
        self.send_retained(view, key, messages, fx);
    }

    /// UNSUBSCRIBE: what is retained under a filter is due no more.
    pub(super) fn end_replays(&mut self, key: usize, filter: &str) {
        let replays = self.sessions.get_mut(key).map(|s| &mut s.replays);
        for replay in replays.into_iter().flatten() {
            replay.filters.retain(|(wanted, _)| wanted != filter);
        }
    }

    /// Whatever Kafka has not said in time is not waited for.
    pub(super) fn end_late_refreshes(&mut self, view: View<'_>, fx: &mut Vec<Effect>) {
        while let Some((token, asked)) = self.refreshes.0.first_key_value()
            && asked.until <= view.now
        {
            self.refreshed(view, *token, fx);
        }
    }
}

/// What is retained under filters.
fn due(view: View<'_>, filters: &[(String, SubscriptionRecord)]) -> Vec<Due> {
    let mut found = Vec::new();
    for (filter, options) in filters {
        view.retained.matching(filter, view.now, &mut |message| {
            found.push((filter.clone(), *options, message.clone()));
        });
    }
    found
}

/// A session's replays that wait.
pub(super) type Replays = VecDeque<Replay>;
