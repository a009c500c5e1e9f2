//! The data plumbing against a real Kafka, started here: order, outages, refusals, transactions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod evicted;
mod fencing;
mod fetch;
mod group;
mod kafka;
mod outage;
mod producer;
mod proxy;
mod reader;
mod stuck;
mod transactor;
