//! `mq2mqtt`: records in, messages to the shards, offsets committed in order when everything that
//! a record caused is safe; bad records to the dead letter (contract section 3, rulings 8 to 10).

mod offsets;
mod parse;

use crate::kafka::{Topics, dead_letter_token};
use crate::shared::{Event, Shared};
use crate::telemetry::DownlinkOutcome;
use isthmus_core::shard::Downlink;
use isthmus_kafka::group::{Group, GroupConfig, GroupEvent, GroupHandle};
use isthmus_kafka::names;
use isthmus_kafka::record::{Message, OwnedRecord};
use offsets::Offsets;
use parking_lot::Mutex;
use parse::{Bad, parse};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// What every record of `mq2mqtt` under way is accounted by.
#[derive(Default)]
struct Under {
    offsets: Offsets,
    /// Records on their way to the dead letter: partition and offset.
    dead: HashMap<u64, (i32, i64)>,
    last_dead: u64,
    weights: HashMap<(i32, i64), u64>,
}

/// The bridge of a process.
pub struct Bridge {
    topic: Arc<str>,
    group: OnceLock<GroupHandle>,
    under: Mutex<Under>,
}

/// Joins the group of `mq2mqtt`. Call it once, when sessions can be routed to.
///
/// # Errors
/// When the client cannot be made.
pub fn start(shared: &Arc<Shared>) -> anyhow::Result<Group> {
    let topics = Topics::new(&shared.config);
    let topic: Arc<str> = topics.names().of(names::DOWNLINK).into();
    let bridge = shared.bridge.get_or_init(|| {
        Arc::new(Bridge {
            topic: topic.clone(),
            group: OnceLock::new(),
            under: Mutex::default(),
        })
    });
    let config = GroupConfig {
        wait_for_resume: false,
        park: Some(topics.names().directory()),
        ..GroupConfig::new(
            &shared.config.kafka.bootstrap_servers,
            &format!("{}.downlink", topics.names().stem()),
            &shared.config.node,
            &[&topic],
        )
    };
    let (to, events) = (shared.clone(), bridge.clone());
    let group = Group::start(config, move |event| on_event(&to, &events, event))?;
    let _ = bridge.group.set(group.handle());
    Ok(group)
}

fn on_event(shared: &Arc<Shared>, bridge: &Bridge, event: GroupEvent) {
    match event {
        GroupEvent::Records(records) => {
            for record in records {
                take(shared, bridge, record);
            }
        }
        GroupEvent::Assigned(partitions) => {
            let mut under = bridge.under.lock();
            for (_, partition) in partitions {
                under.offsets.forget(partition);
            }
        }
        GroupEvent::Revoked(partitions) => {
            if let Some(group) = bridge.group.get() {
                group.release(partitions);
            }
        }
        GroupEvent::Lost(_) => {}
        GroupEvent::Error(error) => tracing::debug!(%error, "downlink group"),
        GroupEvent::Fatal(error) => {
            tracing::warn!(%error, "the membership of the downlink group was taken, joining again");
            // By an earlier request of ours, or by another process of this name; what becomes of
            // that one the membership of the slots decides.
            if let Some(group) = bridge.group.get() {
                group.rejoin();
            }
        }
    }
}

fn take(shared: &Arc<Shared>, bridge: &Bridge, record: Message) {
    let (partition, offset) = (record.partition, record.offset);
    let before = {
        let mut under = bridge.under.lock();
        under.offsets.begin(partition, offset);
        under.weights.insert((partition, offset), record.weight())
    };
    // Read again after a change of the group: its end counts once, so the earlier reading counts now.
    if let (Some(weight), Some(group)) = (before, bridge.group.get()) {
        group.processed(weight);
    }
    match parse(&shared.config.limits, &record) {
        Ok(good) => {
            for header in good.invalid {
                shared.metrics.downlink_invalid_headers.inc(header);
            }
            let downlink = Downlink {
                partition,
                offset,
                topic: good.topic,
                qos: good.qos,
                only_online: good.only_online,
                payload: record.value.unwrap_or_default(),
            };
            // Records of a partition keep their order: one shard takes them all.
            let shard = usize::try_from(partition).unwrap_or(0) % shared.shards.len().max(1);
            shared.tell(shard, Event::Downlink(Box::new(downlink)));
        }
        Err(bad) => bury(shared, bridge, record, bad),
    }
}

/// Ruling 10.
fn bury(shared: &Arc<Shared>, bridge: &Bridge, record: Message, bad: Bad) {
    tracing::warn!(
        partition = record.partition,
        offset = record.offset,
        error = bad.word(),
        "bad record in mq2mqtt: copied to the dead letter"
    );
    let mut headers = record.headers;
    headers.push(("error".to_owned(), Some(bad.word().as_bytes().to_vec())));
    headers.push((
        "partition".to_owned(),
        Some(record.partition.to_string().into_bytes()),
    ));
    headers.push((
        "offset".to_owned(),
        Some(record.offset.to_string().into_bytes()),
    ));
    let copy = OwnedRecord {
        topic: String::new(),
        partition: None,
        key: record.key,
        value: record.value,
        headers,
        timestamp: record.timestamp,
    };
    let token = {
        let mut under = bridge.under.lock();
        under.last_dead += 1;
        let token = under.last_dead;
        under.dead.insert(token, (record.partition, record.offset));
        token
    };
    if let Some(kafka) = shared.kafka.get() {
        kafka.dead_letter(dead_letter_token(token), &copy);
    }
}

/// A copy is in the dead letter.
pub fn dead_lettered(shared: &Arc<Shared>, token: u64) {
    let Some(bridge) = shared.bridge.get() else {
        return;
    };
    let found = bridge.under.lock().dead.remove(&token);
    if let Some((partition, offset)) = found {
        shared.metrics.downlink_records.inc(DownlinkOutcome::Dead);
        finish(bridge, partition, offset);
    }
}

/// Everything that a record caused is safe.
pub fn done(shared: &Arc<Shared>, partition: i32, offset: i64, reached: bool) {
    let Some(bridge) = shared.bridge.get() else {
        return;
    };
    let outcome = if reached {
        DownlinkOutcome::Delivered
    } else {
        DownlinkOutcome::Nobody
    };
    shared.metrics.downlink_records.inc(outcome);
    finish(bridge, partition, offset);
}

fn finish(bridge: &Bridge, partition: i32, offset: i64) {
    let (weight, next) = {
        let mut under = bridge.under.lock();
        let weight = under.weights.remove(&(partition, offset));
        (weight, under.offsets.end(partition, offset))
    };
    let Some(group) = bridge.group.get() else {
        return;
    };
    if let Some(weight) = weight {
        group.processed(weight);
    }
    if let Some(next) = next
        && let Err(error) = group.commit(&[(&bridge.topic, partition, next)], false)
    {
        // The next commit of the partition covers it.
        tracing::debug!(%error, partition, next, "downlink offset not committed");
    }
}
