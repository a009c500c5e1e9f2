//! The contract with three brokers: every case of `contract`, with each connection at the next broker
//! in turn, and devices of every version and transport at brokers that do not own them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

#[path = "contract/access.rs"]
mod access;
#[path = "contract/common.rs"]
mod common;
#[path = "contract/downlink.rs"]
mod downlink;
#[path = "contract/downlink_filters.rs"]
mod downlink_filters;
#[path = "contract/foreign.rs"]
mod foreign;
#[path = "contract/presence.rs"]
mod presence;
#[path = "contract/queues.rs"]
mod queues;
#[path = "contract/sessions.rs"]
mod sessions;
#[path = "contract/uplink.rs"]
mod uplink;
#[path = "contract/uplink_order.rs"]
mod uplink_order;

use common::{EVERY_QOS, EVERY_VERSION, client, client5, shared, start};

/// Brokers of every instance here.
const BROKERS: u16 = 3;
