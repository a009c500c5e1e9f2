//! What is done to the service and its Kafka.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rustix::process::Signal;

use crate::{Kafka, Service, run};

/// One kind of harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// kill -9 of the broker.
    KillBroker,
    /// SIGSTOP of the broker, for less than the session time-out of its consumer group.
    FreezeBrokerShort,
    /// SIGSTOP of the broker, for longer than that.
    FreezeBrokerLong,
    /// An orderly stop and start.
    StopService,
    /// kill -9 of operator and broker, and an empty disk at the next start.
    LoseDisk,
    /// An orderly stop of Kafka, and a start.
    StopKafka,
    /// kill -9 of Kafka.
    KillKafka,
    /// SIGSTOP of Kafka.
    FreezeKafka,
    /// kill -9 of Kafka and of the broker.
    KillBoth,
    /// Packets between the service and Kafka are dropped.
    DropPackets,
    /// Kafka's disk is full.
    FullDisk,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::KillBroker,
        Self::FreezeBrokerShort,
        Self::FreezeBrokerLong,
        Self::StopService,
        Self::LoseDisk,
        Self::StopKafka,
        Self::KillKafka,
        Self::FreezeKafka,
        Self::KillBoth,
        Self::DropPackets,
        Self::FullDisk,
    ];

    /// Whether the broker's process may be ended by it.
    pub(super) fn ends_broker(self) -> bool {
        matches!(
            self,
            Self::KillBroker | Self::FreezeBrokerLong | Self::LoseDisk | Self::KillBoth
        )
    }

    /// Whether only Kafka is harmed, so that what needs no Kafka has to go on.
    pub(super) fn spares_broker(self) -> bool {
        matches!(
            self,
            Self::StopKafka
                | Self::KillKafka
                | Self::FreezeKafka
                | Self::DropPackets
                | Self::FullDisk
        )
    }

    /// How long it lasts; of no meaning to those that last no time.
    pub(super) fn lasts(self, random: &mut StdRng) -> Duration {
        let milliseconds = match self {
            Self::FreezeBrokerShort => 500..4_000,
            Self::FreezeBrokerLong => 8_000..20_000,
            Self::FreezeKafka | Self::DropPackets => 2_000..25_000,
            Self::FullDisk => 3_000..10_000,
            _ => 0..8_000,
        };
        Duration::from_millis(random.random_range(milliseconds))
    }

    /// Does the harm and ends it; what was ended is started again when this returns.
    pub(super) fn harm(self, lasts: Duration, kafka: &mut Kafka, service: &mut Service) {
        match self {
            Self::KillBroker => service.kill_broker(),
            Self::FreezeBrokerShort | Self::FreezeBrokerLong => {
                let broker = service.broker();
                run::send(broker, Signal::STOP);
                std::thread::sleep(lasts);
                // The operator may have found it unhealthy and ended it.
                if run::alive(broker) {
                    run::send(broker, Signal::CONT);
                }
            }
            Self::StopService => {
                service.stop();
                service.launch();
            }
            Self::LoseDisk => {
                service.kill();
                service.lose_disk();
                service.launch();
            }
            Self::StopKafka => {
                kafka.stop();
                std::thread::sleep(lasts);
                kafka.resume();
            }
            Self::KillKafka => {
                kafka.kill();
                std::thread::sleep(lasts);
                kafka.resume();
            }
            Self::FreezeKafka => {
                kafka.freeze();
                std::thread::sleep(lasts);
                kafka.thaw();
            }
            Self::KillBoth => {
                kafka.kill();
                service.kill_broker();
                std::thread::sleep(lasts);
                kafka.resume();
            }
            Self::DropPackets => {
                kafka.drop_packets();
                std::thread::sleep(lasts);
                kafka.pass_packets();
            }
            Self::FullDisk => {
                kafka.fill_disk();
                std::thread::sleep(lasts);
                kafka.free_disk();
            }
        }
    }
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
