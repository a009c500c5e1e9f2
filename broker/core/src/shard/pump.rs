//! A connection's window: what is unacknowledged again after a reconnect, then the durable queue,
//! then what waits live.

use super::connection::Conn;
use super::deliver::{Match, Share, share, write};
use super::effect::Effect;
use super::live::LiveEntry;
use super::session::Session;
use super::{Counters, Shard, View};
use crate::filter::{Meet, meet};
use crate::queue::{State, packet_id};
use crate::record::SubscriptionRecord;
use isthmus_mqtt::encode::ack;
use isthmus_mqtt::{AckType, ReasonCode, Version, topic};

impl Shard {
    /// Sends what the window and the outbox have room for: first again what is unacknowledged,
    /// then the durable queue, then what waits live.
    pub(super) fn pump(&mut self, view: View<'_>, key: usize, fx: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let Some(id) = session.conn else { return };
        let Some(conn) = self
            .conns
            .get_mut(&id)
            .filter(|conn| conn.open && !conn.closing)
        else {
            return;
        };
        let Some(slot) = self.slots.get_mut(&session.slot) else {
            return;
        };
        let most = self.config.limits.max_outgoing_bytes_per_client;
        let before = conn.outbox.len();
        let mut lacking: Vec<i64> = Vec::new();
        while (conn.outbox.len() as u64) < most {
            if let Some(seq) = session.resend.front().copied() {
                let entry = session
                    .queue
                    .window()
                    .find(|(s, _)| *s == seq)
                    .map(|(_, e)| e);
                match entry.map(|e| (e, e.state())) {
                    Some((entry, State::Released)) => {
                        let id = packet_id(entry.offset());
                        ack(
                            &mut conn.outbox,
                            conn.version,
                            AckType::PubRel,
                            id,
                            ReasonCode::SUCCESS,
                        );
                        // Its PUBCOMP makes room.
                        conn.inflight += 1;
                    }
                    Some((entry, State::Sent)) => {
                        if conn.inflight >= conn.window {
                            break;
                        }
                        match slot.body(entry.offset()) {
                            None => {
                                lacking.push(entry.offset());
                                break;
                            }
                            Some(body) => {
                                if send_durable(
                                    session,
                                    conn,
                                    body,
                                    entry,
                                    true,
                                    view.now,
                                    &mut self.counters,
                                ) {
                                    conn.inflight += 1;
                                } else {
                                    session.queue.finish(seq);
                                }
                            }
                        }
                    }
                    _ => {}
                }
                session.resend.pop_front();
                continue;
            }
            if let Some(again) = session.live.next_resend() {
                let packet_id = again.packet_id;
                if again.released {
                    let version = conn.version;
                    ack(
                        &mut conn.outbox,
                        version,
                        AckType::PubRel,
                        packet_id,
                        ReasonCode::SUCCESS,
                    );
                } else if conn.inflight >= conn.window {
                    break;
                } else if !send_live(
                    conn,
                    &again.entry,
                    packet_id,
                    true,
                    view.now,
                    &mut self.counters,
                ) {
                    session.live.finish(packet_id, |_| true);
                    continue;
                }
                session.live.resent(packet_id);
                conn.inflight += 1;
                continue;
            }
            if conn.inflight >= conn.window {
                break;
            }
            if session.queue.head_expired(view.now) {
                session.queue.pop_head();
                self.counters.dropped_expired += 1;
                continue;
            }
            // One whose id is still in use waits for that message; live messages do not wait with it.
            if let Some((_, entry)) = session.queue.head().filter(|_| !session.queue.head_waits()) {
                match slot.body(entry.offset()) {
                    // What is durable waits for its body; live messages do not wait with it.
                    None => lacking.push(entry.offset()),
                    // The queue counts in seconds.
                    Some(Some(body)) if body.message.expired(view.now) => {
                        session.queue.pop_head();
                        self.counters.dropped_expired += 1;
                        continue;
                    }
                    Some(body) => {
                        let sent = send_durable(
                            session,
                            conn,
                            body,
                            entry,
                            false,
                            view.now,
                            &mut self.counters,
                        );
                        if sent {
                            session.queue.send_head();
                            conn.inflight += 1;
                        } else {
                            session.queue.pop_head();
                        }
                        continue;
                    }
                }
            }
            let Some(entry) = session.live.next() else {
                break;
            };
            if entry.message.expired(view.now) {
                self.counters.dropped_expired += 1;
                session.live.pop_next();
                continue;
            }
            let packet_id = session.live.free_id();
            if send_live(conn, entry, packet_id, false, view.now, &mut self.counters) {
                session.live.send_next(packet_id);
                conn.inflight += 1;
            } else {
                session.live.pop_next();
            }
        }
        let wrote = conn.outbox.len() > before;
        let dirty = session.queue.is_dirty();
        let slot_no = session.slot;
        if !lacking.is_empty() {
            // The next ones will be wanted as well: one pass for all of them.
            if !session.resend.is_empty() {
                let sent = session
                    .queue
                    .window()
                    .filter(|(_, e)| e.state() == State::Sent);
                lacking.extend(sent.map(|(_, e)| e.offset()));
            }
            lacking.extend(session.queue.unsent().take(256).map(|(_, e)| e.offset()));
            slot.waiting_for_bodies.insert(key);
            for offset in lacking {
                if slot.body(offset).is_none() {
                    slot.wants.insert(offset);
                }
            }
        }
        if dirty {
            slot.dirty.insert(key);
        }
        if wrote {
            self.touch(id);
        }
        if dirty {
            self.commits.note(slot_no);
        }
        self.fetch(slot_no, fx);
    }
}

/// Sends a message of the durable queue; false where that cannot be: its body is gone, the client
/// does not take it, or only an ended subscription knew its name.
fn send_durable(
    session: &Session,
    conn: &mut Conn,
    body: Option<&super::slot::Body>,
    entry: crate::queue::Entry,
    dup: bool,
    now: u64,
    counters: &mut Counters,
) -> bool {
    let Some(body) = body else {
        counters.dropped_gone += 1;
        return false;
    };
    let (mut ids, mut name) = (Vec::new(), None);
    let needs_ids = conn.version == Version::V5;
    if needs_ids || body.by_filter {
        let mut subs: Vec<(Match, SubscriptionRecord)> = Vec::new();
        for (filter, sub) in &session.subs {
            // A shared subscription's message is one of its own.
            let shared = topic::parse_shared(filter);
            let is_of = |(group, inner): (&str, &str)| {
                let mut groups = body.shared.iter();
                groups.any(|(g, f)| **g == *group && **f == *inner)
            };
            if shared.is_some() != entry.shared() || shared.is_some_and(|s| !is_of(s)) {
                continue;
            }
            let inner = shared.map_or(&**filter, |(_, inner)| inner);
            let Some(options) = sub.durable.or(sub.live) else {
                continue;
            };
            if options.no_local && *session.client_id == *body.message.publisher {
                continue;
            }
            let met = match body.by_filter {
                true => match meet(body.message.topic(), inner) {
                    Meet::Name(name) => Some((name.into(), inner.into())),
                    _ => continue,
                },
                false if topic::matches(inner, body.message.topic()) => None,
                false => continue,
            };
            subs.push((
                Match {
                    session: 0,
                    keeps: true,
                    sub: *sub,
                    met,
                },
                options,
            ));
        }
        let subs: Vec<(&Match, SubscriptionRecord)> = subs.iter().map(|(m, o)| (m, *o)).collect();
        match share(&body.message, &subs) {
            Some(share) => (ids, name) = (share.ids, share.name),
            // It has unsubscribed since, and only the subscription knew the name.
            None if body.by_filter => return false,
            None => {}
        }
    }
    let share = Share {
        qos: entry.qos(),
        retain: entry.retain(),
        ids,
        name,
    };
    write(
        conn,
        &body.message,
        &share,
        packet_id(entry.offset()),
        dup,
        now,
        None,
        counters,
    )
}

fn send_live(
    conn: &mut Conn,
    entry: &LiveEntry,
    packet_id: u16,
    dup: bool,
    now: u64,
    counters: &mut Counters,
) -> bool {
    let (message, share) = (&entry.message, &entry.share);
    write(conn, message, share, packet_id, dup, now, None, counters)
}
