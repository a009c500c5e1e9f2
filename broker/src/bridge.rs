//! `mq2mqtt`: records in, messages to the shards, offsets committed in order when everything that
//! a record caused is safe; bad records to the dead letter (contract section 3, rulings 8 to 10).
//!
//! All pods are one consumer group. A partition that the group wants back is finished and committed
//! before another pod has it; of one that is lost nothing is committed any more, and its next owner
//! reads again what was under way.

mod offsets;
mod parse;

use crate::kafka::{Topics, dead_letter_token};
use crate::shared::{Event, Shared};
use crate::telemetry::DownlinkOutcome;
use isthmus_core::shard::Downlink;
use isthmus_kafka::group::{Group, GroupConfig, GroupEvent, GroupHandle, TopicPartition};
use isthmus_kafka::names;
use isthmus_kafka::record::{Message, OwnedRecord};
use offsets::Offsets;
use parking_lot::{Condvar, Mutex};
use parse::{Bad, parse};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long records under way may hold up a partition that the group wants back; the rest of the
/// group's grace is for the last commit.
const FINISH: Duration = Duration::from_millis(1500);

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
    /// A record has ended.
    ended: Condvar,
}

/// The process's membership in the group of `mq2mqtt`.
pub struct Membership {
    group: Group,
    /// There may be others who take over.
    shared: bool,
}

impl Membership {
    /// The first half of an orderly end: what is under way is finished, and other pods have the
    /// partitions. To be called while the shards still work; blocks.
    pub fn leave(&self, deadline: Instant) {
        if self.shared && !self.group.give_up(deadline) {
            tracing::warn!("not every partition of mq2mqtt was given up in time");
        }
    }

    /// The second half.
    pub fn close(self) {
        self.group.close();
    }
}

/// Joins the group of `mq2mqtt`. Call it once, when sessions can be routed to.
///
/// # Errors
/// When the client cannot be made.
pub fn start(shared: &Arc<Shared>) -> anyhow::Result<Membership> {
    let topics = Topics::new(&shared.config);
    let topic: Arc<str> = topics.names().of(names::DOWNLINK).into();
    let bridge = shared.bridge.get_or_init(|| {
        Arc::new(Bridge {
            topic: topic.clone(),
            group: OnceLock::new(),
            under: Mutex::default(),
            ended: Condvar::new(),
        })
    });
    let config = GroupConfig {
        wait_for_resume: false,
        park: Some(topics.names().directory()),
        ..GroupConfig::new(
            &shared.connection,
            &format!("{}.downlink", topics.names().stem()),
            &shared.config.node,
            &[&topic],
        )
    };
    let (to, events) = (shared.clone(), bridge.clone());
    let group = Group::start(config, move |event| on_event(&to, &events, event))?;
    let _ = bridge.group.set(group.handle());
    Ok(Membership {
        group,
        shared: shared.config.peers.is_some(),
    })
}

fn on_event(shared: &Arc<Shared>, bridge: &Arc<Bridge>, event: GroupEvent) {
    match event {
        GroupEvent::Records(records) => {
            for record in records {
                take(shared, bridge, record);
            }
        }
        GroupEvent::Assigned(partitions) => {
            let mut under = bridge.under.lock();
            for (_, partition) in partitions {
                under.offsets.assigned(partition);
            }
        }
        GroupEvent::Revoked(partitions) => give_back(bridge, &partitions),
        GroupEvent::Lost(partitions) => {
            let mut under = bridge.under.lock();
            for (_, partition) in partitions {
                under.offsets.forget(partition);
            }
        }
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

/// The group wants partitions back: they are released when what is under way of them is done and
/// their offsets are committed. The group's own thread must not wait for that.
fn give_back(bridge: &Arc<Bridge>, partitions: &[TopicPartition]) {
    let numbers = partitions.iter().map(|(_, partition)| *partition);
    let leave = bridge.under.lock().offsets.leave(numbers);
    let giver = bridge.clone();
    let spawned = std::thread::Builder::new()
        .name("bridge-leave".to_owned())
        .spawn(move || finish_leaving(&giver, leave, Instant::now() + FINISH));
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread to finish downlink records with");
        finish_leaving(bridge, leave, Instant::now());
    }
}

fn finish_leaving(bridge: &Bridge, leave: u64, deadline: Instant) {
    let left = {
        let mut under = bridge.under.lock();
        while !under.offsets.is_quiet(leave)
            && !bridge.ended.wait_until(&mut under, deadline).timed_out()
        {}
        under.offsets.left(leave)
    };
    let Some(group) = bridge.group.get() else {
        return;
    };
    let topic = &bridge.topic;
    let moved: Vec<(&str, i32, i64)> = left
        .iter()
        .filter_map(|(partition, next)| next.map(|next| (&**topic, *partition, next)))
        .collect();
    // Commits may have failed on the way, or not gone yet; the last one covers them.
    if !moved.is_empty()
        && let Err(error) = group.commit(&moved)
    {
        tracing::warn!(%error, "downlink offsets not committed at the handover: the next owner repeats");
    }
    let names = left.iter().map(|(number, _)| (topic.clone(), *number));
    group.release(names.collect());
}

fn take(shared: &Arc<Shared>, bridge: &Bridge, record: Message) {
    let (partition, offset) = (record.partition, record.offset);
    let before = {
        let mut under = bridge.under.lock();
        under.offsets.begin(partition, offset);
        under.weights.insert((partition, offset), record.weight())
    };
    // Read again after a change of the group: its end frees one weight, so the earlier one is freed now.
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
        finish(shared, bridge, partition, offset, DownlinkOutcome::Dead);
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
    finish(shared, bridge, partition, offset, outcome);
}

fn finish(shared: &Shared, bridge: &Bridge, partition: i32, offset: i64, outcome: DownlinkOutcome) {
    let Some(group) = bridge.group.get() else {
        return;
    };
    let mut under = bridge.under.lock();
    let weight = under.weights.remove(&(partition, offset));
    if let Some(moved) = under.offsets.end(partition, offset, outcome) {
        for outcome in moved.passed {
            shared.metrics.downlink_records.inc(outcome);
        }
        // With the lock held, so that none comes after the handover.
        group.moved(&bridge.topic, partition, moved.next);
    }
    drop(under);
    bridge.ended.notify_all();
    if let Some(weight) = weight {
        group.processed(weight);
    }
}
