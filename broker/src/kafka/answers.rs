//! Whom an answer of Kafka is for: tokens, and what each client's answer means to who waits.

use crate::shared::{Event, Shared};
use crate::telemetry::{RecordOutcome, TransactionOutcome};
use isthmus_core::shard::Token;
use isthmus_kafka::producer::{Outcome, Refusal};
use isthmus_kafka::transactor::Done;
use isthmus_mqtt::ReasonCode;
use std::sync::Arc;

/// Bits of a token below the shard's number.
const SHARD_SHIFT: u32 = 48;
/// Nobody waits for it.
pub(super) const NOBODY: u64 = u64::MAX;

pub(super) fn shard_token(shard: u16, token: Token) -> u64 {
    u64::from(shard) << SHARD_SHIFT | token
}

fn split(token: u64) -> (usize, Token) {
    let shard = usize::try_from(token >> SHARD_SHIFT).unwrap_or(usize::MAX);
    (shard, token & ((1 << SHARD_SHIFT) - 1))
}

/// Tokens of the dead letter: no shard has this number.
#[must_use]
pub fn dead_letter_token(n: u64) -> u64 {
    0xfffe << SHARD_SHIFT | n
}

pub(super) fn confirmed(shared: &Arc<Shared>, token: u64, outcome: &Outcome) {
    let (kind, result) = match outcome {
        Outcome::Stored { .. } => (RecordOutcome::Stored, Ok(())),
        Outcome::Refused(Refusal::TooLarge) => {
            (RecordOutcome::Refused, Err(ReasonCode::QUOTA_EXCEEDED))
        }
        Outcome::Refused(Refusal::Other(error)) => {
            tracing::warn!(%error, "Kafka refused a record for good");
            (
                RecordOutcome::Refused,
                Err(ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR),
            )
        }
    };
    shared.metrics.kafka_records.inc(kind);
    if token == NOBODY {
        return;
    }
    if token >= dead_letter_token(0) {
        return crate::bridge::dead_lettered(shared, token - dead_letter_token(0));
    }
    let (shard, token) = split(token);
    shared.tell(shard, Event::Confirmed(token, result));
}

pub(super) fn committed(shared: &Arc<Shared>, token: u64, done: &Done) {
    let (shard, id) = split(token);
    match done {
        Done::Committed => {
            shared
                .metrics
                .transactions
                .inc(TransactionOutcome::Committed);
            shared.tell(shard, Event::Committed(id));
        }
        Done::Fenced(_) => {
            shared.metrics.transactions.inc(TransactionOutcome::Fenced);
            shared.tell(shard, Event::Fenced(id));
        }
        Done::Refused { error, .. } => {
            // Our own topics take whatever we write, unless someone has changed them.
            tracing::error!(%error, "Kafka refuses the changelog: check the internal topics' limits and rights");
            shared
                .readiness
                .set_not_ready("state", format!("Kafka refuses the changelog: {error}"));
            shared.tell(shard, Event::Fenced(id));
        }
    }
}

pub(super) fn stored_exactly(shared: &Arc<Shared>, token: u64, done: Done) {
    let (shard, token) = split(token);
    let outcome = match done {
        Done::Committed => {
            shared
                .metrics
                .transactions
                .inc(TransactionOutcome::Committed);
            Ok(())
        }
        Done::Refused { error, too_large } => {
            tracing::warn!(%error, "Kafka refused a record for good");
            Err(if too_large {
                ReasonCode::QUOTA_EXCEEDED
            } else {
                ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR
            })
        }
        // The transactor holds it instead.
        Done::Fenced(_) => return,
    };
    shared.tell(shard, Event::Confirmed(token, outcome));
}
