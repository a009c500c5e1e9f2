//! What a session does, seen from its clients and from the log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

#[path = "../world/mod.rs"]
mod world;

mod crash;
mod downlink;
mod handover;
mod limits;
mod ordering;
mod ownership;
mod peers;
mod publish;
mod queue;
mod replay;
mod retained;
mod rights;
mod sessions;
mod shared;
mod subscribe;
mod takeover;
mod wills;
