//! What is remembered of an object to tell whether somebody changed it.

use kube::Resource;

/// What tells whether somebody else changed an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its uid.
    pub uid: String,
    /// The generation where the kind counts them (a status does not change it), else the version.
    pub mark: String,
    /// The uids of its owners.
    pub owners: Vec<String>,
}

impl Seen {
    /// Of an object.
    pub fn of<K: Resource>(object: &K) -> Self {
        let meta = object.meta();
        let version = || meta.resource_version.clone().unwrap_or_default();
        let mark = meta
            .generation
            .map_or_else(version, |g| format!("generation {g}"));
        let owners = meta.owner_references.iter().flatten();
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            mark,
            owners: owners.map(|owner| owner.uid.clone()).collect(),
        }
    }
}
