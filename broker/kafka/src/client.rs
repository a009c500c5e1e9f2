//! What every Kafka client of Isthmus has in common.

use rdkafka::ClientConfig;

/// The configuration that every client starts from.
///
/// No client ever makes a topic by asking for it (contract, ruling 10.5), and a Kafka that is back
/// is found again within a second. The log level of librdkafka follows that of `tracing` for the
/// target `librdkafka` at the time of this call.
#[must_use]
pub fn base_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "isthmus")
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true");
    config
}
