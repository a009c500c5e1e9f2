//! The MQTT wire: bytes to Control Packets and back, for MQTT 3.1, 3.1.1 and 5.
//!
//! No I/O. Decoding borrows from the input and allocates only where a packet holds a list;
//! encoding appends to a caller's buffer. Every malformed packet is an error of its own with the
//! reason code that the specification asks for; no input panics.

pub mod decode;
pub mod encode;
pub mod packet;
pub mod property;
pub mod reason;
pub mod topic;

pub use decode::{DecodeError, Frame, decode, frame};
pub use encode::{EncodeError, encode};
pub use packet::*;
pub use property::{UserProperties, UserPropertiesBuf};
pub use reason::ReasonCode;
