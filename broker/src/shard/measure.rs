//! The core's plain counts, added to the process's metrics as they grow.

use crate::telemetry::{DropReason, Metrics, PublishRefusal, QosLabel, SessionKind, SlotState};
use isthmus_core::shard::{Counters, Gauges, Token};
use std::time::Instant;

/// What has been reported already, and what is being timed: one commit, and one record at a time.
#[derive(Debug, Default)]
pub(super) struct Measured {
    counters: Counters,
    gauges: Gauges,
    commit: Option<Instant>,
    record: Option<(Token, Instant)>,
}

impl Measured {
    pub(super) fn commit_begins(&mut self) {
        self.commit = Some(Instant::now());
    }

    pub(super) fn commit_ends(&mut self, metrics: &Metrics) {
        if let Some(begun) = self.commit.take() {
            metrics
                .transaction_seconds
                .observe(begun.elapsed().as_secs_f64());
        }
    }

    pub(super) fn record_leaves(&mut self, token: Token) {
        if self.record.is_none() {
            self.record = Some((token, Instant::now()));
        }
    }

    pub(super) fn record_confirmed(&mut self, token: Token, metrics: &Metrics) {
        if let Some((_, begun)) = self.record.take_if(|(timed, _)| *timed == token) {
            metrics
                .kafka_confirm_seconds
                .observe(begun.elapsed().as_secs_f64());
        }
    }

    pub(super) fn report(&mut self, metrics: &Metrics, now: &Counters, gauges: &Gauges) {
        let last = &self.counters;
        for (qos, (n, o)) in (0..).zip(now.received.iter().zip(last.received)) {
            metrics.messages_received.add(QosLabel::of(qos), n - o);
        }
        for (qos, (n, o)) in (0..).zip(now.sent.iter().zip(last.sent)) {
            metrics.messages_sent.add(QosLabel::of(qos), n - o);
        }
        for (reason, n, o) in [
            (
                DropReason::QueueFull,
                now.dropped_queue_full,
                last.dropped_queue_full,
            ),
            (
                DropReason::Qos0Backlog,
                now.dropped_backlog,
                last.dropped_backlog,
            ),
            (
                DropReason::OutgoingFull,
                now.dropped_outgoing,
                last.dropped_outgoing,
            ),
            (
                DropReason::Expired,
                now.dropped_expired + now.dropped_gone,
                last.dropped_expired + last.dropped_gone,
            ),
            (
                DropReason::TooLarge,
                now.dropped_too_large,
                last.dropped_too_large,
            ),
            (
                DropReason::RetainedLimit,
                now.dropped_retained,
                last.dropped_retained,
            ),
            (DropReason::NoTopicName, now.undecided, last.undecided),
        ] {
            metrics.messages_dropped.add(reason, n - o);
        }
        for (reason, n, o) in [
            (
                PublishRefusal::NoPermission,
                now.refused_acl,
                last.refused_acl,
            ),
            (
                PublishRefusal::TooLarge,
                now.refused_size,
                last.refused_size,
            ),
            (
                PublishRefusal::RefusedByKafka,
                now.refused_kafka,
                last.refused_kafka,
            ),
        ] {
            metrics.publishes_refused.add(reason, n - o);
        }
        let by = |now: usize, then: usize| {
            i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(then).unwrap_or(i64::MAX)
        };
        let then = &self.gauges;
        metrics.sessions.add(
            SessionKind::Clean,
            by(gauges.sessions_clean, then.sessions_clean),
        );
        metrics.sessions.add(
            SessionKind::PersistentOnline,
            by(gauges.sessions_online, then.sessions_online),
        );
        metrics.sessions.add(
            SessionKind::PersistentOffline,
            by(gauges.sessions_offline, then.sessions_offline),
        );
        metrics
            .slots
            .add(SlotState::Open, by(gauges.slots_open, then.slots_open));
        metrics.slots.add(
            SlotState::Restoring,
            by(gauges.slots_restoring, then.slots_restoring),
        );
        metrics
            .subscriptions
            .inc_by(by(gauges.subscriptions, then.subscriptions));
        metrics
            .queue_messages
            .inc_by(by(gauges.queued_messages, then.queued_messages));
        self.counters = *now;
        self.gauges = *gauges;
    }
}
