//! Who wants what: a subscription in its session, in the shard's index and in the slot's route, and
//! what the directory lets it have.

use super::connection::Ended;
use super::effect::{Effect, Topic, Write};
use super::session::{Entry, Sub};
use super::slot::{Phase, Slot, Wanted};
use super::{Shard, View};
use crate::record::{ROUTE_NUMBER, RouteRecord, SubscriptionRecord, encode};
use crate::routes::Kinds;

impl Shard {
    /// Puts a subscription into session, index and route; `None` takes it out.
    pub(super) fn set_sub(
        &mut self,
        key: usize,
        filter: &str,
        sub: Option<Sub>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let before = session
            .subs
            .get(filter)
            .map_or(Wanted::default(), |old| old.counted);
        let shared = filter.starts_with("$share/");
        let online = session.conn.is_some();
        let now = sub.map_or(Wanted::default(), |sub| {
            wants(&sub, session.durable, shared, online)
        });
        let entry = sub.map(|sub| Sub {
            counted: now,
            ..sub
        });
        match entry {
            Some(sub) => drop(session.subs.insert(filter.into(), sub)),
            None => drop(session.subs.remove(filter)),
        }
        let (slot_no, keeps) = (session.slot, session.durable);
        self.index.set(
            filter,
            key,
            entry.map(|sub| Entry {
                session: key,
                slot: slot_no,
                keeps,
                sub,
                served: 0,
            }),
        );
        if before != now {
            self.recount(slot_no, filter, before, now, fx);
        }
    }

    fn recount(
        &mut self,
        slot_no: u16,
        filter: &str,
        before: Wanted,
        now: Wanted,
        fx: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.slots.get_mut(&slot_no) else {
            return;
        };
        let wanted = slot.wanted.entry(filter.into()).or_default();
        let was = kinds(*wanted);
        wanted.live = wanted.live + now.live - before.live;
        wanted.durable = wanted.durable + now.durable - before.durable;
        wanted.durable_online = wanted.durable_online + now.durable_online - before.durable_online;
        let is = kinds(*wanted);
        if is == Kinds::default() {
            slot.wanted.remove(filter);
        }
        // While a slot is restored the log knows more: markers that are still to be read.
        if was != is && slot.phase != Phase::Restoring {
            slot.route(slot_no, filter, is, fx);
            self.commits.note(slot_no);
        }
    }

    /// A durable session came or went: members of shared subscriptions are online or not.
    pub(super) fn recount_shared(&mut self, key: usize, fx: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get(key).filter(|s| s.durable) else {
            return;
        };
        let shared = session
            .subs
            .iter()
            .filter(|(filter, _)| filter.starts_with("$share/"));
        for (filter, sub) in shared.map(|(f, s)| (f.clone(), *s)).collect::<Vec<_>>() {
            self.set_sub(key, &filter, Some(sub), fx);
        }
    }

    /// Subscriptions whose right is gone fall silent, and speak when it returns (ruling 17).
    pub(super) fn refresh_rights(&mut self, key: usize, fx: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let silent = |filter: &str| !session.acl.may_subscribe(filter);
        let changed = session
            .subs
            .iter()
            .filter(|(filter, sub)| silent(filter) != sub.silent);
        let changed: Vec<(Box<str>, Sub)> = changed
            .map(|(filter, sub)| {
                (
                    filter.clone(),
                    Sub {
                        silent: !sub.silent,
                        ..*sub
                    },
                )
            })
            .collect();
        for (filter, sub) in changed {
            self.set_sub(key, &filter, Some(sub), fx);
        }
    }

    /// Users or rights have changed: at once, without reconnecting (contract section 6).
    pub fn directory_changed(&mut self, view: View<'_>, fx: &mut Vec<Effect>) {
        let keys: Vec<usize> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(session) = self.sessions.get_mut(key) else {
                continue;
            };
            let username = session.username.clone();
            session.acl = view.directory.acl(username.as_deref(), &session.client_id);
            let conn = session.conn;
            let gone = username.is_some_and(|user| !view.directory.is_user(&user));
            self.refresh_rights(key, fx);
            if let Some(id) = conn.filter(|_| gone) {
                self.end(view, id, Ended::Kicked, fx);
            }
        }
    }
}

fn wants(sub: &Sub, keeps: bool, shared: bool, online: bool) -> Wanted {
    let by_inbox = |o: &Option<SubscriptionRecord>| o.is_some_and(|o| o.qos > 0);
    // A member that may not speak has no turn.
    if shared && sub.silent {
        return Wanted::default();
    }
    if !keeps {
        return Wanted {
            live: u32::from(sub.live.is_some()),
            ..Wanted::default()
        };
    }
    let durable = by_inbox(&sub.live) || by_inbox(&sub.durable);
    Wanted {
        live: u32::from(sub.live.is_some_and(|o| o.qos == 0) && (online || !shared)),
        durable: u32::from(durable),
        durable_online: u32::from(durable && shared && online),
    }
}

pub(super) fn kinds(wanted: Wanted) -> Kinds {
    let when = |n: u32, kinds| if n > 0 { kinds } else { Kinds::default() };
    when(wanted.live, Kinds::LIVE)
        | when(wanted.durable, Kinds::DURABLE)
        | when(wanted.durable_online, Kinds::DURABLE_ONLINE)
}

impl Slot {
    /// A change of the slot's route for a filter: told at once, and to the log with the next commit.
    pub(super) fn route(&mut self, slot: u16, filter: &str, kinds: Kinds, fx: &mut Vec<Effect>) {
        self.route_number += 1;
        let number = self.route_number;
        self.writes.push(Write {
            topic: Topic::Routes,
            slot: Some(slot),
            key: Some(filter.as_bytes().to_vec()),
            value: (kinds != Kinds::default()).then(|| encode(&RouteRecord { kinds })),
            headers: vec![(ROUTE_NUMBER, number.to_string())],
        });
        fx.push(Effect::Route {
            slot,
            filter: filter.into(),
            kinds,
            number,
        });
    }
}
