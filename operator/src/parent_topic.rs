//! `ParentTopic`: the first level of MQTT topics whose messages go to one Kafka topic.

pub mod build;
pub mod claims;
mod delete;
pub mod dereference;
mod memory;
pub mod reconcile;
pub mod resource;
pub mod rules;
pub mod status;
pub mod validate;

pub use resource::{ParentTopic, ParentTopicSpec};
pub use validate::{ValidParent, validate};
