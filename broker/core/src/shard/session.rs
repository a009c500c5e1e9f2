//! A session's state, and the index of all subscriptions of the shard.

use super::effect::{ConnId, Token};
use super::live::LiveQueue;
use super::replay::Replays;
use super::slot::Wanted;
use crate::acl::Acl;
use crate::filter::FilterTree;
use crate::queue::Queue;
use crate::record::SubscriptionRecord;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;

/// A subscription of a session. What live deliveries see changes with SUBSCRIBE; what is due
/// from the inbox changes at the marker, so that a replay gives the same queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sub {
    pub(super) live: Option<SubscriptionRecord>,
    pub(super) durable: Option<SubscriptionRecord>,
    /// The right to it has been revoked: it stays, and gets nothing.
    pub(super) silent: bool,
    /// What it adds to the slot's route for its filter.
    pub(super) counted: Wanted,
}

/// A subscription in the index.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) session: usize,
    pub(super) slot: u16,
    /// Of a session that outlives its connection.
    pub(super) keeps: bool,
    pub(super) sub: Sub,
    /// When it had its last turn in a shared subscription.
    pub(super) served: usize,
}

/// A shared subscription and its members in this shard.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Box<str>,
    pub(super) members: Vec<Entry>,
}

/// All subscriptions of the shard.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) plain: FilterTree<(Box<str>, Vec<Entry>)>,
    pub(super) shared: FxHashMap<Box<str>, Vec<Group>>,
}

impl Index {
    /// Puts a subscription in, in place of the session's earlier one; `None` takes it out.
    pub(super) fn set(&mut self, filter: &str, session: usize, entry: Option<Entry>) {
        if let Some((group, inner)) = isthmus_mqtt::topic::parse_shared(filter) {
            let groups = self.shared.entry(inner.into()).or_default();
            if !groups.iter().any(|g| &*g.name == group) {
                groups.push(Group {
                    name: group.into(),
                    members: Vec::new(),
                });
            }
            if let Some(found) = groups.iter_mut().find(|g| &*g.name == group) {
                replace(&mut found.members, session, entry);
            }
            groups.retain(|g| !g.members.is_empty());
            if groups.is_empty() {
                self.shared.remove(inner);
            }
            return;
        }
        let (_, entries) = self.plain.entry(filter, || (filter.into(), Vec::new()));
        replace(entries, session, entry);
        if entries.is_empty() {
            self.plain.remove(filter);
        }
    }

    pub(super) fn group(&self, name: &str, filter: &str) -> Option<&Group> {
        self.shared.get(filter)?.iter().find(|g| &*g.name == name)
    }

    /// A member has its turn.
    pub(super) fn served(&mut self, name: &str, filter: &str, session: usize, turn: usize) {
        let group = self
            .shared
            .get_mut(filter)
            .and_then(|groups| groups.iter_mut().find(|g| &*g.name == name));
        if let Some(entry) = group.and_then(|g| g.members.iter_mut().find(|e| e.session == session))
        {
            entry.served = turn;
        }
    }
}

fn replace(entries: &mut Vec<Entry>, session: usize, entry: Option<Entry>) {
    let at = entries.iter().position(|e| e.session == session);
    match (at.and_then(|at| entries.get_mut(at)), entry) {
        (Some(old), Some(new)) => {
            *old = Entry {
                served: old.served,
                ..new
            }
        }
        (None, Some(new)) => entries.push(new),
        (_, None) => {
            if let Some(at) = at {
                entries.swap_remove(at);
            }
        }
    }
}

/// A QoS 2 message of the client, from PUBLISH to PUBREL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Not yet confirmed; PUBREC is owed under this token.
    Storing(Token),
    /// Stored; a repeated PUBLISH is answered, not stored again.
    Stored,
    /// PUBREL came; PUBCOMP is owed under this token, when the id's record is gone.
    Releasing(Token),
}

pub(super) struct Session {
    pub(super) client_id: Arc<str>,
    pub(super) slot: u16,
    pub(super) incarnation: u64,
    /// It outlives its connection: subscriptions and QoS > 0 go by the inbox.
    pub(super) durable: bool,
    /// Seconds after the end of the connection.
    pub(super) expiry: u32,
    pub(super) disconnected_at: Option<u64>,
    pub(super) username: Option<Arc<str>>,
    pub(super) acl: Acl,
    pub(super) conn: Option<ConnId>,
    pub(super) subs: FxHashMap<Box<str>, Sub>,
    pub(super) queue: Queue,
    /// Sequence numbers of the durable window that this connection must be sent again.
    pub(super) resend: VecDeque<u64>,
    pub(super) live: LiveQueue,
    pub(super) received: FxHashMap<u16, Received>,
    /// Subscriptions that wait for what is retained elsewhere.
    pub(super) replays: Replays,
    /// Inbox records before this offset have had their effect on it already.
    pub(super) seen: i64,
    /// `s/…` is in the changelog.
    pub(super) stored: bool,
    /// `c/…` is in the changelog.
    pub(super) marked: bool,
    /// `s/…` must be written anew.
    pub(super) changed: bool,
    /// `c/…` must be written anew.
    pub(super) mark_changed: bool,
}

impl Session {
    pub(super) fn new(client_id: Arc<str>, slot: u16, incarnation: u64, expiry: u32) -> Self {
        Self {
            client_id,
            slot,
            incarnation,
            durable: expiry > 0,
            expiry,
            disconnected_at: None,
            username: None,
            acl: Acl::default(),
            conn: None,
            subs: FxHashMap::default(),
            queue: Queue::default(),
            resend: VecDeque::new(),
            live: LiveQueue::default(),
            received: FxHashMap::default(),
            replays: Replays::default(),
            seen: 0,
            stored: false,
            marked: false,
            changed: true,
            mark_changed: true,
        }
    }
}
