//! How long the sessions of a broker that is harmed are without service.
//!
//! Every slot has a probe: a persistent session that asks all the time whether it is served, and
//! connects at once, elsewhere, when it is not. Whose each slot is stands in Kafka.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isthmus_core::hash::slot;
use isthmus_core::record::{OWNER_KEY, OwnerRecord, decode};
use isthmus_mqtt::Packet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::wire::{Connection, Pace};
use super::world::{Phase, World};
use crate::client::Event;
use crate::{Options, Tail};

/// Between two questions of a probe.
const ASK: Duration = Duration::from_millis(200);
/// A probe that waits longer for an answer, in milliseconds, goes elsewhere.
const ANSWER: u64 = 1_500;
/// For the answer to CONNECT.
const WELCOME: Duration = Duration::from_secs(3);

/// Slots that had to find another owner, or their owner again.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) slots: Vec<u16>,
    pub(super) begin: u64,
    /// When the harm was lifted; what comes later is the way back.
    pub(super) until: u64,
}

/// A time without service: from the last word of the broker to the next CONNACK.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: u64,
    to: u64,
}

/// What the probes have seen.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// When each slot's probe was not served.
    gaps: Mutex<BTreeMap<u16, Vec<Gap>>>,
    /// The broker that owns each slot.
    owners: Mutex<BTreeMap<u16, usize>>,
    /// Where probes do not go, since it is harmed.
    harmed: Mutex<Option<usize>>,
}

impl Probes {
    fn was_away(&self, slot: u16, gap: Gap) {
        let mut gaps = self.gaps.lock().unwrap();
        gaps.entry(slot).or_default().push(gap);
    }

    pub(super) fn avoid(&self, broker: Option<usize>) {
        *self.harmed.lock().unwrap() = broker;
    }

    /// The slots that a broker owns now.
    pub(super) fn owned_by(&self, broker: usize) -> Vec<u16> {
        let owners = self.owners.lock().unwrap();
        let owned = owners.iter().filter(|(_, owner)| **owner == broker);
        owned.map(|(slot, _)| *slot).collect()
    }

    /// How long each of the slots was without service in all because of this harm. What begins after
    /// it was lifted is the way back.
    pub(super) fn outages(&self, harm: &Move) -> Vec<u64> {
        let gaps = self.gaps.lock().unwrap();
        let of = |slot: &u16| {
            let due = |gap: &&Gap| gap.to >= harm.begin && gap.from <= harm.until;
            let during = gaps.get(slot)?.iter().filter(due);
            let all: u64 = during.map(|gap| gap.to - gap.from.max(harm.begin)).sum();
            (all > 0).then_some(all)
        };
        harm.slots.iter().filter_map(of).collect()
    }
}

/// The probe's clientId of a slot.
fn name(of: u16, slots: u16) -> String {
    let mut names = (0..).map(|n: u32| format!("probe-{n}"));
    let found = names.find(|name| slot(name, slots) == of);
    found.expect("some number has this slot")
}

/// Is served, or asks to be, until the run is over.
pub(super) async fn run(world: Arc<World>, of: u16, slots: u16) {
    let mut options = Options::new(&name(of, slots)).persistent();
    options.keep_alive = 0;
    let mut broker = usize::from(of);
    let mut heard = world.ledger.now();
    while world.phase() < Phase::Over {
        broker += 1;
        let harmed = *world.probes.harmed.lock().unwrap();
        let at = broker % world.addresses.len();
        if harmed == Some(at) && world.addresses.len() > 1 {
            continue;
        }
        let opening = Connection::open(&world.addresses[at], &options, Pace::FAST);
        let Ok(Ok((mut connection, _))) = timeout(WELCOME, opening).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let to = world.ledger.now();
        world.probes.was_away(of, Gap { from: heard, to });
        heard = stay(&world, &mut connection).await;
    }
}

/// Until the connection is lost or silent; gives when the broker was heard for the last time.
async fn stay(world: &World, connection: &mut Connection) -> u64 {
    let mut heard = world.ledger.now();
    let mut ask = Instant::now() + ASK;
    loop {
        tokio::select! {
            event = connection.next() => match event {
                Event::Closed => return heard,
                Event::Disconnect(_) => return world.ledger.now(),
                _ => heard = world.ledger.now(),
            },
            () = sleep_until(ask) => {
                if heard + ANSWER < world.ledger.now() {
                    return heard;
                }
                ask = Instant::now() + ASK;
                connection.send(&Packet::PingReq).await;
            }
            () = world.reaches(Phase::Over) => return heard,
        }
    }
}

/// Follows the owners as the brokers write them down, until it is told to end.
pub(super) fn follow(world: &World, bootstrap: &str, topic: &str, end: &AtomicBool) {
    let mut routes = Tail::from_start(bootstrap, topic);
    while !end.load(Ordering::Relaxed) {
        let Some(record) = routes.poll(Duration::from_millis(100)) else {
            continue;
        };
        if record.key.as_deref() != Some(OWNER_KEY) {
            continue;
        }
        let slot = u16::try_from(record.partition).expect("a slot");
        let owner: Option<OwnerRecord> = record
            .value
            .as_deref()
            .map(|value| decode(value).expect("an owner"));
        let number = owner.map(|owner| {
            let number = owner.node.rsplit('-').next().and_then(|n| n.parse().ok());
            number.unwrap_or(0)
        });
        let mut owners = world.probes.owners.lock().unwrap();
        match number {
            Some(number) => drop(owners.insert(slot, number)),
            None => drop(owners.remove(&slot)),
        }
    }
}
