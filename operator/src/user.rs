//! `MqttUser`: an account and what it may do.

pub mod build;
pub mod password;
pub mod resource;
pub mod rules;
pub mod validate;

pub use resource::{MqttUser, MqttUserSpec};
pub use validate::{ValidUser, validate};
