//! Who serves which slot, as `<i>.routes` says.

use isthmus_core::record::OwnerRecord;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::OnceLock;
use tokio::sync::watch;

/// The owners of all slots, and who follows their changes.
pub struct Owners {
    ours: OwnerRecord,
    table: RwLock<HashMap<u16, OwnerRecord>>,
    changes: watch::Sender<u64>,
    follower: OnceLock<Follower>,
}

type Follower = Box<dyn Fn(u16, Option<&OwnerRecord>) + Send + Sync>;

impl Owners {
    /// Nobody is known; `ours` is this start of this pod.
    #[must_use]
    pub fn new(ours: OwnerRecord) -> Self {
        Self {
            ours,
            table: RwLock::default(),
            changes: watch::Sender::new(0),
            follower: OnceLock::new(),
        }
    }

    /// A slot has this owner, or none that is known.
    pub fn set(&self, slot: u16, owner: Option<OwnerRecord>) {
        let told = owner.clone();
        match owner {
            Some(owner) => drop(self.table.write().insert(slot, owner)),
            None => drop(self.table.write().remove(&slot)),
        }
        self.changes.send_modify(|count| *count += 1);
        if let Some(follower) = self.follower.get() {
            follower(slot, told.as_ref());
        }
    }

    /// Has one who decides told of every change from now on.
    pub fn follow(&self, follower: impl Fn(u16, Option<&OwnerRecord>) + Send + Sync + 'static) {
        let _ = self.follower.set(Box::new(follower));
    }

    /// A slot's owner.
    #[must_use]
    pub fn of(&self, slot: u16) -> Option<OwnerRecord> {
        self.table.read().get(&slot).cloned()
    }

    /// Whether this start of this pod is the last that opened the slot.
    #[must_use]
    pub fn is_ours(&self, slot: u16) -> bool {
        self.table.read().get(&slot) == Some(&self.ours)
    }

    /// A slot is served here from now on, or no longer: who follows the changes looks again.
    pub fn moved(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// The pods that own slots.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        let table = self.table.read();
        let mut nodes: Vec<String> = table.values().map(|owner| owner.node.clone()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Follows the changes: the value is how many there were.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
