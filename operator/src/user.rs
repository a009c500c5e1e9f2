//! `MqttUser`: an account and what it may do.

pub mod build;
pub mod password;
pub mod reconcile;
pub mod resource;
pub mod rules;
mod secret;
pub mod status;
pub mod validate;

pub use resource::{MqttUser, MqttUserSpec};
pub use validate::{ValidUser, validate};
