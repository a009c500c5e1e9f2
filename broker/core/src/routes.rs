//! Which slots have subscribers for a Topic Name, and of which kind: what a publisher needs to
//! know about every other session. Shared by all shards of a process; changed by the owners'
//! route records, which come twice: at once by the links between pods, and by the log. An owner
//! numbers its changes, so that what the log still brings never undoes what a link has said.

use crate::filter::FilterTree;
use isthmus_mqtt::topic;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the subscribers of one slot want a message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Kinds(pub u8);

impl Kinds {
    /// QoS > 0 goes to someone in memory: a session that ends with its connection, or a
    /// subscription of QoS 0.
    pub const LIVE: Self = Self(1);
    /// QoS > 0 goes through the inbox to someone.
    pub const DURABLE: Self = Self(2);
    /// Of a shared subscription: a durable member is connected.
    pub const DURABLE_ONLINE: Self = Self(4);

    /// Whether any of these kinds is there.
    #[must_use]
    pub fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

impl std::ops::BitOr for Kinds {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Slots with their kinds, ascending.
type SlotKinds = Vec<(u16, Kinds)>;

#[derive(Debug)]
struct Group {
    name: Box<str>,
    filter: Box<str>,
    slots: SlotKinds,
    /// Messages so far: whose turn it is.
    turn: AtomicUsize,
}

/// The routing table.
#[derive(Debug, Default)]
pub struct Routes {
    plain: FilterTree<SlotKinds>,
    shared: FilterTree<Vec<Group>>,
    of_slot: FxHashMap<u16, FxHashMap<Box<str>, Known>>,
    owners: FxHashMap<u16, Owner>,
    /// What was known of the owner of a slot that this pod restores, until the log names this pod.
    before: FxHashMap<u16, Owner>,
    linked: bool,
}

/// What is known of a slot's owner. The numbers of changes rise from owner to owner, so that what
/// the log still brings of an earlier one is told from what is new.
#[derive(Clone, Copy, Debug, Default)]
struct Owner {
    /// The number of changes at which the last one that the log or this pod knows began.
    since: u64,
    /// The highest number that its pod is known by.
    heard: u64,
    /// Its pod; none for this one.
    peer: Option<u16>,
}

impl Owner {
    /// A pod owns the slot from this number of changes on; false where a later one is known.
    fn named(&mut self, number: u64, peer: Option<u16>) -> bool {
        if number < self.since {
            return false;
        }
        self.since = number;
        if number >= self.heard {
            (self.heard, self.peer) = (number, peer);
        }
        true
    }
}

/// What is known of one slot's interest in one filter.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The number of its last change.
    number: u64,
    /// The start of the pod that said so by its link; 0 when the log has said it.
    said_by: u64,
    /// None: the log has not yet said that nobody is left.
    kinds: Kinds,
}

/// A shared subscription that matches: its group, inner filter and the slots with members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedHit {
    /// ShareName.
    pub group: Box<str>,
    /// The inner Topic Filter.
    pub filter: Box<str>,
    /// Where its members are.
    pub slots: SlotKinds,
    /// Rises by one from message to message.
    pub turn: usize,
}

/// What matches a Topic Name. Reused from message to message.
#[derive(Debug, Default)]
pub struct Hits {
    /// Each slot once, with all kinds that its matching filters have.
    pub slots: SlotKinds,
    /// Each matching shared subscription.
    pub shared: Vec<SharedHit>,
}

impl Hits {
    fn add(&mut self, slots: &[(u16, Kinds)]) {
        for (slot, kinds) in slots {
            match self.slots.iter_mut().find(|(s, _)| s == slot) {
                Some((_, have)) => *have = *have | *kinds,
                None => self.slots.push((*slot, *kinds)),
            }
        }
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.shared.clear();
    }
}

impl Routes {
    /// Says what a slot has for a filter (`$share/…` included); no kinds takes it out.
    pub fn set(&mut self, slot: u16, filter: &str, kinds: Kinds) {
        self.logged(slot, filter, kinds, 0);
    }

    /// A slot of this pod: the change with this number is the last word.
    pub fn own(&mut self, slot: u16, filter: &str, kinds: Kinds, number: u64) {
        self.note(slot, filter, kinds, number, 0);
        self.put(slot, filter, kinds);
    }

    /// The log's word about a slot.
    pub fn logged(&mut self, slot: u16, filter: &str, kinds: Kinds, number: u64) {
        if self
            .known(slot, filter)
            .is_none_or(|known| known.number <= number)
        {
            self.own(slot, filter, kinds, number);
        }
    }

    /// A link's word about a slot; `start` is that of the pod that says it, `peer` its number.
    pub fn linked(
        &mut self,
        slot: u16,
        filter: &str,
        kinds: Kinds,
        number: u64,
        (start, peer): (u64, Option<u16>),
    ) {
        let owner = self.owners.entry(slot).or_default();
        if number <= owner.since {
            return;
        }
        if number > owner.heard {
            (owner.heard, owner.peer) = (number, peer);
        }
        let older =
            |known: &Known| known.number < number || (known.said_by != 0 && known.said_by != start);
        if self.known(slot, filter).is_none_or(|known| older(&known)) {
            self.note(slot, filter, kinds, number, start.max(1));
            self.put(slot, filter, kinds);
        }
    }

    /// The log names a slot's owner from this number of changes on: what only the link of an
    /// earlier one has said is void. `peer`: a pod that is not this one. An owner before the one
    /// that is known is passed over: the log is late.
    pub fn owned(&mut self, slot: u16, number: u64, start: u64, peer: Option<u16>) {
        if self.owners.entry(slot).or_default().named(number, peer) {
            self.before.remove(&slot);
            self.void(slot, number, start);
        } else if let Some(before) = self.before.get_mut(&slot) {
            before.named(number, peer);
        }
    }

    /// This pod restores a slot, and is its owner as soon as it is open.
    pub fn claim(&mut self, slot: u16, now: u64, start: u64) {
        let number = self.next_owner(slot, now);
        let owner = self.owners.entry(slot).or_default();
        self.before.insert(slot, *owner);
        owner.named(number, None);
        self.void(slot, number, start);
    }

    /// This pod has the slot no longer: where the log has not named it, the last owner may have the
    /// slot again, without a word in the log.
    pub fn unclaim(&mut self, slot: u16) {
        if let Some(before) = self.before.remove(&slot) {
            self.owners.insert(slot, before);
        }
    }

    fn void(&mut self, slot: u16, number: u64, start: u64) {
        let known = self.of_slot.get(&slot).into_iter().flatten();
        let void = known.filter(|(_, known)| {
            known.said_by != 0 && known.said_by != start && known.number <= number
        });
        for filter in void.map(|(filter, _)| filter.clone()).collect::<Vec<_>>() {
            self.own(slot, &filter, Kinds::default(), 0);
        }
    }

    /// The pod that has a slot, where it is another than this one.
    #[must_use]
    pub fn peer_of(&self, slot: u16) -> Option<u16> {
        self.owners.get(&slot)?.peer
    }

    /// Whether other pods are linked, and so are to be told and asked.
    pub fn set_linked(&mut self, linked: bool) {
        self.linked = linked;
    }

    /// See [`Routes::set_linked`].
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.linked
    }

    /// Where a new owner's changes begin: above all that earlier ones have said, by the log or by a
    /// link. `now`: epoch ms.
    #[must_use]
    pub fn next_owner(&self, slot: u16, now: u64) -> u64 {
        self.highest(slot).max(now << 16)
    }

    /// The highest number of a slot's changes.
    #[must_use]
    pub fn highest(&self, slot: u16) -> u64 {
        let known = self.of_slot.get(&slot).into_iter().flatten();
        let heard = self.owners.get(&slot).map(|owner| owner.heard);
        known
            .map(|(_, known)| known.number)
            .chain(heard)
            .max()
            .unwrap_or(0)
    }

    fn known(&self, slot: u16, filter: &str) -> Option<Known> {
        self.of_slot.get(&slot)?.get(filter).copied()
    }

    fn note(&mut self, slot: u16, filter: &str, kinds: Kinds, number: u64, said_by: u64) {
        let of_slot = self.of_slot.entry(slot).or_default();
        if kinds == Kinds::default() && said_by == 0 {
            of_slot.remove(filter);
        } else {
            let known = Known {
                number,
                said_by,
                kinds,
            };
            of_slot.insert(filter.into(), known);
        }
    }

    fn put(&mut self, slot: u16, filter: &str, kinds: Kinds) {
        let Some((group, inner)) = topic::parse_shared(filter) else {
            let slots = self.plain.entry(filter, Vec::new);
            set_slot(slots, slot, kinds);
            if slots.is_empty() {
                self.plain.remove(filter);
            }
            return;
        };
        let groups = self.shared.entry(inner, Vec::new);
        let at = groups
            .iter()
            .position(|g| &*g.name == group)
            .unwrap_or_else(|| {
                groups.push(Group {
                    name: group.into(),
                    filter: inner.into(),
                    slots: Vec::new(),
                    turn: AtomicUsize::new(0),
                });
                groups.len() - 1
            });
        if let Some(found) = groups.get_mut(at) {
            set_slot(&mut found.slots, slot, kinds);
            if found.slots.is_empty() {
                groups.swap_remove(at);
            }
        }
        if groups.is_empty() {
            self.shared.remove(inner);
        }
    }

    /// The filters that a slot is known for, and how it wants them.
    pub fn filters_of(&self, slot: u16) -> impl Iterator<Item = (&str, Kinds)> {
        let known = self.of_slot.get(&slot).into_iter().flatten();
        let left = known.filter(|(_, known)| known.kinds != Kinds::default());
        left.map(|(filter, known)| (&**filter, known.kinds))
    }

    /// How a slot wants a filter.
    #[must_use]
    pub fn kinds_of(&self, slot: u16, filter: &str) -> Kinds {
        let known = self.known(slot, filter);
        known.map_or(Kinds::default(), |known| known.kinds)
    }

    /// Number of filters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.plain.len() + self.shared.len()
    }

    /// Whether nobody subscribes to anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds the slots for a Topic Name.
    pub fn matches(&self, name: &str, hits: &mut Hits) {
        hits.clear();
        self.plain.matches(name, &mut |slots| hits.add(slots));
        if self.shared.is_empty() {
            return;
        }
        self.shared.matches(name, &mut |groups| {
            hits.shared.extend(groups.iter().map(Group::hit));
        });
    }

    /// A shared subscription, for one more message.
    #[must_use]
    pub fn shared_hit(&self, group: &str, filter: &str) -> Option<SharedHit> {
        self.shared
            .get(filter)?
            .iter()
            .find(|g| &*g.name == group)
            .map(Group::hit)
    }

    /// Finds the slots with a subscription that meets a Topic Filter in a decided name.
    pub fn overlaps(&self, filter: &str, hits: &mut Hits) {
        use crate::filter::{Meet, meet};
        hits.clear();
        self.plain.for_each(&mut |other, slots| {
            if matches!(meet(filter, other), Meet::Name(_)) {
                hits.add(slots);
            }
        });
        self.shared.for_each(&mut |other, groups| {
            if matches!(meet(filter, other), Meet::Name(_)) {
                hits.shared.extend(groups.iter().map(Group::hit));
            }
        });
    }
}

impl Group {
    fn hit(&self) -> SharedHit {
        SharedHit {
            group: self.name.clone(),
            filter: self.filter.clone(),
            slots: self.slots.clone(),
            turn: self.turn.fetch_add(1, Ordering::Relaxed),
        }
    }
}

fn set_slot(slots: &mut SlotKinds, slot: u16, kinds: Kinds) {
    slots.retain(|(s, _)| *s != slot);
    if kinds != Kinds::default() {
        slots.push((slot, kinds));
        slots.sort_unstable_by_key(|(s, _)| *s);
    }
}

#[cfg(test)]
mod tests;
