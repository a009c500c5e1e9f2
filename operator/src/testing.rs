//! For the tests of the kinds: one verdict from the Rust and from the CEL of the schema; and what a
//! directory holds.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use isthmus_kafka::directory::{Entry, ManagedBy, User, VERSION};
use kube::core::cel::Validator;
use serde_json::Value;

use crate::crds;
use crate::fault::Fault;

/// Deriving them takes longer than all else here.
static SCHEMAS: LazyLock<BTreeMap<&str, Value>> = LazyLock::new(|| {
    crds::KINDS
        .into_iter()
        .map(|kind| (kind, crds::schema(kind).unwrap().unwrap()))
        .collect()
});

/// What both say about an object.
#[derive(Debug)]
pub(crate) struct Verdict {
    rust: Vec<String>,
    cel: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(faults: &[Fault], kind: &str, new: &Value, old: Option<&Value>) -> Self {
        let cel = match Validator::new().validate(&SCHEMAS[kind], new, old) {
            Ok(()) => Vec::new(),
            Err(errors) => errors
                .as_slice()
                .iter()
                .map(|e| e.message.clone())
                .collect(),
        };
        Self {
            rust: faults.iter().map(ToString::to_string).collect(),
            cel,
        }
    }

    pub(crate) fn accepted(&self) {
        self.refused(&[]);
    }

    /// `expected` are the faults in order; the CEL has as many, each with the same message.
    pub(crate) fn refused(&self, expected: &[&str]) {
        assert_eq!(self.rust, expected, "the Rust; the CEL says {:?}", self.cel);
        assert_eq!(
            self.cel.len(),
            expected.len(),
            "the CEL says {:?}, not {expected:?}",
            self.cel
        );
        for message in &self.cel {
            assert!(
                expected.iter().any(|e| e.ends_with(message.as_str())),
                "the CEL says {message:?}, not {expected:?}"
            );
        }
    }
}

type Judge = fn(&Value, Option<&Value>) -> Verdict;

/// Objects and their faults.
pub(crate) fn check_values(judge: Judge, table: &[(Value, &[&str])]) {
    for (object, expected) in table {
        eprintln!("{object}");
        judge(object, None).refused(expected);
    }
}

/// Objects before and after, and the faults of the change.
pub(crate) fn check_updates(judge: Judge, table: &[(Value, Value, &[&str])]) {
    for (old, new, expected) in table {
        eprintln!("{old} -> {new}");
        judge(new, Some(old)).refused(expected);
    }
}

/// A user of the directory.
pub(crate) fn user(name: &str, hash: &str, managed_by: ManagedBy) -> Entry {
    let user = User {
        v: VERSION,
        managed_by,
        enabled: true,
        password_hash: hash.to_owned(),
    };
    Entry::User(name.to_owned(), Some(user))
}

/// A directory that holds these.
pub(crate) fn existing(entries: &[Entry]) -> BTreeMap<String, Entry> {
    let keyed = entries
        .iter()
        .map(|entry| (entry.encode().0, entry.clone()));
    keyed.collect()
}
