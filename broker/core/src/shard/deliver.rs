//! Messages towards clients: live ones from memory, durable ones from the queue, within each
//! connection's window. Encoded once for all receivers that take the same bytes.

use super::confirm::Kind;
use super::connection::Conn;
use super::effect::{Effect, Live, Taken};
use super::live::LiveEntry;
use super::session::Entry;
use super::shared::Onward;
use super::{Counters, Shard, View};
use crate::filter::{Meet, meet};
use crate::message::Message;
use crate::record::{SubscriptionRecord, qos};
use isthmus_mqtt::encode::{patch_packet_id, publish, publish_len};
use isthmus_mqtt::{QoS, Version};
use std::sync::Arc;

/// A subscription that a message matches: session, options, and the name where filters met.
pub(super) struct Match {
    pub(super) session: usize,
    pub(super) keeps: bool,
    pub(super) sub: super::session::Sub,
    pub(super) met: Option<(Box<str>, Box<str>)>,
}

/// What one session gets of a message.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) ids: Vec<u32>,
    pub(super) name: Option<Box<str>>,
}

/// One message's encoding, used again while the next receiver takes the same bytes.
#[derive(Default)]
pub(super) struct Encoded {
    form: Option<(Version, QoS, bool)>,
    bytes: Vec<u8>,
    id_at: Option<usize>,
}

impl Shard {
    /// A live message of another shard or pod. A shared subscription's goes on where its last
    /// member here has just left.
    pub fn live(&mut self, view: View<'_>, live: &Live, fx: &mut Vec<Effect>) -> Taken {
        let mut missed = Vec::new();
        let reached = self.deliver(view, live, &mut missed, fx);
        if missed.is_empty() {
            return Taken::Now(reached);
        }
        let token = self.token();
        let how = Onward::Awaited(token);
        let waits = missed.into_iter().map(|group| {
            usize::from(self.forward(view, &live.message, live.by_filter, group, how, fx))
        });
        match waits.sum() {
            0 => Taken::Now(reached),
            waits => {
                self.wait(token, Kind::Live(reached), waits, None);
                Taken::Later(token)
            }
        }
    }

    /// Yields how many sessions it reached; `missed`: the shared subscriptions without a member.
    pub(super) fn deliver<'a>(
        &mut self,
        view: View<'_>,
        live: &'a Live,
        missed: &mut Vec<(&'a str, &'a str)>,
        fx: &mut Vec<Effect>,
    ) -> usize {
        let mut reached = 0;
        let mut encoded = Encoded::default();
        if live.all {
            let mut matches = std::mem::take(&mut self.matched);
            self.matches(&live.message, live.by_filter, None, &mut matches);
            if matches.len() > 1 {
                matches.sort_unstable_by_key(|m| m.session);
            }
            for same in matches.chunk_by(|a, b| a.session == b.session) {
                if let Some(share) = self.live_share(live, same) {
                    let session = same.first().map_or(usize::MAX, |m| m.session);
                    reached +=
                        usize::from(self.hand(view, session, live, share, None, &mut encoded, fx));
                }
            }
            matches.clear();
            self.matched = matches;
        }
        for (slot, group, filter) in &live.shared {
            let only_online = live.only_online;
            let by_inbox = live.message.qos > QoS::AtMostOnce && !only_online;
            let member = self.member(*slot, group, filter, |shard, e| {
                let inbox = e.keeps && by_inbox && e.sub.live.is_some_and(|o| o.qos > 0);
                shard.is_online(e.session) && e.sub.live.is_some() && !inbox
            });
            let Some((member, options)) = member.and_then(|e| e.sub.live.map(|o| (e, o))) else {
                if !only_online {
                    missed.push((&**group, &**filter));
                }
                continue;
            };
            let name = match (live.by_filter, meet(live.message.topic(), filter)) {
                (true, Meet::Name(name)) => Some(name.into()),
                (true, _) => continue,
                (false, _) => None,
            };
            let share = Share {
                qos: live.message.qos.min(qos(options.qos)),
                retain: live.message.retain && options.retain_as_published,
                ids: options.id.into_iter().collect(),
                name,
            };
            let by = Some(Box::new((group.clone(), filter.clone())));
            reached +=
                usize::from(self.hand(view, member.session, live, share, by, &mut encoded, fx));
        }
        reached
    }

    /// Adds the plain subscriptions that match, of one slot or of all.
    pub(super) fn matches(
        &mut self,
        message: &Message,
        by_filter: bool,
        slot: Option<u16>,
        found: &mut Vec<Match>,
    ) {
        let mut undecided = 0;
        let mut add = |entries: &[Entry], met: Option<(&str, &str)>| {
            let due = entries
                .iter()
                .filter(|e| !e.sub.silent && slot.is_none_or(|slot| e.slot == slot));
            found.extend(due.map(|e| Match {
                session: e.session,
                keeps: e.keeps,
                sub: e.sub,
                met: met.map(|(name, filter)| (name.into(), filter.into())),
            }));
        };
        if by_filter {
            self.index
                .plain
                .for_each(
                    &mut |filter, (_, entries)| match meet(message.topic(), filter) {
                        Meet::Name(name) => add(entries, Some((&name, filter))),
                        Meet::Undecided => undecided += entries.len() as u64,
                        Meet::Apart => {}
                    },
                );
        } else {
            self.index
                .plain
                .matches(message.topic(), &mut |(_, entries)| add(entries, None));
        }
        self.counters.undecided += undecided;
    }

    /// What a session gets live of a message by its matching subscriptions; `None`: nothing, or
    /// it gets it from its inbox.
    fn live_share(&self, live: &Live, matches: &[Match]) -> Option<Share> {
        let session = self.sessions.get(matches.first()?.session)?;
        session.conn?;
        let by_inbox = session.durable && live.message.qos > QoS::AtMostOnce && !live.only_online;
        let due =
            |o: &SubscriptionRecord| !(o.no_local && *session.client_id == *live.message.publisher);
        if by_inbox {
            // What SUBACK or UNSUBACK has said counts: the marker may not have been read back, and
            // behind it the inbox brings nothing any more.
            let counts = |m: &Match| m.sub.live.filter(due).is_some_and(|o| o.qos > 0);
            if matches.iter().any(counts) {
                return None;
            }
        }
        if let [only] = matches {
            let options = only.sub.live.filter(&due)?;
            return share(&live.message, &[(only, options)]);
        }
        let subs: Vec<(&Match, SubscriptionRecord)> = matches
            .iter()
            .filter_map(|m| m.sub.live.filter(&due).map(|o| (m, o)))
            .collect();
        share(&live.message, &subs)
    }

    /// Gives a live message to a session's connection: now, or when its window has room.
    #[expect(clippy::too_many_arguments, reason = "who gets what, and how it came")]
    fn hand(
        &mut self,
        view: View<'_>,
        key: usize,
        live: &Live,
        share: Share,
        shared: Option<Box<(Box<str>, Box<str>)>>,
        encoded: &mut Encoded,
        fx: &mut Vec<Effect>,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(key) else {
            return false;
        };
        let Some(id) = session.conn else { return false };
        let Some(conn) = self.conns.get_mut(&id) else {
            return false;
        };
        if share.qos == QoS::AtMostOnce {
            if !conn.open
                || conn.outbox.len() as u64 > self.config.limits.max_outgoing_bytes_per_client
            {
                self.counters.dropped_outgoing += 1;
                return false;
            }
            let sent = write(
                conn,
                &live.message,
                &share,
                0,
                false,
                view.now,
                Some(encoded),
                &mut self.counters,
            );
            self.touch(id);
            return sent;
        }
        session.live.push(LiveEntry {
            message: live.message.clone(),
            share,
            shared,
        });
        let bounds = &self.config.session;
        if session.live.len() > usize::from(conn.window)
            && session
                .live
                .is_over(bounds.max_queued_messages, bounds.max_queued_bytes)
            && session.live.pop_next().is_some()
        {
            self.counters.dropped_queue_full += 1;
        }
        self.pump(view, key, fx);
        true
    }

    /// Retained messages for a new subscription, from memory.
    pub(super) fn send_retained(
        &mut self,
        view: View<'_>,
        key: usize,
        messages: Vec<(SubscriptionRecord, Arc<Message>)>,
        fx: &mut Vec<Effect>,
    ) {
        for (options, message) in messages {
            let share = Share {
                qos: message.qos.min(qos(options.qos)),
                retain: true,
                ids: options.id.into_iter().collect(),
                name: None,
            };
            let live = Live {
                message,
                all: false,
                by_filter: false,
                only_online: true,
                shared: Vec::new(),
                answer: None,
            };
            self.hand(view, key, &live, share, None, &mut Encoded::default(), fx);
        }
    }
}

/// What matching subscriptions of one session come to: the highest QoS, every identifier; where
/// filters met, the bytewise least filter of the highest QoS alone (ruling 11).
pub(super) fn share(message: &Message, subs: &[(&Match, SubscriptionRecord)]) -> Option<Share> {
    let highest = subs.iter().map(|(_, o)| o.qos).max()?;
    let met = subs
        .iter()
        .filter(|(_, o)| o.qos == highest)
        .filter_map(|(m, o)| m.met.as_ref().map(|(name, filter)| (filter, name, o)))
        .min_by_key(|(filter, ..)| *filter);
    let (name, ids) = match met {
        Some((_, name, options)) => (Some(name.clone()), options.id.into_iter().collect()),
        None => (None, subs.iter().filter_map(|(_, o)| o.id).collect()),
    };
    Some(Share {
        qos: message.qos.min(qos(highest)),
        retain: message.retain && subs.iter().any(|(_, o)| o.retain_as_published),
        ids,
        name,
    })
}

/// Appends a PUBLISH to an outbox; false where the client does not take packets of its size.
#[expect(clippy::too_many_arguments, reason = "one PUBLISH in all its parts")]
pub(super) fn write(
    conn: &mut Conn,
    message: &Message,
    share: &Share,
    id: u16,
    dup: bool,
    now: u64,
    encoded: Option<&mut Encoded>,
    counters: &mut Counters,
) -> bool {
    let head = message.head(share.name.as_deref());
    let expiry = message.remaining_expiry(now);
    if conn.max_packet != usize::MAX
        && publish_len(conn.version, share.qos, &head, expiry, &share.ids) > conn.max_packet
    {
        counters.dropped_too_large += 1;
        return false;
    }
    let plain = share.ids.is_empty() && share.name.is_none() && !dup;
    let form = Some((conn.version, share.qos, share.retain));
    if let Some(encoded) = encoded.filter(|_| plain) {
        if encoded.form != form {
            encoded.bytes.clear();
            let done = publish(
                &mut encoded.bytes,
                conn.version,
                false,
                share.qos,
                share.retain,
                id,
                &head,
                expiry,
                &[],
            );
            let Ok(id_at) = done else {
                counters.dropped_too_large += 1;
                return false;
            };
            (encoded.form, encoded.id_at) = (form, id_at);
        }
        let start = conn.outbox.len();
        conn.outbox.extend_from_slice(&encoded.bytes);
        if let (Some(at), Some(own)) = (encoded.id_at, conn.outbox.get_mut(start..)) {
            patch_packet_id(own, at, id);
        }
    } else {
        let done = publish(
            &mut conn.outbox,
            conn.version,
            dup,
            share.qos,
            share.retain,
            id,
            &head,
            expiry,
            &share.ids,
        );
        if done.is_err() {
            counters.dropped_too_large += 1;
            return false;
        }
    }
    if let Some(count) = counters.sent.get_mut(share.qos as usize) {
        *count += 1;
    }
    true
}
