//! Local mode: the same resources as in a cluster, served by processes on this machine.
//!
//! Files are read and checked (`load`, `schema`, `desired`), then a Kafka of our own (`kafka`) is
//! brought to what they say (`reconcile`) and the broker processes are kept running (`service`).
//! The status that a cluster would show is printed.

pub mod applied;
pub mod authority;
pub mod banner;
pub mod broker;
pub mod desired;
pub mod files;
pub mod folder;
pub mod follow;
pub mod kafka;
pub mod load;
pub mod out;
pub mod pod;
pub mod ports;
pub mod process;
pub mod reconcile;
pub mod run;
pub mod schema;
pub mod secrets;
pub mod service;
pub mod watch;
pub mod yaml;
