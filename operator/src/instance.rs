//! `MqttInstance`: one MQTT service and its Kafka cluster.

pub mod build;
pub mod limits;
pub mod resource;
pub mod rules;
pub mod status;
pub mod validate;

pub use resource::{MqttInstance, MqttInstanceSpec};
pub use validate::{ValidInstance, validate};
