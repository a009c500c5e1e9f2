//! The contract, one file a section; every test is named after the behaviour it holds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

mod access;
mod downlink;
mod downlink_filters;
mod presence;
mod queues;
mod sessions;
mod uplink;
mod uplink_order;

use isthmus_tests::{Client, Options, QoS, Version, service};

/// A client of the shared service with a clean session.
fn client(id: &str) -> Client {
    Client::connect(&service::shared().address(), &Options::new(id))
}

/// The same with MQTT 5.
fn client5(id: &str) -> Client {
    Client::connect(
        &service::shared().address(),
        &Options::new(id).version(Version::V5),
    )
}

const EVERY_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
const EVERY_VERSION: [Version; 3] = [Version::V31, Version::V311, Version::V5];
