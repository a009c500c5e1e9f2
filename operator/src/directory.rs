//! What of the directory is to be written, so that it says what the resources say. Pure.
//!
//! Invariant: entries that the HTTP API manages are never touched.

use std::collections::{BTreeMap, BTreeSet};

use isthmus_kafka::directory::{Entry, ManagedBy};

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In this order.
    pub writes: Vec<Entry>,
    /// For people: `user demo added`.
    pub lines: Vec<String>,
    /// Names that the HTTP API has taken, each with the way out.
    pub conflicts: Vec<String>,
}

/// Compares; `keep` are the keys of resources that are suspended or not ready, left as they are.
#[must_use]
pub fn changes(
    existing: &BTreeMap<String, Entry>,
    desired: &[Entry],
    keep: &BTreeSet<String>,
) -> Changes {
    let mut changes = Changes::default();
    // By kind and name; a user and its ACL are one thing to people.
    let mut things: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut wanted = BTreeSet::new();
    for entry in desired {
        let key = entry.encode().0;
        let present = existing.get(&key);
        wanted.insert(key.clone());
        if keep.contains(&key) || present == Some(entry) {
            continue;
        }
        if present.and_then(managed_by) == Some(ManagedBy::Api) {
            changes.conflicts.push(format!(
                "{} was made with the HTTP API: delete it there, or use another name here",
                thing(entry)
            ));
            continue;
        }
        let how = if present.is_none() {
            "added"
        } else {
            "changed"
        };
        things
            .entry(thing(entry))
            .and_modify(|before| *before = if *before == how { how } else { "changed" })
            .or_insert(how);
        changes.writes.push(entry.clone());
    }
    for (key, entry) in existing {
        let ours = managed_by(entry) == Some(ManagedBy::Operator);
        if ours && !wanted.contains(key) && !keep.contains(key) {
            things.insert(thing(entry), "removed");
            changes.writes.extend(removal(entry));
        }
    }
    changes.lines = things
        .into_iter()
        .map(|(thing, how)| format!("{thing} {how}"))
        .collect();
    changes.conflicts.dedup();
    changes
}

fn managed_by(entry: &Entry) -> Option<ManagedBy> {
    match entry {
        Entry::User(_, user) => user.as_ref().map(|u| u.managed_by),
        Entry::Acl(_, acl) => acl.as_ref().map(|a| a.managed_by),
        Entry::Parent(_, parent) => parent.as_ref().map(|p| p.managed_by),
        Entry::Pod(..) | Entry::Other(_) => None,
    }
}

fn removal(entry: &Entry) -> Option<Entry> {
    match entry {
        Entry::User(name, _) => Some(Entry::User(name.clone(), None)),
        Entry::Acl(name, _) => Some(Entry::Acl(name.clone(), None)),
        Entry::Parent(name, _) => Some(Entry::Parent(name.clone(), None)),
        Entry::Pod(..) | Entry::Other(_) => None,
    }
}

fn thing(entry: &Entry) -> String {
    match entry {
        Entry::User(name, _) | Entry::Acl(name, _) => format!("user {name}"),
        Entry::Parent(name, _) => format!("parent topic {name}"),
        Entry::Pod(node, _) => format!("broker {node}"),
        Entry::Other(key) => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{existing, user};
    use isthmus_kafka::directory::{Acl, VERSION};

    fn acl(name: &str, managed_by: ManagedBy) -> Entry {
        Entry::Acl(
            name.to_owned(),
            Some(Acl {
                v: VERSION,
                managed_by,
                rules: Vec::new(),
            }),
        )
    }

    const OURS: ManagedBy = ManagedBy::Operator;

    #[test]
    fn only_what_differs_is_written() {
        let stored = existing(&[
            user("a", "1", OURS),
            acl("a", OURS),
            user("b", "1", OURS),
            acl("b", OURS),
        ]);
        let wanted = [
            user("a", "1", OURS),
            acl("a", OURS),
            user("b", "2", OURS),
            acl("b", OURS),
            user("c", "3", OURS),
            acl("c", OURS),
        ];
        let found = changes(&stored, &wanted, &BTreeSet::new());
        assert_eq!(
            found.writes,
            [user("b", "2", OURS), user("c", "3", OURS), acl("c", OURS)]
        );
        assert_eq!(found.lines, ["user b changed", "user c added"]);
    }

    #[test]
    fn what_is_gone_is_removed_but_not_what_is_kept() {
        let stored = existing(&[user("a", "1", OURS), acl("a", OURS), user("b", "1", OURS)]);
        let keep = BTreeSet::from(["user/b".to_owned()]);
        let found = changes(&stored, &[], &keep);
        assert_eq!(
            found.writes,
            [Entry::Acl("a".into(), None), Entry::User("a".into(), None)]
        );
        assert_eq!(found.lines, ["user a removed"]);
    }

    #[test]
    fn entries_of_the_api_are_never_touched() {
        let stored = existing(&[
            user("a", "1", ManagedBy::Api),
            user("b", "1", ManagedBy::Api),
        ]);
        let found = changes(&stored, &[user("a", "2", OURS)], &BTreeSet::new());
        assert_eq!(found.writes, []);
        assert_eq!(
            found.conflicts,
            ["user a was made with the HTTP API: delete it there, or use another name here"]
        );
    }
}
