//! librdkafka's consumer, set up as a member.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use super::rebalance::Rebalances;
use super::shared::{Command, Shared};
use crate::support::consumer_config;

/// A member's client, which wakes the group's thread.
pub(super) fn consumer(
    shared: &Arc<Shared>,
    commands: &Sender<Command>,
) -> Result<BaseConsumer<Rebalances>, KafkaError> {
    let config = &shared.config;
    let mut settings = consumer_config(&config.connection, &[]);
    settings
        .set("group.id", &config.group_id)
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        // A member hears of a rebalance with its heartbeat.
        .set("heartbeat.interval.ms", "100")
        .set("fetch.wait.max.ms", "100");
    if let Some(instance) = &config.instance_id {
        settings
            .set("group.instance.id", instance)
            .set("client.id", instance);
    }
    for (name, value) in &config.extra {
        settings.set(name, value);
    }
    let rebalances = Rebalances {
        shared: Arc::clone(shared),
    };
    let mut consumer: BaseConsumer<Rebalances> = settings.create_with_context(rebalances)?;
    let wake = commands.clone();
    consumer.set_nonempty_callback(move || {
        let _ = wake.send(Command::Ready);
    });
    Ok(consumer)
}
