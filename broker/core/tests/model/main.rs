//! Random histories against a simple model: clients come, go, subscribe and publish; writes,
//! confirmations, commits and reads happen in any order that Kafka allows; the process crashes.
//! `PROPTEST_CASES` sets how many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

#[path = "../world/mod.rs"]
mod world;

mod check;
mod history;

use history::{Op, Run, op};
use proptest::prelude::*;

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default);
    ProptestConfig {
        cases,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

fn run(ops: &[Op]) -> Run {
    let mut run = Run::new();
    for op in ops {
        run.take(op);
    }
    run.come_to_rest();
    run
}

proptest! {
    #![proptest_config(cases(500))]

    /// Invariants 1, 2, 3 and 5
    #[test]
    fn what_was_acknowledged_is_stored_and_delivered_in_order(ops in prop::collection::vec(op(), 1..150)) {
        let mut run = run(&ops);
        run.everything_acknowledged_is_in_its_parent();
        run.parents_stand_in_the_devices_order();
        run.durable_subscribers_got_what_was_due();
        run.the_group_got_what_was_due();
        run.deliveries_are_in_order();
        run.everyone_leaves();
        run.nothing_is_left();
    }
}
