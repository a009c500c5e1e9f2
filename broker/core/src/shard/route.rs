//! Where a message goes besides its parent topic: live subscribers at once, the inboxes of slots
//! with durable ones, and the retained messages.

use super::confirm::Kind;
use super::effect::{Effect, Live, To, Token, Topic, Transact, Write};
use super::will::will_write;
use super::{Shard, View};
use crate::message::Message;
use crate::record::{InboxRecord, MessageRecord, Target, encode};
use crate::retained::Word;
use crate::routes::{Hits, Kinds};
use isthmus_mqtt::QoS;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a message goes its ways.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// Its topic is a filter.
    pub(super) by_filter: bool,
    /// Never by way of an inbox.
    pub(super) only_online: bool,
    /// Other pods answer that they took it: what acknowledges the message waits for them.
    pub(super) token: Option<Token>,
    /// Other shards answer as well, with how many they reached.
    pub(super) counted: bool,
}

impl Manner {
    /// A publish that is acknowledged under this token.
    pub(super) fn acknowledged(token: Token) -> Self {
        Self {
            token: Some(token),
            ..Self::default()
        }
    }
}

/// Where a message went.
#[derive(Debug, Default)]
pub(super) struct Routed {
    /// Inbox records to be written.
    pub(super) writes: Vec<Write>,
    /// Answers to come from other shards and pods.
    pub(super) answers: usize,
    /// Sessions of this shard that got it.
    pub(super) reached: usize,
}

impl Shard {
    /// A will; stored like a publish. Of QoS 2, everything goes into one transaction, the end of
    /// what the changelog has of it included.
    pub(super) fn publish_will(
        &mut self,
        view: View<'_>,
        client: &Arc<str>,
        id: u64,
        message: &Arc<Message>,
        fx: &mut Vec<Effect>,
    ) {
        let token = self.token();
        let manner = match message.qos {
            QoS::AtMostOnce => Manner::default(),
            QoS::AtLeastOnce | QoS::ExactlyOnce => Manner::acknowledged(token),
        };
        let routed = self.route(view, message, manner, fx);
        // Above the topic's limit there is nobody left to be told; it is counted.
        let stored = self.stored(view, client, message).unwrap_or_else(|_| {
            self.counters.refused_size += 1;
            None
        });
        let (mut together, mut apart) = (Vec::new(), routed.writes);
        let slot = self.slot_of(client);
        if message.qos == QoS::ExactlyOnce && (stored.is_some() || !apart.is_empty()) {
            together = std::mem::take(&mut apart);
            together.push(will_write(slot, id, client, None));
        }
        let mut waits = apart.len() + routed.answers;
        let lane = stored.as_ref().map(|_| client.clone());
        if let Some(stored) = stored {
            let (way, uplink) = self.uplink(view, client, message, stored);
            let effect = self.by_way(way, token, client, uplink, together);
            self.enter_lane(client, way, effect, fx);
            waits += 1;
        } else if !together.is_empty() {
            fx.push(Effect::Transact(Transact {
                token,
                slot,
                uplinks: Vec::new(),
                writes: together,
            }));
            waits += 1;
        }
        fx.extend(apart.into_iter().map(|write| Effect::Write(token, write)));
        waits += self.retain(view, Some(token), message, fx);
        let kind = Kind::Will(client.clone(), id);
        self.wait(token, kind, waits.max(1), lane);
        if waits == 0 {
            self.confirmed(view, token, Ok(()), fx);
        }
    }

    /// A message of the broker's own to whoever subscribes to `$SYS/…`; it reaches no topic of
    /// Kafka. Yields it for the retained messages of this process.
    pub fn system(
        &mut self,
        view: View<'_>,
        topic: &str,
        payload: &str,
        fx: &mut Vec<Effect>,
    ) -> Arc<Message> {
        let mut message = Message::new(topic, &[], payload.as_bytes());
        message.retain = true;
        message.origin = crate::Origin::Broker;
        let message = Arc::new(message);
        self.route(view, &message, Manner::default(), fx);
        message
    }

    /// Makes a retained message known; returns how many confirmations follow.
    pub(super) fn retain(
        &mut self,
        view: View<'_>,
        token: Option<Token>,
        message: &Arc<Message>,
        fx: &mut Vec<Effect>,
    ) -> usize {
        if !message.retain {
            return 0;
        }
        let limits = &self.config.limits;
        let room = message.payload().is_empty()
            || view.retained.has_room(
                message.topic(),
                message.size(),
                limits.max_retained_messages,
                limits.max_retained_bytes,
            );
        if !room {
            self.counters.dropped_retained += 1;
            return 0;
        }
        let publisher = &message.publisher;
        let slot = self.slots.get(&self.slot_of(publisher));
        let word = slot.map(|slot| Word::new(publisher, slot.life));
        fx.push(Effect::Retain(token, word, message.clone()));
        usize::from(token.is_some())
    }

    /// Live subscribers are served at once; the inbox records that are due are returned.
    pub(super) fn route(
        &mut self,
        view: View<'_>,
        message: &Arc<Message>,
        manner: Manner,
        fx: &mut Vec<Effect>,
    ) -> Routed {
        let mut hits = std::mem::take(&mut self.hits);
        if manner.by_filter {
            view.routes.overlaps(message.topic(), &mut hits);
        } else {
            view.routes.matches(message.topic(), &mut hits);
        }
        let routed = self.route_hits(view, message, manner, &hits, fx);
        self.hits = hits;
        routed
    }

    fn route_hits(
        &mut self,
        view: View<'_>,
        message: &Arc<Message>,
        manner: Manner,
        hits: &Hits,
        fx: &mut Vec<Effect>,
    ) -> Routed {
        let mut routed = Routed::default();
        if hits.slots.is_empty() && hits.shared.is_empty() {
            return routed;
        }
        let by_inbox = message.qos > QoS::AtMostOnce && !manner.only_online;
        let mut inboxes: Vec<(u16, Target<'_>)> = Vec::new();
        let mut lives = Lives {
            own: To::Shard(self.config.shard),
            here: None,
            others: BTreeMap::new(),
        };
        let new_live = || Live {
            message: message.clone(),
            all: false,
            by_filter: manner.by_filter,
            only_online: manner.only_online,
            shared: Vec::new(),
            answer: None,
        };
        for (slot, kinds) in &hits.slots {
            if by_inbox && kinds.any(Kinds::DURABLE) {
                let target = Target {
                    all: true,
                    by_filter: manner.by_filter,
                    ..Target::default()
                };
                inboxes.push((*slot, target));
            }
            if !by_inbox || kinds.any(Kinds::LIVE) {
                lives.of(self.home_of(view, *slot), new_live).all = true;
            }
        }
        for hit in &hits.shared {
            let Some((slot, durable)) = self.choose(hit, by_inbox) else {
                continue;
            };
            if durable {
                let known = inboxes.iter().position(|(s, _)| *s == slot);
                let at = known.unwrap_or_else(|| {
                    inboxes.push((slot, Target::default()));
                    inboxes.len() - 1
                });
                if let Some((_, target)) = inboxes.get_mut(at) {
                    target.by_filter |= manner.by_filter;
                    target.shared.push((&hit.group, &hit.filter));
                }
            } else {
                let live = lives.of(self.home_of(view, slot), new_live);
                live.shared
                    .push((slot, hit.group.clone(), hit.filter.clone()));
            }
        }
        for (slot, target) in inboxes {
            let record = InboxRecord::Message {
                message: MessageRecord::from(&**message),
                target,
            };
            routed.writes.push(Write {
                topic: Topic::Inbox,
                slot: Some(slot),
                key: None,
                value: Some(encode(&record)),
                headers: Vec::new(),
            });
        }
        if let Some(live) = lives.here {
            // Who is a member here is known.
            routed.reached += self.deliver(view, &live, &mut Vec::new(), fx);
        }
        for (to, mut live) in lives.others {
            // A shared subscription's may have to go on from there to an inbox.
            let answers = manner.counted || matches!(to, To::Peer(_)) || !live.shared.is_empty();
            live.answer = manner.token.filter(|_| answers);
            routed.answers += usize::from(live.answer.is_some());
            fx.push(Effect::Live(to, live));
        }
        routed
    }

    /// Where the live subscribers of a slot are.
    pub(super) fn home_of(&self, view: View<'_>, slot: u16) -> To {
        match view.routes.peer_of(slot) {
            Some(peer) => To::Peer(peer),
            None => To::Shard(self.shard_of(slot)),
        }
    }
}

/// One message for the shards that have live subscribers.
struct Lives {
    own: To,
    here: Option<Live>,
    others: BTreeMap<To, Live>,
}

impl Lives {
    fn of(&mut self, to: To, new: impl FnOnce() -> Live) -> &mut Live {
        if to == self.own {
            return self.here.get_or_insert_with(new);
        }
        self.others.entry(to).or_insert_with(new)
    }
}
