//! The contract, one file a section; every test is named after the behaviour it holds. The same
//! files run against three brokers in `contract_spread`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

mod access;
mod common;
mod downlink;
mod downlink_filters;
mod presence;
mod queues;
mod sessions;
mod uplink;
mod uplink_order;

use common::{EVERY_QOS, EVERY_VERSION, client, client5, shared, start};

/// Brokers of every instance here.
const BROKERS: u16 = 1;
