//! Says why Kafka does not let this process in. The clients themselves only wait for it.

use crate::shared::Shared;
use isthmus_kafka::client::reach;
use std::sync::Arc;
use std::time::Duration;

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long until the next: so often a wrong password is tried.
const AGAIN: Duration = Duration::from_secs(5);

/// Ends once Kafka has answered; until then readiness says what stands against it.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut said = None;
    loop {
        let connection = shared.connection.clone();
        let asked = tokio::task::spawn_blocking(move || reach(&connection, ANSWER));
        let Ok(answer) = asked.await else {
            return;
        };
        let Err(fault) = answer else {
            shared.readiness.set_ready("kafka");
            return;
        };
        let text = fault.to_string();
        // Once for each kind: the addresses in the words change from try to try.
        let kind = std::mem::discriminant(&fault);
        if said != Some(kind) {
            said = Some(kind);
            tracing::error!(servers = shared.connection.bootstrap_servers, "{text}");
        }
        shared.readiness.set_not_ready("kafka", text);
        tokio::time::sleep(AGAIN).await;
    }
}
