//! Administration, provisioning and the directory against a real Kafka, started here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod absent;
mod directory;
mod support;
mod topics;
