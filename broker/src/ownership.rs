//! Which slots are ours: the consumer group on `<i>.inbox` assigns them, their state is restored
//! from the changelog, and what the group takes away is suspended or given up
//! (architecture section 3).

use crate::kafka::Topics;
use crate::shared::{Event, Shared};
use isthmus_kafka::group::{Group, GroupConfig, GroupEvent, GroupHandle, TopicPartition};
use isthmus_kafka::reader::Restorer;
use isthmus_kafka::record::Message;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long one attempt at restoring may wait for Kafka.
const ATTEMPT: Duration = Duration::from_secs(20);

/// How long another process may need to write its name as a slot's owner.
const SUCCESSOR: Duration = Duration::from_secs(1);
/// So often within this time is no accident: two processes have one name.
const FENCES: (usize, Duration) = (3, Duration::from_secs(60));

/// The membership and the thread that restores.
pub struct Ownership {
    group: Option<Group>,
    handle: GroupHandle,
    begin: Sender<Work>,
}

impl Ownership {
    /// Makes the membership; it joins at once, but nothing is restored before
    /// [`Ownership::begin`].
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn prepare(shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let topics = Topics::new(&shared.config);
        let bootstrap = &shared.config.kafka.bootstrap_servers;
        let node = &shared.config.node;
        let (work, todo) = channel();
        let config = GroupConfig {
            park: Some(topics.names().directory()),
            ..GroupConfig::new(
                bootstrap,
                &format!("{}.slots", topics.names().stem()),
                node,
                &[topics.inbox()],
            )
        };
        let (to, begin) = (shared.clone(), work.clone());
        let group = Group::start(config, move |event| on_event(&to, &work, event))?;
        let worker = Worker {
            shared: shared.clone(),
            group: group.handle(),
            topics,
            lost: BTreeSet::new(),
            fences: Vec::new(),
        };
        std::thread::Builder::new()
            .name("restore".to_owned())
            .spawn(move || worker.run(&todo))?;
        Ok(Self {
            handle: group.handle(),
            group: Some(group),
            begin,
        })
    }

    /// Slots may be restored: the producers that they need are there.
    pub fn begin(&self) {
        let _ = self.begin.send(Work::Begin);
    }

    /// For the transactors.
    #[must_use]
    pub fn handle(&self) -> GroupHandle {
        self.handle.clone()
    }

    /// Leaves in order.
    pub fn leave(&mut self) {
        if let Some(group) = self.group.take() {
            group.close();
        }
    }
}

fn on_event(shared: &Arc<Shared>, work: &Sender<Work>, event: GroupEvent) {
    match event {
        GroupEvent::Records(records) => {
            let mut by_shard: BTreeMap<usize, Vec<Message>> = BTreeMap::new();
            for record in records {
                let slot = u16::try_from(record.partition).unwrap_or(u16::MAX);
                by_shard
                    .entry(shared.shard_of(slot))
                    .or_default()
                    .push(record);
            }
            for (shard, records) in by_shard {
                shared.tell(shard, Event::Inbox(records));
            }
        }
        GroupEvent::Assigned(partitions) => drop(work.send(Work::Assigned(partitions))),
        GroupEvent::Revoked(partitions) => drop(work.send(Work::Revoked(partitions))),
        GroupEvent::Lost(partitions) => drop(work.send(Work::Lost(partitions))),
        GroupEvent::Error(error) => tracing::debug!(%error, "slot group"),
        GroupEvent::Fatal(error) => {
            shared.readiness.set_not_ready("slots", error.as_str());
            let _ = work.send(Work::Fenced(error));
        }
    }
}

enum Work {
    Begin,
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Fenced(String),
}

struct Worker {
    shared: Arc<Shared>,
    group: GroupHandle,
    topics: Topics,
    /// Suspended in the shards.
    lost: BTreeSet<u16>,
    /// When the membership was last taken.
    fences: Vec<Instant>,
}

impl Worker {
    fn run(mut self, todo: &Receiver<Work>) {
        let mut early = Vec::new();
        while let Ok(work) = todo.recv() {
            match work {
                Work::Begin => break,
                other => early.push(other),
            }
        }
        for work in early
            .into_iter()
            .chain(std::iter::from_fn(|| todo.recv().ok()))
        {
            match work {
                Work::Begin => {}
                Work::Assigned(partitions) => {
                    self.assigned(&slots(&partitions, self.topics.inbox()))
                }
                Work::Revoked(partitions) => {
                    self.suspend(&slots(&partitions, self.topics.inbox()));
                    self.group.release(partitions);
                }
                Work::Lost(partitions) => self.suspend(&slots(&partitions, self.topics.inbox())),
                Work::Fenced(error) => self.fenced(&error),
            }
        }
    }

    /// Somebody has our membership. Another process would have written its name as the slots' owner
    /// by now; else it was an earlier request of our own, which a frozen Kafka took late, and the
    /// slots go on from memory.
    fn fenced(&mut self, error: &str) {
        std::thread::sleep(SUCCESSOR);
        self.fences.retain(|at| at.elapsed() < FENCES.1);
        self.fences.push(Instant::now());
        let another = self.lost.iter().any(|slot| !self.still_ours(*slot));
        if another || self.fences.len() > FENCES.0 {
            tracing::error!(%error, "another process has this pod's membership: ending");
            // Whoever has it now serves the slots; going on could only answer with stale state.
            std::process::exit(1);
        }
        tracing::warn!(%error, "the membership was lost to nobody else, joining again");
        self.group.rejoin();
    }

    fn suspend(&mut self, slots: &[u16]) {
        if slots.is_empty() {
            return;
        }
        tracing::info!(
            slots = slots.len(),
            "the consumer group has taken slots away, or is lost"
        );
        for slot in slots {
            self.lost.insert(*slot);
            self.shared.tell_slot(*slot, Event::Suspend(*slot));
        }
    }

    fn assigned(&mut self, slots: &[u16]) {
        let (known, new): (Vec<u16>, Vec<u16>) =
            slots.iter().partition(|slot| self.lost.remove(slot));
        let mut restore = new;
        for slot in known {
            if !self.still_ours(slot) {
                restore.push(slot);
                continue;
            }
            let (answer, answered) = oneshot::channel();
            self.shared.tell_slot(slot, Event::Resume(slot, answer));
            match answered.blocking_recv() {
                Ok(Some(offset)) => {
                    self.group
                        .resume(self.topics.inbox(), i32::from(slot), Some(offset))
                }
                Ok(None) | Err(_) => restore.push(slot),
            }
        }
        while !restore.is_empty() {
            let begun = Instant::now();
            match self.restore(&restore) {
                Ok(records) => {
                    let ms = begun.elapsed().as_millis();
                    tracing::info!(slots = restore.len(), records, ms, "slots restored");
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot restore slots, trying again");
                    self.shared
                        .readiness
                        .set_not_ready("slots", format!("restoring: {error}"));
                    std::thread::sleep(Duration::from_millis(200));
                    restore.retain(|slot| self.group.owns(self.topics.inbox(), i32::from(*slot)));
                }
            }
        }
    }

    /// `!owner` still names this start of this pod: nobody else had the slot.
    fn still_ours(&self, slot: u16) -> bool {
        self.shared.owners.is_ours(slot)
    }

    fn restore(&self, slots: &[u16]) -> anyhow::Result<usize> {
        let deadline = Instant::now() + ATTEMPT;
        let bootstrap = &self.shared.config.kafka.bootstrap_servers;
        let inbox = self.topics.inbox();
        // Stable offsets of both: whatever a producer of the last owner left open is waited for.
        let routes = self.topics.names().routes();
        let asked: Vec<(&str, i32)> = slots
            .iter()
            .flat_map(|slot| [(&**inbox, i32::from(*slot)), (&*routes, i32::from(*slot))])
            .collect();
        let mut committed = self.group.committed(&asked, deadline)?;
        committed.retain(|found| found.topic == *inbox);
        let mut restorer = Restorer::new(bootstrap, "restore", &[])?;
        let partitions: Vec<i32> = slots.iter().map(|slot| i32::from(*slot)).collect();
        let mut state: HashMap<i32, BTreeMap<Vec<u8>, Vec<u8>>> = HashMap::new();
        let mut count = 0;
        restorer.read_to_end(
            &self.topics.names().state(),
            &partitions,
            deadline,
            |record| {
                let (Some(key), latest) = (record.key, state.entry(record.partition).or_default())
                else {
                    return;
                };
                count += 1;
                match record.value {
                    Some(value) => drop(latest.insert(key, value)),
                    None => drop(latest.remove(&key)),
                }
            },
        )?;
        for found in committed {
            let slot = u16::try_from(found.partition).unwrap_or(u16::MAX);
            let position = found.offset.unwrap_or(0).max(0);
            let records = state
                .remove(&found.partition)
                .unwrap_or_default()
                .into_iter()
                .collect();
            self.shared.tell_slot(
                slot,
                Event::Restore {
                    slot,
                    position,
                    records,
                },
            );
            self.group.resume(inbox, found.partition, Some(position));
        }
        Ok(count)
    }
}

fn slots(partitions: &[TopicPartition], inbox: &str) -> Vec<u16> {
    let ours = partitions.iter().filter(|(topic, _)| &**topic == inbox);
    ours.filter_map(|(_, partition)| u16::try_from(*partition).ok())
        .collect()
}
