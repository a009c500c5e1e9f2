//! Sessions, subscriptions, routing, retained messages and queues as a pure state machine:
//! `(now, event) -> effects`. No sockets, no Kafka client, no clock, no randomness.
//!
//! A [`shard::Shard`] owns the sessions of its slots; one thread drives it. What all shards of a
//! process read in common, [`routes::Routes`] and [`retained::Retained`], is lent to it with each
//! event and changed by the driver as its effects say.

pub mod acl;
pub mod filter;
pub mod hash;
pub mod message;
pub mod ownership;
pub mod queue;
pub mod record;
pub mod retained;
pub mod routes;
pub mod shard;

pub use message::{Message, Origin};
