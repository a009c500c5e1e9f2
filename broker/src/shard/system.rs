//! `$SYS/brokers/<node>/…`: what the broker says about itself over MQTT, every ten seconds, to
//! whoever has the right to subscribe to it. The first shard speaks for the process.

use super::Worker;
use crate::telemetry::{DropReason, Metrics, QosLabel};
use std::sync::Arc;

/// How often, ms.
const EVERY: u64 = 10_000;

/// When it was said last, epoch ms.
#[derive(Debug, Default)]
pub(super) struct System {
    said: u64,
}

impl Worker {
    pub(super) fn tell_system(&mut self) {
        let now = self.shared.clock.now();
        if self.number != 0 || now < self.system.said + EVERY {
            return;
        }
        self.system.said = now;
        let uptime = now.saturating_sub(self.shared.clock.start()) / 1000;
        for (name, value) in facts(&self.shared.metrics, uptime) {
            let topic = format!("$SYS/brokers/{}/{name}", self.shared.config.node);
            let message = self.act(|core, view, fx| core.system(view, &topic, &value, fx));
            // Not a record of Kafka, so it stays an overlay until the next one.
            self.shared
                .retained
                .write()
                .overlay(&topic, 0, None, Some(Arc::clone(&message)));
        }
    }
}

fn facts(metrics: &Metrics, uptime: u64) -> Vec<(&'static str, String)> {
    let qos = [QosLabel::Qos0, QosLabel::Qos1, QosLabel::Qos2];
    let received: u64 = qos.iter().map(|q| metrics.messages_received.get(*q)).sum();
    let sent: u64 = qos.iter().map(|q| metrics.messages_sent.get(*q)).sum();
    let dropped = metrics.messages_dropped.get(DropReason::QueueFull);
    vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("uptime", uptime.to_string()),
        ("clients/connected", metrics.connections.get().to_string()),
        (
            "subscriptions/count",
            metrics.subscriptions.get().to_string(),
        ),
        (
            "retained/count",
            metrics.retained_messages.get().to_string(),
        ),
        ("messages/received", received.to_string()),
        ("messages/sent", sent.to_string()),
        ("messages/queued", metrics.queue_messages.get().to_string()),
        ("messages/dropped/queue_full", dropped.to_string()),
    ]
}
