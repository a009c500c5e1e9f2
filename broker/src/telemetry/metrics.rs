//! Every metric of the broker, in the OpenMetrics text format.
//!
//! Shards count in plain integers and add what gathered in batches; the counters are atomics and
//! may be added to from any thread. The names are part of the contract with dashboards.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::labels::{
    Counters, DownlinkHeader, DownlinkOutcome, DropReason, Gauges, ListenerKind, PublishRefusal,
    QosLabel, RecordOutcome, RefusalReason, SessionKind, SlotState, TransactionOutcome,
};

/// Upper bounds of the histograms of waiting for Kafka, seconds.
const KAFKA_SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0,
];

/// The metrics. Make one and share it in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Sockets that are open now, those before their CONNECT included.
    pub connections: Gauge,
    /// Sockets accepted.
    pub connections_accepted: Counters<ListenerKind>,
    /// Connections ended before a session had them.
    pub connections_refused: Counters<RefusalReason>,
    /// PUBLISH received from devices.
    pub messages_received: Counters<QosLabel>,
    /// PUBLISH sent to devices.
    pub messages_sent: Counters<QosLabel>,
    /// Messages that a receiver did not get.
    pub messages_dropped: Counters<DropReason>,
    /// PUBLISH of devices that were not taken.
    pub publishes_refused: Counters<PublishRefusal>,
    /// Bytes that wait for Kafka.
    pub kafka_backlog_bytes: Gauge,
    /// Records that wait for Kafka.
    pub kafka_backlog_records: Gauge,
    /// Records outside transactions by what became of them.
    pub kafka_records: Counters<RecordOutcome>,
    /// From produce to confirmation; one record at a time of each shard is timed.
    pub kafka_confirm_seconds: Histogram,
    /// Kafka transactions.
    pub transactions: Counters<TransactionOutcome>,
    /// From a shard's changes of state to their commit.
    pub transaction_seconds: Histogram,
    /// Records of `mq2mqtt`.
    pub downlink_records: Counters<DownlinkOutcome>,
    /// Headers of `mq2mqtt` whose value was not understood.
    pub downlink_invalid_headers: Counters<DownlinkHeader>,
    /// Other pods that this one is linked to.
    pub peers_linked: Gauge,
    /// Slots of this pod.
    pub slots: Gauges<SlotState>,
    /// Sessions of this pod.
    pub sessions: Gauges<SessionKind>,
    /// Subscriptions of this pod's sessions.
    pub subscriptions: Gauge,
    /// Retained messages known.
    pub retained_messages: Gauge,
    /// Bytes of them.
    pub retained_bytes: Gauge,
    /// Messages queued for this pod's sessions.
    pub queue_messages: Gauge,
    /// Bytes of inbox records read and not yet processed.
    pub inbox_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at 0.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("isthmus");
        let r = &mut registry;
        r.register(
            "build",
            "The running release",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self {
            connections: gauge(r, "connections", "Open client sockets"),
            connections_accepted: Counters::register(
                r,
                "connections_accepted",
                "Client sockets accepted",
            ),
            connections_refused: Counters::register(
                r,
                "connections_refused",
                "Connections ended before a session had them",
            ),
            messages_received: Counters::register(
                r,
                "messages_received",
                "PUBLISH packets received from clients",
            ),
            messages_sent: Counters::register(
                r,
                "messages_sent",
                "PUBLISH packets sent to clients",
            ),
            messages_dropped: Counters::register(
                r,
                "messages_dropped",
                "Messages that a receiver did not get",
            ),
            publishes_refused: Counters::register(
                r,
                "publishes_refused",
                "PUBLISH packets of clients that were not taken",
            ),
            kafka_backlog_bytes: gauge(r, "kafka_backlog_bytes", "Bytes that wait for Kafka"),
            kafka_backlog_records: gauge(r, "kafka_backlog_records", "Records that wait for Kafka"),
            kafka_records: Counters::register(
                r,
                "kafka_records",
                "Records for Kafka by what became of them",
            ),
            kafka_confirm_seconds: histogram(
                r,
                "kafka_confirm_seconds",
                "From produce to Kafka's acknowledgement",
            ),
            transactions: Counters::register(r, "transactions", "Kafka transactions"),
            transaction_seconds: histogram(
                r,
                "transaction_seconds",
                "From changes of state to their commit",
            ),
            downlink_records: Counters::register(
                r,
                "downlink_records",
                "Records consumed from mq2mqtt",
            ),
            downlink_invalid_headers: Counters::register(
                r,
                "downlink_invalid_headers",
                "Headers of mq2mqtt records whose value was not understood",
            ),
            slots: Gauges::register(r, "slots", "Slots of this pod"),
            sessions: Gauges::register(r, "sessions", "Sessions of this pod"),
            subscriptions: gauge(r, "subscriptions", "Subscriptions of this pod's sessions"),
            retained_messages: gauge(r, "retained_messages", "Retained messages"),
            retained_bytes: gauge(r, "retained_bytes", "Bytes of retained messages"),
            queue_messages: gauge(r, "queue_messages", "Messages queued for sessions"),
            inbox_bytes: gauge(
                r,
                "inbox_bytes",
                "Bytes of inbox records read and not yet processed",
            ),
            peers_linked: gauge(r, "peers_linked", "Other pods that this one is linked to"),
            registry,
        }
    }

    /// The text that `/metrics` answers.
    ///
    /// # Errors
    /// When a metric cannot be written; none of ours fails.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn histogram(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = Histogram::new(KAFKA_SECONDS);
    registry.register(name, help, histogram.clone());
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &Metrics) -> String {
        metrics.encode().unwrap()
    }

    #[test]
    fn every_series_of_a_label_exists_from_the_start() {
        let text = lines(&Metrics::new());
        for line in [
            "isthmus_connections 0",
            "isthmus_connections_accepted_total{listener=\"ws\"} 0",
            "isthmus_connections_refused_total{reason=\"bad_credentials\"} 0",
            "isthmus_messages_dropped_total{reason=\"qos0_backlog\"} 0",
            "isthmus_kafka_records_total{outcome=\"refused\"} 0",
            "isthmus_kafka_confirm_seconds_count 0",
            "isthmus_slots{state=\"open\"} 0",
            "isthmus_inbox_bytes 0",
            concat!(
                "isthmus_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in\n{text}"
            );
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn additions_land_on_the_series_of_their_label() {
        let metrics = Metrics::new();
        metrics.messages_received.add(QosLabel::of(1), 3);
        metrics.messages_dropped.inc(DropReason::Expired);
        metrics.kafka_records.add(RecordOutcome::Refused, 7);
        metrics.kafka_records.add(RecordOutcome::Stored, 2);
        metrics.sessions.add(SessionKind::PersistentOffline, 2);
        metrics.sessions.add(SessionKind::PersistentOffline, -1);
        metrics.transaction_seconds.observe(0.02);
        let text = lines(&metrics);
        for line in [
            "isthmus_messages_received_total{qos=\"1\"} 3",
            "isthmus_messages_received_total{qos=\"0\"} 0",
            "isthmus_messages_dropped_total{reason=\"expired\"} 1",
            "isthmus_kafka_records_total{outcome=\"refused\"} 7",
            "isthmus_kafka_records_total{outcome=\"stored\"} 2",
            "isthmus_sessions{kind=\"persistent_offline\"} 1",
            "isthmus_transaction_seconds_bucket{le=\"0.025\"} 1",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in\n{text}"
            );
        }
        assert_eq!(metrics.kafka_records.get(RecordOutcome::Stored), 2);
    }
}
