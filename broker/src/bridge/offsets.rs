//! Which offsets of each partition are done with: records end in any order, and the committed
//! offset never passes one that has not.

use std::collections::{BTreeSet, HashMap};

/// Records under way.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    partitions: HashMap<i32, Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    open: BTreeSet<i64>,
    /// Behind the last record that began.
    next: i64,
    committed: i64,
}

impl Offsets {
    /// A record begins.
    pub(super) fn begin(&mut self, partition: i32, offset: i64) {
        let found = self.partitions.entry(partition).or_default();
        found.open.insert(offset);
        found.next = found.next.max(offset + 1);
    }

    /// A record has ended; yields the offset to commit where it moved.
    pub(super) fn end(&mut self, partition: i32, offset: i64) -> Option<i64> {
        let found = self.partitions.get_mut(&partition)?;
        if !found.open.remove(&offset) {
            return None;
        }
        let next = found.open.first().copied().unwrap_or(found.next);
        (next > found.committed).then(|| {
            found.committed = next;
            next
        })
    }

    /// The partition is read from its committed offset again.
    pub(super) fn forget(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_never_passes_an_open_record() {
        let mut offsets = Offsets::default();
        for offset in [4, 5, 7] {
            offsets.begin(0, offset);
        }
        assert_eq!(offsets.end(0, 5), Some(4));
        assert_eq!(offsets.end(0, 4), Some(7));
        assert_eq!(offsets.end(0, 4), None, "a record ends once");
        assert_eq!(offsets.end(0, 7), Some(8));
        assert_eq!(offsets.end(1, 7), None);
    }
}
