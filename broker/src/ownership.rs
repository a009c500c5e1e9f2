//! Which slots are ours: the consumer group on `<i>.inbox` assigns them, [`isthmus_core::ownership`]
//! decides what that means, and this does it (architecture section 3, `docs/ownership.md`).
//!
//! One thread takes all events in turn and waits for nobody: reading states and asking Kafka happen
//! on threads of their own, so that a revoke is answered while others are restored.

mod driver;
mod read;

use crate::kafka::Topics;
use crate::shared::{Event as ToShard, Shared};
use driver::Driver;
use isthmus_core::ownership::Event;
use isthmus_kafka::group::{Group, GroupConfig, GroupEvent, GroupHandle, TopicPartition};
use isthmus_kafka::record::Message;
use read::Read;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long Kafka may take to say who is in the group.
const MEMBERS: Duration = Duration::from_secs(1);
/// The longest that handing over may take; the machine is done before.
const HANDOVER: Duration = Duration::from_secs(8);

/// What the thread is told.
pub enum Work {
    /// Something that the machine is to know.
    Event(Event),
    /// The group has assigned, by assignments of these numbers.
    Assigned(Vec<(u16, u64)>),
    /// The state of a slot.
    Read(Box<Read>),
    /// The process ends in order; told when nothing is left to hand over.
    Leave(Sender<()>),
}

/// The membership and the thread that decides.
pub struct Ownership {
    group: Option<Group>,
    work: Sender<Work>,
}

impl Ownership {
    /// Makes the membership; it joins at once, but nothing is restored before
    /// [`Ownership::begin`].
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn prepare(shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let topics = Topics::new(&shared.config);
        let (work, todo) = channel();
        let config = GroupConfig {
            park: Some(topics.names().directory()),
            wait_for_admission: true,
            ..GroupConfig::new(
                &shared.connection,
                &format!("{}.slots", topics.names().stem()),
                &shared.config.node,
                &[topics.inbox()],
            )
        };
        // The machine hears of every owner from the first on.
        let of_owners = work.clone();
        shared.owners.follow(move |slot, owner| {
            let _ = of_owners.send(Work::Event(Event::Owner(slot, owner.cloned())));
        });
        for slot in 0..shared.config.slots {
            let known = Event::Owner(slot, shared.owners.of(slot));
            let _ = work.send(Work::Event(known));
        }
        let _ = shared.ownership.set(work.clone());
        let (to, of_group, inbox) = (shared.clone(), work.clone(), topics.inbox().clone());
        let group = Group::start(config, move |event| on_event(&to, &of_group, &inbox, event))?;
        let _ = shared.slots_group.set(group.handle());
        let driver = Driver::new(shared.clone(), group.handle(), topics, work.clone());
        std::thread::Builder::new()
            .name("ownership".to_owned())
            .spawn(move || run(driver, &todo))?;
        Ok(Self {
            group: Some(group),
            work,
        })
    }

    /// Slots may be restored: the producers that they need are there.
    pub fn begin(&self) {
        let _ = self.work.send(Work::Event(Event::Begin));
    }

    /// For the transactors.
    #[must_use]
    pub fn handle(&self) -> Option<GroupHandle> {
        self.group.as_ref().map(Group::handle)
    }

    /// Gives every slot to the other pods and waits until they serve them; where there are none,
    /// until everything is committed. The shards must still run.
    pub fn hand_over(&self) {
        let (done, left) = channel();
        let _ = self.work.send(Work::Leave(done));
        let _ = left.recv_timeout(HANDOVER);
    }

    /// Ends the membership.
    pub fn leave(&mut self) {
        if let Some(group) = self.group.take() {
            group.close();
        }
    }
}

fn run(mut driver: Driver, todo: &Receiver<Work>) {
    loop {
        let work = match driver.next_tick() {
            None => todo.recv().map_err(drop),
            Some(wait) => match todo.recv_timeout(wait) {
                Ok(work) => Ok(work),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Ok(Work::Event(Event::Tick)),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Err(()),
            },
        };
        match work {
            Ok(Work::Event(event)) => driver.event(event),
            Ok(Work::Assigned(terms)) => driver.assigned(terms),
            Ok(Work::Read(read)) => driver.read(*read),
            Ok(Work::Leave(done)) => driver.leave(done),
            Err(()) => return,
        }
    }
}

fn on_event(shared: &Arc<Shared>, work: &Sender<Work>, inbox: &str, event: GroupEvent) {
    let tell = |event| drop(work.send(Work::Event(event)));
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
                shared.tell(shard, ToShard::Inbox(records));
            }
        }
        GroupEvent::Assigned(partitions) => {
            // On the group's own thread: nothing has ended the assignment since.
            let group = shared.slots_group.wait();
            let slots = slots(&partitions, inbox).into_iter();
            let terms = slots.filter_map(|slot| Some((slot, group.term(inbox, i32::from(slot))?)));
            let _ = work.send(Work::Assigned(terms.collect()));
        }
        GroupEvent::Revoked(partitions) => tell(Event::Revoked(slots(&partitions, inbox))),
        GroupEvent::Lost(partitions) => tell(Event::Lost(slots(&partitions, inbox))),
        GroupEvent::Error(error) => tracing::debug!(%error, "slot group"),
        GroupEvent::Fatal(error) => tell(Event::Fenced(error)),
    }
}

fn slots(partitions: &[TopicPartition], inbox: &str) -> Vec<u16> {
    let ours = partitions.iter().filter(|(topic, _)| &**topic == inbox);
    ours.filter_map(|(_, partition)| u16::try_from(*partition).ok())
        .collect()
}

/// Whether nobody else is in the group, as far as Kafka says in time.
fn alone(shared: &Shared, group: &GroupHandle) -> bool {
    if shared.links.enabled() {
        return shared.links.staying() == 0;
    }
    let begun = Instant::now();
    let members = group.members(MEMBERS);
    tracing::debug!(?members, elapsed = ?begun.elapsed(), "members of the slot group");
    members.is_some_and(|members| members <= 1)
}
