//! The broker process: listeners, shards, slot ownership, the bridge to Kafka, users and telemetry
//! around the pure core.

pub mod auth;
pub mod bridge;
pub mod directory;
pub mod fresh;
pub mod handshake;
pub mod kafka;
pub mod links;
pub mod listener;
pub mod owners;
pub mod ownership;
pub mod process;
pub mod routing;
pub mod shard;
pub mod shared;
pub mod telemetry;
pub mod watch;
pub mod websocket;
