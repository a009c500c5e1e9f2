//! What is done to the brokers and their Kafka.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rustix::process::Signal;

use super::fleet::Fleet;
use super::probe::Move;
use super::world::World;
use crate::{Kafka, run};

/// One kind of harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of a broker, which is started again at once.
    KillBroker,
    /// kill -9 of a broker, which stays away for longer than the session time-out of its group.
    LoseBroker,
    /// SIGSTOP of a broker, for less than that time-out.
    FreezeBrokerShort,
    /// SIGSTOP of a broker, for longer than that.
    FreezeBrokerLong,
    /// An orderly stop of a broker, which stays away for a while.
    StopBroker,
    /// An orderly stop and start of every broker, one after the other.
    RollingRestart,
    /// Packets between one broker and Kafka are dropped.
    DropPackets,
    /// An orderly stop and start of operator and brokers.
    StopService,
    /// kill -9 of operator and brokers, and an empty disk at the next start.
    LoseDisk,
    /// kill -9 of one Kafka node, and a start.
    KillKafkaNode,
    /// SIGSTOP of one Kafka node.
    FreezeKafkaNode,
    /// An orderly stop of all of Kafka for a minute, and a start.
    StopKafka,
    /// kill -9 of all of Kafka.
    KillKafka,
    /// SIGSTOP of all of Kafka.
    FreezeKafka,
    /// kill -9 of all of Kafka and of all brokers.
    KillAll,
    /// The disk of one Kafka node is full.
    FullDisk,
}

/// Whom a fault meets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) broker: usize,
    pub(super) node: usize,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::KillBroker,
        Self::LoseBroker,
        Self::FreezeBrokerShort,
        Self::FreezeBrokerLong,
        Self::StopBroker,
        Self::RollingRestart,
        Self::DropPackets,
        Self::StopService,
        Self::LoseDisk,
        Self::KillKafkaNode,
        Self::FreezeKafkaNode,
        Self::StopKafka,
        Self::KillKafka,
        Self::FreezeKafka,
        Self::KillAll,
        Self::FullDisk,
    ];

    /// Whether a broker's process may be ended by it, or fall behind its group without a word.
    pub(super) fn ends_broker(self) -> bool {
        matches!(
            self,
            Self::KillBroker
                | Self::LoseBroker
                | Self::FreezeBrokerLong
                | Self::DropPackets
                | Self::LoseDisk
                | Self::KillAll
        )
    }

    /// Whether all brokers lose Kafka, and with it perhaps their slots to each other.
    pub(super) fn scatters(self) -> bool {
        matches!(
            self,
            Self::KillKafkaNode
                | Self::FreezeKafkaNode
                | Self::StopKafka
                | Self::KillKafka
                | Self::FreezeKafka
                | Self::FullDisk
        )
    }

    /// Whether only Kafka is harmed, so that no broker may end.
    pub(super) fn spares_brokers(self) -> bool {
        self.scatters() || self == Self::DropPackets
    }

    /// The longest that the slots of the harmed broker may be without service, in milliseconds.
    pub(super) fn bound(self) -> Option<u64> {
        match self {
            Self::KillBroker | Self::LoseBroker => Some(10_000),
            Self::StopBroker | Self::RollingRestart => Some(2_000),
            _ => None,
        }
    }

    /// How long it lasts; of no meaning to those that last no time.
    pub(super) fn lasts(self, random: &mut StdRng) -> Duration {
        let milliseconds = match self {
            Self::FreezeBrokerShort => 500..4_000,
            Self::LoseBroker | Self::FreezeBrokerLong => 12_000..20_000,
            Self::KillKafkaNode | Self::FreezeKafkaNode => 2_000..20_000,
            Self::FreezeKafka | Self::DropPackets => 2_000..25_000,
            Self::FullDisk => 3_000..10_000,
            Self::StopKafka => 60_000..61_000,
            _ => 2_000..8_000,
        };
        Duration::from_millis(random.random_range(milliseconds))
    }

    /// Does the harm and ends it; what was ended is started again when this returns. Gives whose
    /// slots had to move.
    pub(super) fn harm(
        self,
        lasts: Duration,
        target: Target,
        kafka: &mut Kafka,
        fleet: &mut Fleet,
        world: &World,
    ) -> Vec<Move> {
        let Target { broker, node } = target;
        let away = || std::thread::sleep(lasts);
        let (slots, begin) = (world.probes.owned_by(broker), world.ledger.now());
        match self {
            Self::KillBroker => fleet.kill(broker),
            Self::LoseBroker | Self::StopBroker => {
                world.probes.avoid(Some(broker));
                fleet.hold(broker);
                if self == Self::StopBroker {
                    fleet.stop(broker);
                } else {
                    fleet.kill(broker);
                }
                away();
            }
            Self::FreezeBrokerShort | Self::FreezeBrokerLong => {
                world.probes.avoid(Some(broker));
                let process = fleet.process(broker);
                run::send(process, Signal::STOP);
                away();
                // The operator may have found it unhealthy and ended it.
                if run::alive(process) {
                    run::send(process, Signal::CONT);
                }
            }
            Self::RollingRestart => return rolling(fleet, world),
            Self::DropPackets => {
                world.probes.avoid(Some(broker));
                kafka.drop_packets(broker);
                away();
                kafka.pass_packets(broker);
            }
            Self::StopService => fleet.restart(),
            Self::LoseDisk => fleet.lose_disk(),
            Self::KillKafkaNode => {
                kafka.node(node).kill();
                away();
                kafka.node(node).resume();
            }
            Self::FreezeKafkaNode => {
                kafka.node(node).freeze();
                away();
                kafka.node(node).thaw();
            }
            Self::StopKafka => {
                kafka.stop();
                away();
                kafka.resume();
            }
            Self::KillKafka => {
                kafka.kill();
                away();
                kafka.resume();
            }
            Self::FreezeKafka => {
                kafka.freeze();
                away();
                kafka.thaw();
            }
            Self::KillAll => {
                kafka.kill();
                fleet.kill_all();
                away();
                kafka.resume();
            }
            Self::FullDisk => {
                kafka.node(node).fill_disk();
                away();
                kafka.node(node).free_disk();
            }
        }
        let until = world.ledger.now();
        world.probes.avoid(None);
        match self {
            Self::LoseBroker | Self::StopBroker => fleet.release(broker),
            Self::KillBroker | Self::FreezeBrokerLong | Self::DropPackets => {}
            _ => return Vec::new(),
        }
        vec![Move {
            slots,
            begin,
            until,
        }]
    }
}

/// The next broker is stopped when the last one serves again.
fn rolling(fleet: &Fleet, world: &World) -> Vec<Move> {
    let one = |broker| {
        let (slots, begin) = (world.probes.owned_by(broker), world.ledger.now());
        world.probes.avoid(Some(broker));
        fleet.hold(broker);
        fleet.stop(broker);
        let until = world.ledger.now();
        world.probes.avoid(None);
        fleet.release(broker);
        fleet.process(broker);
        fleet.wait_ready(broker);
        Move {
            slots,
            begin,
            until,
        }
    };
    (0..fleet.size()).map(one).collect()
}

/// Faults without end: every kind once in random order, then again.
pub(super) struct Deck<'a> {
    kinds: &'a [Fault],
    left: Vec<Fault>,
}

impl<'a> Deck<'a> {
    pub(super) fn new(kinds: &'a [Fault]) -> Self {
        Self {
            kinds,
            left: Vec::new(),
        }
    }

    pub(super) fn draw(&mut self, random: &mut StdRng) -> Fault {
        if self.left.is_empty() {
            self.left = self.kinds.to_vec();
            self.left.shuffle(random);
        }
        self.left.pop().expect("a kind of fault")
    }
}
