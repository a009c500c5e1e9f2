//! The calls of Kafka's admin protocol that `rdkafka` does not offer, or only without the broker's
//! explanation: topic ids, the members of the cluster, incremental configs, why a topic was
//! refused, who a consumer is to its group, and how much waits in a client's queue. All unsafe code
//! of the workspace is in this crate.
//!
//! Every admin call blocks until its answer or its timeout. It owns what it allocates for librdkafka, and
//! the borrowed [`rdkafka::client::Client`] keeps the native client alive meanwhile.

#![allow(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn, missing_docs)]

mod call;
mod cluster;
mod configs;
mod headers;
mod member;
mod queue;
mod topics;

pub use call::{Fault, PerTopic};
pub use cluster::{ClusterDescription, describe_cluster};
pub use configs::{ConfigOp, incremental_alter_configs};
pub use headers::for_each_header;
pub use member::member_id;
pub use queue::{MainQueue, waiting};
pub use topics::{NewTopic, TopicDescription, create_partitions, create_topics, describe_topics};
