//! The caches that every process has: retained messages and the directory, read to their ends
//! before clients are let in, and followed from there.

use crate::kafka::{Topics, word};
use crate::shared::{Event, Shared};
use isthmus_core::record::{MessageRecord, decode};
use isthmus_core::retained::Standing;
use isthmus_kafka::directory::Entry;
use isthmus_kafka::reader::{Reader, ReaderConfig, ReaderEvent};
use parking_lot::Mutex;
use std::sync::Arc;

/// Where the retained messages are read from.
pub(super) fn retained(shared: &Shared) -> ReaderConfig {
    let topic = Topics::new(&shared.config).names().retained();
    reader(shared, "retained", topic)
}

fn reader(shared: &Shared, name: &str, topic: String) -> ReaderConfig {
    ReaderConfig {
        connection: shared.connection.clone(),
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
    let config = retained(shared);
    let shared = shared.clone();
    Ok(Reader::start(config, move |event| {
        let record = match event {
            ReaderEvent::CaughtUp(ends) => {
                for (partition, end) in ends {
                    shared.fresh.read_to(partition, end);
                }
                return caught_up();
            }
            ReaderEvent::Record(record) => record,
        };
        let topic = std::str::from_utf8(record.key.as_deref().unwrap_or_default());
        let Ok(topic) = topic else {
            return shared.fresh.read_to(record.partition, record.offset + 1);
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
                let (publisher, word) = word(&record.headers).unzip();
                let stands = shared.retained.write().logged(topic, own, word, message);
                if let (Some(publisher), Some(stands)) = (publisher, stands) {
                    restate(&shared, topic, publisher, &stands);
                }
            }
            Err(error) => {
                tracing::error!(%error, topic, "cannot read a retained message");
                shared.readiness.set_not_ready("records", error.to_string());
            }
        }
        shared.fresh.read_to(record.partition, record.offset + 1);
    })?)
}

/// A late record is the log's last one of its topic, which compaction would keep: the publisher's
/// owner says again what stands.
fn restate(shared: &Shared, topic: &str, publisher: &str, stands: &Standing) {
    tracing::debug!(
        topic,
        publisher,
        "a retained message of an earlier owner came late"
    );
    if let Some(kafka) = shared.kafka.get()
        && shared.serves(stands.word.slot(shared.config.slots))
    {
        kafka.retain_again(topic, publisher, stands);
    }
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
            ReaderEvent::CaughtUp(_) => {
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
