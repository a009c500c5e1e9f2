//! Rules between fields: once as CEL for the API server, once in Rust for local mode and the
//! controllers, with one message for both.
//!
//! Invariant: a rule is accepted by the CEL exactly when the Rust accepts it; the tests of each
//! kind run both over the same tables.

use crate::fault::{Fault, FieldPath};

/// One rule in the schema.
#[derive(Debug)]
pub struct Rule {
    /// The CEL expression; a use of `oldSelf` makes it a rule on changes.
    pub cel: &'static str,
    /// What a user reads when it is broken.
    pub message: &'static str,
    /// The field that is to be changed, from the root of the document; for display only.
    pub field: &'static str,
}

impl Rule {
    /// The fault of breaking this rule.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::at(self.field, self.message)
    }

    /// The fault of breaking this rule at a field inside a list or map.
    #[must_use]
    pub fn fault_at(&self, path: FieldPath) -> Fault {
        Fault::new(path, self.message)
    }

    /// Notes the fault unless `holds`.
    pub fn check(&self, holds: bool, faults: &mut Vec<Fault>) {
        if !holds {
            faults.push(self.fault());
        }
    }
}

/// The rules of one kind, by where they stand in the schema.
#[derive(Debug)]
pub struct KindRules {
    /// On the document: `self.metadata` and `self.spec`.
    pub root: &'static [&'static Rule],
    /// On `spec`.
    pub spec: &'static [&'static Rule],
}
