//! The core's plain counts, added to the process's metrics as they grow.

use crate::telemetry::{DropReason, Metrics, PublishRefusal, QosLabel, SessionKind};
use isthmus_core::shard::{Counters, Gauges};

/// What has been reported already.
#[derive(Debug, Default)]
pub(super) struct Measured {
    counters: Counters,
    gauges: Gauges,
}

impl Measured {
    pub(super) fn report(&mut self, metrics: &Metrics, now: &Counters, gauges: &Gauges) {
        let last = &self.counters;
        for (qos, (n, o)) in (0..).zip(now.received.iter().zip(last.received)) {
            metrics.messages_received.add(QosLabel::of(qos), n - o);
        }
        for (qos, (n, o)) in (0..).zip(now.sent.iter().zip(last.sent)) {
            metrics.messages_sent.add(QosLabel::of(qos), n - o);
        }
        for (reason, n, o) in [
            (DropReason::QueueFull, now.dropped_queue_full, last.dropped_queue_full),
            (DropReason::Qos0Backlog, now.dropped_backlog, last.dropped_backlog),
            (DropReason::OutgoingFull, now.dropped_outgoing, last.dropped_outgoing),
            (DropReason::Expired, now.dropped_expired + now.dropped_gone, last.dropped_expired + last.dropped_gone),
            (DropReason::TooLarge, now.dropped_too_large, last.dropped_too_large),
            (DropReason::RetainedLimit, now.dropped_retained, last.dropped_retained),
            (DropReason::NoTopicName, now.undecided, last.undecided),
        ] {
            metrics.messages_dropped.add(reason, n - o);
        }
        for (reason, n, o) in [
            (PublishRefusal::NoPermission, now.refused_acl, last.refused_acl),
            (PublishRefusal::TooLarge, now.refused_size, last.refused_size),
            (PublishRefusal::RefusedByKafka, now.refused_kafka, last.refused_kafka),
        ] {
            metrics.publishes_refused.add(reason, n - o);
        }
        let by = |now: usize, then: usize| {
            i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(then).unwrap_or(i64::MAX)
        };
        let then = &self.gauges;
        metrics.sessions.add(SessionKind::Clean, by(gauges.sessions_clean, then.sessions_clean));
        metrics.sessions.add(SessionKind::PersistentOnline, by(gauges.sessions_online, then.sessions_online));
        metrics.sessions.add(SessionKind::PersistentOffline, by(gauges.sessions_offline, then.sessions_offline));
        metrics.subscriptions.inc_by(by(gauges.subscriptions, then.subscriptions));
        metrics.queue_messages.inc_by(by(gauges.queued_messages, then.queued_messages));
        self.counters = *now;
        self.gauges = *gauges;
    }
}
