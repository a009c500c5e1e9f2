//! `docs/conformance.md` from the tests: the statements of the standards are in
//! `tests/conformance/*.tsv`, and a test names those that it shows in its doc comment:
//!
//! ```text
//! /// Conformance 3.1.1: 3.1.0-1, 3.2.0-1
//! /// Conformance 5: 3.1.0-1
//! #[test]
//! ```

mod markers;
mod page;
mod statements;

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::parts::repository;

pub use markers::{Marker, scan};
pub use statements::{Bound, Edition, Statement};

/// The page and what is wrong with what it is made from.
#[derive(Debug)]
pub struct Table {
    /// The whole of `docs/conformance.md`.
    pub page: String,
    /// Markers that name nothing or stand where no test is; statements without a test.
    pub faults: Vec<String>,
}

/// Where the page is.
#[must_use]
pub fn path() -> PathBuf {
    repository().join("docs/conformance.md")
}

/// Makes the page from the lists and from the tests of the checkout.
#[must_use]
pub fn table() -> Table {
    let (markers, mut faults) = scan(repository());
    let editions = Edition::all();
    for marker in &markers {
        let edition = editions.iter().find(|e| e.version == marker.version);
        let statement = edition.and_then(|e| e.statement(&marker.number));
        let what = format!("{}: {} {}", marker.test, marker.version, marker.number);
        match statement {
            None => faults.push(format!("{what} is no statement")),
            Some(statement) if statement.bound == Bound::Client => {
                faults.push(format!("{what} binds the client alone"));
            }
            Some(_) => {}
        }
    }
    for edition in &editions {
        for statement in edition.ours() {
            if !markers
                .iter()
                .any(|marker| marker.is_for(edition, statement))
            {
                faults.push(format!(
                    "{} {} has no test",
                    edition.version, statement.number
                ));
            }
        }
    }
    Table {
        page: page::render(&editions, &markers),
        faults,
    }
}

/// The faults, one a line.
#[must_use]
pub fn listed(faults: &[String]) -> String {
    faults.iter().fold(String::new(), |mut text, fault| {
        let _ = writeln!(text, "  {fault}");
        text
    })
}
