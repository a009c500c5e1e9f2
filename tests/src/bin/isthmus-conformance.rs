//! Writes `docs/conformance.md`: `make conformance`.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a developer's tool"
)]

use std::process::ExitCode;

use isthmus_tests::conformance;

fn main() -> ExitCode {
    let table = conformance::table();
    std::fs::write(conformance::path(), table.page).expect("docs/conformance.md");
    if table.faults.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprint!(
        "docs/conformance.md:\n{}",
        conformance::listed(&table.faults)
    );
    ExitCode::FAILURE
}
