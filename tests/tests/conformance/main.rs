//! The normative statements of MQTT, byte by byte over real sockets; every test names in its
//! comment those that it shows, and `docs/conformance.md` is made from that.
//!
//! Packets are made and read here by hand (`bytes`, `wire`), not with the project's own codec.
//! That something does not come is shown by what comes behind it: a PINGRESP, a later message, the
//! end of the connection.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

mod bytes;
mod check;
mod wire;

mod connect;
mod connect5;
mod delivery;
mod errors;
mod flow;
mod format;
mod options;
mod packet;
mod publish;
mod retained;
mod sessions;
mod shared;
mod subscribe;
mod table;
mod topics;
mod transport;
mod wills;

/// Protocol levels.
const V31: u8 = 3;
const V311: u8 = 4;
const V5: u8 = 5;
/// The versions with numbered statements.
const NUMBERED: [u8; 2] = [V311, V5];
const EVERY: [u8; 3] = [V31, V311, V5];
