//! What the process says about itself: logs on stderr, metrics and health over HTTP.

pub mod health;
pub mod labels;
pub mod logs;
pub mod metrics;
pub mod server;

pub use health::{Heartbeat, Heartbeats, Readiness};
pub use labels::{
    DownlinkHeader, DownlinkOutcome, DropReason, PublishRefusal, QosLabel, RecordOutcome,
    RefusalReason, SessionKind, SlotState, TransactionOutcome,
};
pub use metrics::Metrics;
