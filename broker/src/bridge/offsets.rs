//! How far each partition of `mq2mqtt` is done with, from the day that it is ours to the day that
//! it is not: records end in any order, and the committed offset never passes one that has not.
//!
//! A record is counted when the committed offset passes it: whoever has the partition next begins
//! behind it, so no other pod counts it again. What ends when the partition is not ours any more
//! is its next owner's, to read and to count.

use crate::telemetry::DownlinkOutcome;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The partitions that are ours.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    partitions: HashMap<i32, Period>,
    last_leave: u64,
}

/// A partition, from its assignment on.
#[derive(Debug, Default)]
struct Period {
    open: BTreeSet<i64>,
    /// Ended behind one that has not.
    ended: BTreeMap<i64, DownlinkOutcome>,
    /// Behind the last record that began.
    next: i64,
    committed: Option<i64>,
    /// The group wants it back.
    leave: Option<u64>,
}

/// The committed offset of a partition moves.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// To here.
    pub next: i64,
    /// What became of the records that it passes.
    pub passed: Vec<DownlinkOutcome>,
}

impl Offsets {
    /// A partition is ours, and read from its committed offset.
    pub(super) fn assigned(&mut self, partition: i32) {
        self.partitions.insert(partition, Period::default());
    }

    /// A record begins.
    pub(super) fn begin(&mut self, partition: i32, offset: i64) {
        if let Some(period) = self.partitions.get_mut(&partition) {
            period.open.insert(offset);
            period.next = period.next.max(offset + 1);
        }
    }

    /// A record has ended; says where the committed offset moves.
    pub(super) fn end(
        &mut self,
        partition: i32,
        offset: i64,
        outcome: DownlinkOutcome,
    ) -> Option<Moved> {
        let period = self.partitions.get_mut(&partition)?;
        if !period.open.remove(&offset) {
            return None;
        }
        period.ended.insert(offset, outcome);
        let next = period.open.first().copied().unwrap_or(period.next);
        let behind = period.ended.split_off(&next);
        let passed = std::mem::replace(&mut period.ended, behind);
        (!passed.is_empty()).then(|| {
            period.committed = Some(next);
            Moved {
                next,
                passed: passed.into_values().collect(),
            }
        })
    }

    /// The group wants partitions back; gives this a number.
    pub(super) fn leave(&mut self, partitions: impl IntoIterator<Item = i32>) -> u64 {
        self.last_leave += 1;
        for partition in partitions {
            if let Some(period) = self.partitions.get_mut(&partition) {
                period.leave = Some(self.last_leave);
            }
        }
        self.last_leave
    }

    /// Whether nothing is under way of the partitions that leave under this number.
    pub(super) fn is_quiet(&self, leave: u64) -> bool {
        let mut leaving = self.partitions.values();
        leaving.all(|period| period.leave != Some(leave) || period.open.is_empty())
    }

    /// The partitions that leave under this number are not ours from now on; yields their offsets.
    pub(super) fn left(&mut self, leave: u64) -> Vec<(i32, Option<i64>)> {
        let gone = self
            .partitions
            .extract_if(|_, period| period.leave == Some(leave));
        gone.map(|(partition, period)| (partition, period.committed))
            .collect()
    }

    /// A partition is another's.
    pub(super) fn forget(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DownlinkOutcome::{Dead, Delivered, Nobody};

    fn reading(partition: i32, records: impl IntoIterator<Item = i64>) -> Offsets {
        let mut offsets = Offsets::default();
        offsets.assigned(partition);
        for offset in records {
            offsets.begin(partition, offset);
        }
        offsets
    }

    fn moved(next: i64, passed: &[DownlinkOutcome]) -> Option<Moved> {
        let passed = passed.to_vec();
        Some(Moved { next, passed })
    }

    #[test]
    fn a_commit_never_passes_an_open_record() {
        let mut offsets = reading(0, [4, 5, 7]);
        assert_eq!(offsets.end(0, 5, Dead), None, "4 is open");
        assert_eq!(offsets.end(0, 4, Delivered), moved(7, &[Delivered, Dead]));
        assert_eq!(offsets.end(0, 4, Delivered), None, "a record ends once");
        assert_eq!(offsets.end(0, 7, Nobody), moved(8, &[Nobody]));
        assert_eq!(offsets.end(1, 7, Nobody), None, "never ours");
    }

    #[test]
    fn what_leaves_is_committed_when_nothing_of_it_is_under_way() {
        let mut offsets = reading(0, [4, 5]);
        offsets.assigned(1);
        offsets.begin(1, 9);
        let leave = offsets.leave([0]);
        assert!(!offsets.is_quiet(leave));
        offsets.end(0, 5, Delivered);
        assert!(!offsets.is_quiet(leave));
        assert_eq!(
            offsets.end(0, 4, Delivered),
            moved(6, &[Delivered, Delivered])
        );
        assert!(offsets.is_quiet(leave), "the other partition stays ours");
        assert_eq!(offsets.left(leave), [(0, Some(6))]);
        assert_eq!(offsets.end(1, 9, Nobody), moved(10, &[Nobody]));
    }

    #[test]
    fn what_ends_too_late_is_neither_committed_nor_counted() {
        let mut offsets = reading(0, [4, 5]);
        offsets.end(0, 4, Delivered);
        let leave = offsets.leave([0]);
        assert_eq!(offsets.left(leave), [(0, Some(5))]);
        assert_eq!(offsets.end(0, 5, Delivered), None);
        offsets.assigned(0);
        assert_eq!(offsets.end(0, 5, Delivered), None, "of the earlier period");
        offsets.begin(0, 8);
        assert_eq!(offsets.end(0, 5, Delivered), None, "of the earlier period");
        assert_eq!(offsets.end(0, 8, Delivered), moved(9, &[Delivered]));
        offsets.forget(0);
        assert_eq!(offsets.end(0, 8, Delivered), None);
    }

    #[test]
    fn a_partition_that_came_back_is_not_the_one_that_leaves() {
        let mut offsets = reading(0, [4]);
        let leave = offsets.leave([0]);
        offsets.forget(0);
        offsets.assigned(0);
        offsets.begin(0, 4);
        assert!(offsets.is_quiet(leave), "that one is lost");
        assert_eq!(offsets.left(leave), []);
        assert_eq!(offsets.end(0, 4, Delivered), moved(5, &[Delivered]));
    }
}
