//! What librdkafka calls while it is polled. A rebalance is only noted here: [`super::member`]
//! assigns and unassigns after the poll, when nothing of librdkafka is on the stack.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use super::shared::Shared;
use crate::support::lock;

/// A rebalance that waits for its answer.
pub(super) enum Change {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
    Lose(TopicPartitionList),
}

pub(super) struct Rebalances {
    pub(super) shared: Arc<Shared>,
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.shared.voice.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.shared.voice.error(error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.shared.ended.load(Ordering::Acquire) {
            // Closing waits for this answer, and nobody else gives it any more.
            let _ = consumer.incremental_unassign(partitions);
            return;
        }
        let list = partitions.clone();
        let change = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assign(list),
            _ if consumer.assignment_lost() => Change::Lose(list),
            _ => Change::Revoke(list),
        };
        lock(&self.shared.pending).push(change);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            self.shared
                .voice
                .warn("commit", &format!("offsets were not committed: {error}"));
        }
    }
}
