//! The page that is made from the tests.

use isthmus_tests::conformance;

#[test]
fn the_table_is_whole_and_fresh() {
    let table = conformance::table();
    let faults = conformance::listed(&table.faults);
    assert!(table.faults.is_empty(), "docs/conformance.md:\n{faults}");
    let page = std::fs::read_to_string(conformance::path()).unwrap_or_default();
    assert!(
        page == table.page,
        "docs/conformance.md is stale: make conformance"
    );
}
