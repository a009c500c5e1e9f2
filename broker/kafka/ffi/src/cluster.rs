//! `DescribeCluster`: which cluster it is, and how many brokers are up.

use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};

use crate::call::{Fault, run, text};

/// The cluster as one of its brokers sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The id that the cluster was formatted with.
    pub cluster_id: String,
    /// Brokers that are up.
    pub brokers: usize,
}

/// Asks any broker.
///
/// # Errors
/// No answer in time, or Kafka's refusal.
pub fn describe_cluster<C: ClientContext>(
    client: &Client<C>,
    timeout: Duration,
) -> Result<ClusterDescription, Fault> {
    let event = run(
        client,
        sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER,
        false,
        timeout,
        // SAFETY: `run` passes valid pointers.
        Box::new(|native, options, queue| unsafe {
            sys::rd_kafka_DescribeCluster(native, options, queue);
        }),
    )?;
    // SAFETY: the event is valid and answers DescribeCluster, or the result is null; what is read
    // from the result lives as long as the event and is copied.
    let (cluster_id, brokers) = unsafe {
        let result = sys::rd_kafka_event_DescribeCluster_result(event.as_ptr());
        if result.is_null() {
            return Err(Fault::argument("not an answer to DescribeCluster"));
        }
        let mut brokers = 0;
        sys::rd_kafka_DescribeCluster_result_nodes(result, &raw mut brokers);
        (
            text(sys::rd_kafka_DescribeCluster_result_cluster_id(result)),
            brokers,
        )
    };
    Ok(ClusterDescription {
        cluster_id: cluster_id.unwrap_or_default(),
        brokers,
    })
}
