//! What a process that died left open.

use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};

use crate::client::{Connection, base_config};

/// How long the coordinator may take.
const WAIT: Duration = Duration::from_secs(5);

/// Ends a transaction that the last user of this transactional id left open. Until then readers of
/// committed records wait behind it, for up to twice its time-out.
///
/// # Errors
/// When Kafka does not answer in time.
pub fn end_open(
    connection: impl Into<Connection>,
    transactional_id: &str,
) -> Result<(), KafkaError> {
    let producer: BaseProducer = base_config(connection)
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", "10000")
        .set("retry.backoff.ms", "5")
        .set("retry.backoff.max.ms", "100")
        .create()?;
    producer.init_transactions(WAIT)
}
