//! The routing table of all slots, followed from `<i>.routes`, where each slot's owner writes it.

use crate::kafka::Topics;
use crate::shared::{Event, Shared};
use isthmus_core::record::{OWNER_KEY, OwnerRecord, ROUTE_NUMBER, RouteRecord, decode};
use isthmus_core::routes::Kinds;
use isthmus_kafka::reader::{Reader, ReaderConfig, ReaderEvent};
use isthmus_kafka::record::Message;
use std::sync::Arc;

/// Follows the routes topic: the routing table of all slots and their owners. `caught_up` is
/// called once.
///
/// # Errors
/// When the client cannot be made.
pub fn follow(
    shared: &Arc<Shared>,
    caught_up: impl Fn() + Send + Sync + 'static,
) -> anyhow::Result<Reader> {
    let topics = Topics::new(&shared.config);
    let config = ReaderConfig {
        connection: shared.connection.clone(),
        name: "routes".to_owned(),
        topic: topics.names().routes(),
        partitions: None,
        extra: Vec::new(),
    };
    let shared = shared.clone();
    Ok(Reader::start(config, move |event| match event {
        ReaderEvent::CaughtUp(_) => caught_up(),
        ReaderEvent::Record(record) => {
            if let Err(error) = route(&shared, &record) {
                tracing::error!(%error, offset = record.offset, "cannot read the routes");
                shared.readiness.set_not_ready("routes", error.to_string());
            }
        }
    })?)
}

fn route(shared: &Arc<Shared>, record: &Message) -> anyhow::Result<()> {
    let slot = u16::try_from(record.partition)?;
    let key = record.key.as_deref().unwrap_or_default();
    let number = record.headers.iter().find(|(name, _)| name == ROUTE_NUMBER);
    let number =
        number.and_then(|(_, value)| std::str::from_utf8(value.as_deref()?).ok()?.parse().ok());
    let number = number.unwrap_or(0);
    if key == OWNER_KEY {
        let owner: Option<OwnerRecord> = record.value.as_deref().map(decode).transpose()?;
        if let Some(owner) = &owner {
            let peer = shared.links.number(shared, &owner.node);
            shared.routes.write().owned(slot, number, owner.start, peer);
            shared.links.forget_taker(slot);
        }
        shared.owners.set(slot, owner);
        if shared.owners.is_ours(slot) {
            shared.tell_slot(slot, Event::Named(slot));
        }
        return Ok(());
    }
    // What we wrote ourselves is in the table already, and may be out of date here.
    if shared.owners.is_ours(slot) {
        return Ok(());
    }
    let kinds = match record.value.as_deref() {
        Some(value) => decode::<RouteRecord>(value)?.kinds,
        None => Kinds::default(),
    };
    shared
        .routes
        .write()
        .logged(slot, std::str::from_utf8(key)?, kinds, number);
    Ok(())
}
