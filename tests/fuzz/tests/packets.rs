//! A bounded run of `isthmus-fuzz packets`.

use isthmus_fuzz::compare::Verdict;
use isthmus_fuzz::{Extent, packets};

#[test]
fn mutated_packets_are_the_same_in_both_codecs_or_differ_for_a_known_reason() {
    let report = packets::run(isthmus_tests::seed(), 0, Extent::Count(50_000));
    // The mutations leave enough to compare, and break enough.
    let share = |verdict| report.verdicts.get(&verdict).copied().unwrap_or_default();
    assert!(share(Verdict::Equal) > 10_000, "{}", report.table());
    assert!(share(Verdict::BothRefuse) > 10_000, "{}", report.table());
}
