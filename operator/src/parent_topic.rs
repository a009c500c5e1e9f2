//! `ParentTopic`: the first level of MQTT topics whose messages go to one Kafka topic.

pub mod build;
pub mod resource;
pub mod rules;
pub mod validate;

pub use resource::{ParentTopic, ParentTopicSpec};
pub use validate::{ValidParent, validate};
