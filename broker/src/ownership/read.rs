//! What Kafka knows of a slot: its state and position, and who committed to it last.
//!
//! The order is what makes it safe: the offsets first, stable, so that no transaction that has
//! proved its generation is still open; then the state, after whatever is open in it has ended. Who
//! lost the slot cannot add to either any more.

use super::Work;
use crate::kafka::{Topics, transactional_ids};
use crate::shared::Shared;
use isthmus_core::ownership::Event;
use isthmus_kafka::failpoint::hit;
use isthmus_kafka::group::{Committed, GroupHandle};
use isthmus_kafka::reader::Restorer;
use isthmus_kafka::transactor::end_open;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How long one attempt may wait for Kafka.
const ATTEMPT: Duration = Duration::from_secs(20);
/// How long a look at the offsets may take that gives the last owner's word time to be read.
const GLANCE: Duration = Duration::from_millis(300);

/// What was written beside the committed offsets of a slot: whose transactions they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Of the transactions that carry sessions.
    state: String,
    /// Of those that store exactly once.
    exact: String,
}

/// A slot's state.
pub struct Read {
    pub(super) slot: u16,
    pub(super) attempt: u64,
    pub(super) position: i64,
    pub(super) records: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) marks: Marks,
}

/// One attempt at some slots.
pub(super) struct Reading {
    pub(super) shared: Arc<Shared>,
    pub(super) group: GroupHandle,
    pub(super) topics: Topics,
    pub(super) work: Sender<Work>,
    pub(super) attempt: u64,
    pub(super) restorer: Arc<Mutex<Option<Restorer>>>,
}

impl Reading {
    /// Reads the states on a thread of their own.
    pub(super) fn restore(self, slots: Vec<u16>) {
        self.apart(slots, |reading, slots| {
            let begun = Instant::now();
            let records = reading.read(slots)?;
            let ms = begun.elapsed().as_millis();
            tracing::info!(slots = slots.len(), records, ms, "slots restored");
            Ok(())
        });
    }

    /// Asks who has committed, on a thread of its own.
    pub(super) fn prove(self, known: HashMap<u16, Marks>) {
        let slots = known.keys().copied().collect();
        self.apart(slots, move |reading, slots| {
            let committed = reading.committed(slots, Instant::now() + ATTEMPT)?;
            for (slot, (_, marks)) in committed {
                let before = known.get(&slot).cloned().unwrap_or_default();
                let unchanged = reading.ours(&marks.state, &before.state)
                    && reading.ours(&marks.exact, &before.exact);
                let attempt = reading.attempt;
                reading.tell(Event::Proved {
                    slot,
                    attempt,
                    unchanged,
                });
            }
            Ok(())
        });
    }

    fn apart(
        self,
        slots: Vec<u16>,
        run: impl FnOnce(&Self, &[u16]) -> anyhow::Result<()> + Send + 'static,
    ) {
        let (work, attempt) = (self.work.clone(), self.attempt);
        let failed = slots.clone();
        let started = std::thread::Builder::new()
            .name("restore".to_owned())
            .spawn(move || {
                if let Err(error) = run(&self, &slots) {
                    tracing::warn!(%error, slots = slots.len(), "cannot read slots, trying again");
                    let attempt = self.attempt;
                    self.tell(Event::Failed { slots, attempt });
                }
            });
        if let Err(error) = started {
            tracing::warn!(%error, "no thread to restore with, trying again");
            let _ = work.send(Work::Event(Event::Failed {
                slots: failed,
                attempt,
            }));
        }
    }

    fn tell(&self, event: Event) {
        let _ = self.work.send(Work::Event(event));
    }

    /// Whether this was written by this process, or before it read the slot.
    fn ours(&self, mark: &str, before: &str) -> bool {
        let kafka = self.shared.kafka.get();
        mark == before || kafka.is_some_and(|kafka| kafka.has_marked(mark))
    }

    fn read(&self, slots: &[u16]) -> anyhow::Result<usize> {
        let deadline = Instant::now() + ATTEMPT;
        hit("restore", "begun");
        let begun = Instant::now();
        if let Some(kafka) = self.shared.kafka.get()
            && !slots.iter().all(|slot| kafka.settled(*slot, deadline))
        {
            anyhow::bail!("a transaction of an earlier assignment has not ended");
        }
        let committed = self.settled(slots, deadline)?;
        tracing::debug!(elapsed = ?begun.elapsed(), "committed offsets are settled");
        hit("restore", "offsets");
        let connection = &self.shared.connection;
        let kept = self.restorer.lock().take();
        let made = || Restorer::new(connection, "restore", &[]);
        let mut restorer = kept.map_or_else(made, Ok)?;
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
        // Connecting takes longer than reading.
        *self.restorer.lock() = Some(restorer);
        hit("restore", "state");
        for (slot, (position, marks)) in committed {
            let records = state.remove(&i32::from(slot)).unwrap_or_default();
            let read = Read {
                slot,
                attempt: self.attempt,
                position,
                records: records.into_iter().collect(),
                marks,
            };
            let _ = self.work.send(Work::Read(Box::new(read)));
        }
        Ok(count)
    }

    /// The committed positions, after what the last owners left open has ended. Who gave a slot away
    /// in order left nothing; who did not is not waited for.
    fn settled(
        &self,
        slots: &[u16],
        deadline: Instant,
    ) -> anyhow::Result<BTreeMap<u16, (i64, Marks)>> {
        if self.predecessors(slots).is_empty() {
            return self.committed(slots, deadline);
        }
        let glance = self.committed(slots, Instant::now() + GLANCE);
        let predecessors = self.predecessors(slots);
        if let (Ok(committed), true) = (glance, predecessors.is_empty()) {
            return Ok(committed);
        }
        tracing::debug!(?predecessors, "what they left open is ended");
        let connection = &self.shared.connection;
        std::thread::scope(|scope| {
            let ids = predecessors
                .iter()
                .flat_map(|node| transactional_ids(&self.topics, node));
            for id in ids {
                scope.spawn(move || {
                    if let Err(error) = end_open(connection, &id) {
                        tracing::debug!(%error, id, "what it left open is waited for");
                    }
                });
            }
        });
        self.committed(slots, deadline)
    }

    /// Pods that were the last to open one of the slots, and never gave it away.
    fn predecessors(&self, slots: &[u16]) -> BTreeSet<String> {
        let owners = slots.iter().filter_map(|slot| self.shared.owners.of(*slot));
        owners
            .map(|owner| owner.node)
            .filter(|node| *node != self.shared.config.node)
            .collect()
    }

    /// Stable offsets, and whose they are: of the inbox, and of the routes, where exactly-once
    /// transactions prove their generation.
    fn committed(
        &self,
        slots: &[u16],
        deadline: Instant,
    ) -> anyhow::Result<BTreeMap<u16, (i64, Marks)>> {
        let (inbox, routes) = (self.topics.inbox(), self.topics.names().routes());
        let asked: Vec<(&str, i32)> = slots
            .iter()
            .flat_map(|slot| [(&**inbox, i32::from(*slot)), (&*routes, i32::from(*slot))])
            .collect();
        let mut found: BTreeMap<u16, (i64, Marks)> = BTreeMap::new();
        for Committed {
            topic,
            partition,
            offset,
            metadata,
        } in self.group.committed(&asked, deadline)?
        {
            let (position, marks) = found.entry(u16::try_from(partition)?).or_default();
            if *topic == **inbox {
                *position = offset.unwrap_or(0).max(0);
                marks.state = metadata;
            } else {
                marks.exact = metadata;
            }
        }
        Ok(found)
    }
}
