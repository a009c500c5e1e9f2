//! `make bench-cluster`: an instance of several brokers, measured as it grows and as it restarts.
//! All brokers share one core, so what is told is CPU time and memory, not how fast they could be.

pub(crate) mod growth;
pub(crate) mod restore;

use crate::client::Client;
use crate::system::{self, Cores};
use isthmus_tests::{Kafka, Service, Spec};
use std::net::SocketAddr;
use std::time::Duration;

/// An instance that runs.
struct Instance {
    service: Service,
    brokers: u16,
}

impl Instance {
    fn start(cores: &Cores, kafka: &Kafka, brokers: u16) -> anyhow::Result<Self> {
        let spec = Spec::new("cluster")
            .brokers(brokers)
            .with("authentication: {allowAnonymous: true, anonymousAcl: [{topic: \"#\", action: pubsub}]}")
            .with("session: {maxQueuedMessages: 100000}");
        system::move_to(&cores.broker)?;
        let mut service = Service::start(kafka, spec);
        system::move_to(&cores.load)?;
        system::move_process(service.operator().id(), &cores.kafka)?;
        let instance = Self { service, brokers };
        instance.wait_divided();
        Ok(instance)
    }

    /// Waits until every broker has its share of the slots: a slot that goes to another broker
    /// takes the connections of its clients along.
    fn wait_divided(&self) {
        let slots = usize::from(self.service.spec().slots);
        // The one that has the parking topic's partition may have a slot less.
        let share = slots / usize::from(self.brokers) - 1;
        let divided = || {
            let all = (0..self.brokers).map(|broker| self.open_slots(broker));
            let all: Option<Vec<usize>> = all.collect();
            all.is_some_and(|all| {
                all.iter().sum::<usize>() == slots && all.iter().all(|open| *open >= share)
            })
        };
        isthmus_tests::eventually("the slots are divided", Duration::from_secs(60), || {
            divided().then_some(())
        });
    }

    fn open_slots(&self, broker: u16) -> Option<usize> {
        let (_, metrics) = self.service.get_of(broker, "/metrics")?;
        let line = metrics
            .lines()
            .find(|line| line.contains("_slots{") && line.contains("\"open\""))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// The brokers in turn.
    fn address(&self, number: usize) -> anyhow::Result<SocketAddr> {
        let broker = u16::try_from(number % usize::from(self.brokers))?;
        Ok(self.service.address_of(broker).parse()?)
    }

    fn pids(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.brokers).map(|broker| self.service.broker_of(broker))
    }

    /// CPU time of all brokers so far.
    fn cpu(&self) -> anyhow::Result<Duration> {
        self.pids().map(system::cpu).sum()
    }

    /// Memory of all brokers now, bytes.
    fn memory(&self) -> anyhow::Result<u64> {
        self.pids().map(system::memory).sum()
    }

    /// Makes clients, many at once, and hands each to `each`.
    fn clients(
        &self,
        numbers: std::ops::Range<usize>,
        clean: bool,
        each: impl Fn(usize, Client) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        crate::memory::at_once(numbers, |number| {
            let name = format!("client-{number}");
            let client = Client::connect(self.address(number)?, number, &name, clean, None)?;
            each(number, client)
        })
    }
}
