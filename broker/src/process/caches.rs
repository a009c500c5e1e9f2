//! The caches that every process has: retained messages and the directory, read to their ends
//! before clients are let in, and followed from there.

use crate::kafka::Topics;
use crate::shared::{Event, Shared};
use isthmus_core::record::{MessageRecord, decode};
use isthmus_kafka::directory::Entry;
use isthmus_kafka::reader::{Reader, ReaderConfig, ReaderEvent};
use parking_lot::Mutex;
use std::sync::Arc;

fn reader(shared: &Shared, name: &str, topic: String) -> ReaderConfig {
    ReaderConfig {
        bootstrap: shared.config.kafka.bootstrap_servers.clone(),
        name: name.to_owned(),
        topic,
        partitions: None,
        extra: Vec::new(),
    }
}

/// Follows `<i>.retained`; `caught_up` is called when it has been read to its end.
pub(super) fn follow_retained(
    shared: &Arc<Shared>,
    caught_up: impl Fn() + Send + Sync + 'static,
) -> anyhow::Result<Reader> {
    let config = reader(
        shared,
        "retained",
        Topics::new(&shared.config).names().retained(),
    );
    let shared = shared.clone();
    Ok(Reader::start(config, move |event| {
        let record = match event {
            ReaderEvent::CaughtUp => return caught_up(),
            ReaderEvent::Record(record) => record,
        };
        let Ok(topic) = std::str::from_utf8(record.key.as_deref().unwrap_or_default()) else {
            return;
        };
        let own = shared
            .kafka
            .get()
            .and_then(|kafka| kafka.own_retained(&record.headers));
        let message = record
            .value
            .as_deref()
            .map(decode::<MessageRecord<'_>>)
            .transpose();
        match message {
            Ok(message) => {
                let message = message.map(|message| Arc::new(message.to_message()));
                shared.retained.write().logged(topic, own, message);
            }
            Err(error) => {
                tracing::error!(%error, topic, "cannot read a retained message");
                shared.readiness.set_not_ready("records", error.to_string());
            }
        }
    })?)
}

/// Follows `<i>.directory`; `caught_up` is called when it has been read to its end.
pub(super) fn follow_directory(
    shared: &Arc<Shared>,
    caught_up: impl Fn() + Send + Sync + 'static,
) -> anyhow::Result<Reader> {
    let config = reader(
        shared,
        "directory",
        Topics::new(&shared.config).names().directory(),
    );
    let shared = shared.clone();
    let warming: Mutex<Option<Vec<Entry>>> = Mutex::new(Some(Vec::new()));
    Ok(Reader::start(config, move |event| {
        let record = match event {
            ReaderEvent::CaughtUp => {
                let entries = warming.lock().take().unwrap_or_default();
                shared.directory.apply(entries);
                tell_directory(&shared);
                return caught_up();
            }
            ReaderEvent::Record(record) => record,
        };
        match Entry::decode(
            record.key.as_deref().unwrap_or_default(),
            record.value.as_deref(),
        ) {
            Ok(Entry::Pod(node, pod)) => shared.links.pod(&shared, &node, pod),
            Ok(entry) => {
                if let Some(entries) = warming.lock().as_mut() {
                    return entries.push(entry);
                }
                if !shared.directory.apply([entry]).is_empty() {
                    tell_directory(&shared);
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the directory");
                shared.readiness.set_not_ready("records", error.to_string());
            }
        }
    })?)
}

fn tell_directory(shared: &Shared) {
    for number in 0..shared.shards.len() {
        shared.tell(number, Event::Directory);
    }
}
