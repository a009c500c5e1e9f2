//! What brokers and operator share about Kafka: topic names, record formats, the directory,
//! provisioning. No topic name or record layout is written anywhere else.

pub mod admin;
pub mod client;
pub mod directory;
pub mod failpoint;
pub mod fetch;
pub mod group;
pub mod names;
pub mod producer;
pub mod provision;
pub mod reader;
pub mod record;
mod support;
pub mod transactor;
