//! Looks once a second: gauges, whether Kafka takes what it is given, and whether transactions go on.

use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;

/// See the module's description; it does not end.
pub async fn run(shared: Arc<Shared>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        let Some(kafka) = shared.kafka.get() else {
            continue;
        };
        kafka.measure();
        if let Some(group) = shared.slots_group.get() {
            let bytes = i64::try_from(group.outstanding_bytes()).unwrap_or(i64::MAX);
            shared.metrics.inbox_bytes.set(bytes);
        }
        {
            let retained = shared.retained.read();
            shared
                .metrics
                .retained_messages
                .set(i64::try_from(retained.len()).unwrap_or(i64::MAX));
            shared
                .metrics
                .retained_bytes
                .set(i64::try_from(retained.bytes()).unwrap_or(i64::MAX));
        }
        match kafka.stalled() {
            Some(why) => shared.readiness.set_not_ready("transactions", why),
            None if kafka.ready() => shared.readiness.set_ready("transactions"),
            None => {}
        }
        let held = kafka.held();
        if shared.backlogged() {
            shared.readiness.set_not_ready(
                "kafka",
                "more waits for Kafka than limits.maxKafkaBacklogBytes",
            );
        } else if held.is_empty() {
            shared.readiness.set_ready("kafka");
        } else {
            shared
                .readiness
                .set_not_ready("kafka", format!("Kafka does not take {}", held.join(", ")));
        }
    }
}
