//! The directory as this pod sees it: users, ACL rules and parent topics, cheap to read from any
//! thread and replaced as a whole when records come in.
//!
//! The reader of `<i>.directory` calls [`Directory::apply`] with as many entries as it has at hand;
//! each call makes one new [`Snapshot`]. A snapshot shares all that did not change with the one
//! before: a table is [`BUCKETS`] maps, each behind its own `Arc`, and only touched ones are copied.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use isthmus_config::AclRule;
use isthmus_kafka::directory::{Entry, Parent, User};
use tokio::sync::watch;

/// Maps of one [`Table`].
const BUCKETS: usize = 256;

type Bucket<V> = Arc<HashMap<Arc<str>, V>>;

/// A map from names to values that is cheap to clone and to change by a few entries.
#[derive(Clone, Debug)]
pub struct Table<V> {
    hasher: RandomState,
    buckets: Arc<[Bucket<V>]>,
    len: usize,
}

impl<V: Clone> Default for Table<V> {
    fn default() -> Self {
        let buckets = (0..BUCKETS).map(|_| Arc::default()).collect();
        Self {
            hasher: RandomState::new(),
            buckets,
            len: 0,
        }
    }
}

impl<V: Clone> Table<V> {
    fn position(&self, name: &str) -> usize {
        // The low byte; the cast cannot lose what the remainder keeps.
        usize::try_from(self.hasher.hash_one(name) % BUCKETS as u64).unwrap_or(0)
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        self.buckets.get(self.position(name))?.get(name)
    }

    /// The number of names.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no name.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All names and values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        self.buckets.iter().flat_map(|bucket| bucket.iter())
    }

    /// Copies the bucket (and the row of buckets) where somebody else holds them too.
    fn set(&mut self, name: Arc<str>, value: Option<V>) {
        let position = self.position(&name);
        if value.is_none() && self.get(&name).is_none() {
            return;
        }
        let Some(bucket) = Arc::make_mut(&mut self.buckets).get_mut(position) else {
            return;
        };
        let bucket = Arc::make_mut(bucket);
        let before = bucket.len();
        match value {
            Some(value) => drop(bucket.insert(name, value)),
            None => drop(bucket.remove(&name)),
        }
        self.len = self.len + bucket.len() - before;
    }
}

/// What the directory held at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows with every change.
    pub version: u64,
    /// By user name.
    pub users: Table<Arc<User>>,
    /// By user name. A user without an entry may do nothing.
    pub acls: Table<Arc<[AclRule]>>,
    /// By first topic level.
    pub parents: Table<Arc<Parent>>,
}

/// The names that one [`Directory::apply`] changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Users added, changed or deleted.
    pub users: Vec<Arc<str>>,
    /// Users whose rules changed.
    pub acls: Vec<Arc<str>>,
    /// Parents added, changed or deleted.
    pub parents: Vec<Arc<str>>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.users.is_empty() && self.acls.is_empty() && self.parents.is_empty()
    }
}

/// The directory. Share it in an `Arc`.
#[derive(Debug)]
pub struct Directory {
    current: watch::Sender<Arc<Snapshot>>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            current: watch::Sender::new(Arc::default()),
        }
    }
}

impl Directory {
    /// An empty directory, version 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it holds now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// Wakes at every change; also from other runtimes than the caller's of [`Self::apply`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.current.subscribe()
    }

    /// Applies entries in order, as one change. Nothing is published when all of them say what
    /// is known already. Give a warm-up in large batches.
    pub fn apply(&self, entries: impl IntoIterator<Item = Entry>) -> Changes {
        let mut next = Snapshot::clone(&self.current.borrow());
        let mut changes = Changes::default();
        for entry in entries {
            match entry {
                Entry::User(name, user) => {
                    put(
                        &mut next.users,
                        &mut changes.users,
                        name,
                        user.map(Arc::new),
                    );
                }
                Entry::Acl(name, acl) => {
                    let rules = acl.map(|acl| Arc::from(acl.rules));
                    put(&mut next.acls, &mut changes.acls, name, rules);
                }
                Entry::Parent(name, parent) => {
                    put(
                        &mut next.parents,
                        &mut changes.parents,
                        name,
                        parent.map(Arc::new),
                    );
                }
                // Whoever links to the pods is told of them.
                Entry::Pod(..) | Entry::Other(_) => {}
            }
        }
        if !changes.is_empty() {
            next.version += 1;
            self.current.send_replace(Arc::new(next));
        }
        changes
    }
}

fn put<V: Clone + PartialEq>(
    table: &mut Table<V>,
    changed: &mut Vec<Arc<str>>,
    name: String,
    value: Option<V>,
) {
    if table.get(&name) == value.as_ref() {
        return;
    }
    let name: Arc<str> = Arc::from(name);
    table.set(Arc::clone(&name), value);
    changed.push(name);
}

#[cfg(test)]
mod tests {
    use isthmus_config::Action;
    use isthmus_kafka::directory::{Acl, ManagedBy, ParentType, VERSION};

    use super::*;

    fn user(enabled: bool) -> Option<User> {
        let password_hash = "$argon2id$".to_owned();
        Some(User {
            v: VERSION,
            managed_by: ManagedBy::Api,
            enabled,
            password_hash,
        })
    }

    #[test]
    fn entries_are_applied_in_order_and_deletions_delete() {
        let directory = Directory::new();
        let rule = AclRule {
            topic: "a/#".into(),
            action: Action::PubSub,
        };
        let acl = Acl {
            v: VERSION,
            managed_by: ManagedBy::Api,
            rules: vec![rule.clone()],
        };
        let parent = Parent {
            v: VERSION,
            managed_by: ManagedBy::Operator,
            kind: ParentType::Normal,
            kafka_topic: "p.a".into(),
            max_message_bytes: 1,
        };
        let changes = directory.apply([
            Entry::User("u".into(), user(true)),
            Entry::User("gone".into(), user(true)),
            Entry::User("gone".into(), None),
            Entry::Acl("u".into(), Some(acl)),
            Entry::Parent("a".into(), Some(parent)),
            Entry::Other("ban/x".into()),
        ]);
        assert_eq!(changes.users.len(), 3);
        let snapshot = directory.snapshot();
        assert_eq!(snapshot.version, 1);
        assert!(snapshot.users.get("u").unwrap().enabled);
        assert!(snapshot.users.get("gone").is_none());
        assert_eq!(snapshot.users.len(), 1);
        assert_eq!(snapshot.acls.get("u").unwrap()[..], [rule]);
        assert_eq!(snapshot.parents.get("a").unwrap().kafka_topic, "p.a");
    }

    #[test]
    fn a_reader_keeps_its_snapshot_and_untouched_buckets_are_shared() {
        let directory = Directory::new();
        directory.apply((0..10_000).map(|n| Entry::User(format!("u{n}"), user(true))));
        let before = directory.snapshot();
        assert_eq!(before.users.len(), 10_000);
        assert_eq!(before.users.iter().count(), 10_000);
        directory.apply([Entry::User("u7".into(), user(false))]);
        let after = directory.snapshot();
        assert!(before.users.get("u7").unwrap().enabled);
        assert!(!after.users.get("u7").unwrap().enabled);
        let pairs = before.users.buckets.iter().zip(after.users.buckets.iter());
        assert_eq!(pairs.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
    }

    #[test]
    fn watchers_wake_for_changes_only() {
        let directory = Directory::new();
        let watcher = directory.subscribe();
        assert!(directory.apply([Entry::User("u".into(), None)]).is_empty());
        assert!(!watcher.has_changed().unwrap());
        directory.apply([Entry::User("u".into(), user(true))]);
        assert!(watcher.has_changed().unwrap());
        assert!(
            directory
                .apply([Entry::User("u".into(), user(true))])
                .is_empty()
        );
        assert_eq!(directory.snapshot().version, 1);
    }
}
