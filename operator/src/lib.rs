//! The operator of Isthmus: resource types, their validation, what is built from them, and local
//! mode, which does without a cluster.
//!
//! Every kind goes the same way: dereference, validate (pure), build (pure), apply, report.

pub mod acl;
pub mod control;
pub mod crds;
pub mod directory;
pub mod fault;
pub mod instance;
pub mod local;
pub mod parent_topic;
pub mod references;
pub mod rules;
pub mod user;
pub mod values;

#[cfg(test)]
mod testing;
