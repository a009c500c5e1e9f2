//! `MqttInstance`: one MQTT service and its Kafka cluster.

pub mod access;
pub mod build;
mod delete;
pub mod deployment;
pub mod dereference;
pub mod limits;
pub mod monitoring;
mod monitors;
pub mod objects;
pub mod observe;
pub mod reconcile;
mod report;
pub mod resource;
pub mod rules;
pub mod status;
pub mod validate;

pub use resource::{MqttInstance, MqttInstanceSpec};
pub use validate::{ValidInstance, validate};
