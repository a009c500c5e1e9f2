//! Chaos: hundreds of devices, a cloud application, faults by seed, and a ledger that says of every
//! message what was sent, acknowledged, stored, due and received.
//!
//! The devices are tasks of one thread ([`roster`] says who takes part), the cloud application is
//! another, and the faults come from the caller's. Devices note in the [`ledger`] what they do and
//! see; what is promised is judged at the end ([`verdict`]), against Kafka as an ordinary consumer
//! of committed records reads it ([`stored`]).

mod downlink;
mod fault;
mod fleet;
mod ledger;
mod passers;
mod probe;
mod publisher;
mod receiver;
mod report;
mod roster;
mod stored;
mod stream;
mod verdict;
mod will;
mod wire;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::{Kafka, run};
pub use fault::Fault;
use fault::{Deck, Target};
use fleet::Fleet;
pub use report::Report;
use verdict::Harm;
use world::{Phase, World};

/// The longest that anybody may take to get on after a fault.
const RECOVERY: Duration = Duration::from_secs(120);

/// How long everything has to stand still before what is missing is given up.
const STILL: u64 = 45_000;

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long faults go on.
    pub duration: Duration,
    /// Brokers.
    pub brokers: usize,
    /// Nodes of Kafka.
    pub nodes: usize,
    /// Devices that publish.
    pub publishers: usize,
    /// Devices with persistent sessions that subscribe.
    pub subscribers: usize,
    /// Between two messages of one device.
    pub period: Duration,
    /// The kinds of faults, each of which comes before any comes again.
    pub faults: Vec<Fault>,
    /// The longest that a fault lasts; what a start of Kafka needs comes to it.
    pub longest: Duration,
    /// The longest rest between a recovery and the next fault.
    pub rest: Duration,
    /// Faults and habits follow from it.
    pub seed: u64,
}

impl Plan {
    /// Three brokers, three Kafka nodes, every fault, and 200 devices in each direction that speak as
    /// often as the machine allows.
    #[must_use]
    pub fn new(duration: Duration, seed: u64) -> Self {
        Self {
            duration,
            brokers: 3,
            nodes: 3,
            publishers: 200,
            subscribers: 200,
            period: usual_period(),
            faults: Fault::ALL.to_vec(),
            longest: Duration::from_secs(60),
            rest: Duration::from_secs(8),
            seed,
        }
    }

    /// Runs it and judges.
    #[must_use]
    pub fn run(&self) -> Report {
        // What a run of this length stores, several times over.
        let disk = 2048 + 4 * self.duration.as_secs();
        let mut kafka = Kafka::fragile(self.nodes, self.brokers, disk);
        let mut fleet = Fleet::start(&kafka, self.brokers);
        let ledger = roster::ledger(self.publishers, self.subscribers);
        let world = Arc::new(World::new(
            fleet.addresses(),
            ledger,
            self.seed,
            self.period,
        ));
        let ended = Arc::new(AtomicBool::new(false));
        let owners = {
            let (world, ended) = (Arc::clone(&world), Arc::clone(&ended));
            let (bootstrap, topic) = (kafka.bootstrap(), routes(&kafka));
            std::thread::spawn(move || probe::follow(&world, &bootstrap, &topic, &ended))
        };
        let (ready, mut subscribed) = mpsc::unbounded_channel();
        let devices = {
            let world = Arc::clone(&world);
            std::thread::spawn(move || devices(&world, ready))
        };
        for _ in &world.ledger.receivers {
            subscribed.blocking_recv().expect("the devices run");
        }
        eprintln!(
            "{:7.1} s  {} receivers are subscribed",
            seconds(world.ledger.now()),
            world.ledger.receivers.len()
        );
        world.enter(Phase::Running);
        let cloud = {
            let (world, bootstrap) = (Arc::clone(&world), kafka.bootstrap());
            let topic = fleet.topic("mq2mqtt");
            let period = self.period * 2 / u32::try_from(self.subscribers).expect("a number");
            std::thread::spawn(move || downlink::run(&world, &bootstrap, &topic, period))
        };
        let harms = self.harm(&world, &mut kafka, &mut fleet);
        world.enter(Phase::Settling);
        cloud.join().expect("the cloud application ends");
        if !settle(&world) {
            look_into(&fleet);
        }
        world.enter(Phase::Over);
        devices.join().expect("the devices end");
        ended.store(true, Ordering::Relaxed);
        owners.join().expect("the owners are followed");
        let stored = stored::read(
            &world.ledger,
            &kafka.bootstrap(),
            &fleet.topic(""),
            &["up", "orderMsg2mq-up"],
        );
        let verdict = verdict::judge(&world.ledger, &stored, &harms);
        let report = Report::new(self, &world, &verdict, &harms);
        // For whoever looks into it with ISTHMUS_KEEP=1.
        let all: Vec<String> = (report.broken.iter())
            .flat_map(|(kind, all)| all.iter().map(move |what| format!("{kind}: {what}")))
            .collect();
        run::write_file(&run::folder("ledger").join("broken.txt"), &all.join("\n"));
        report
    }

    /// Faults, one after the other, until the time is over and every kind has come.
    fn harm(&self, world: &World, kafka: &mut Kafka, fleet: &mut Fleet) -> Vec<Harm> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut deck = Deck::new(&self.faults);
        let mut harms = Vec::new();
        let start = Instant::now();
        recover(world, world.ledger.now());
        while start.elapsed() < self.duration || harms.len() < self.faults.len() {
            let rest = self.rest.as_millis().max(1);
            let rest = random.random_range(0..u64::try_from(rest).expect("a rest"));
            std::thread::sleep(Duration::from_millis(rest));
            let fault = deck.draw(&mut random);
            let lasts = fault.lasts(&mut random).min(self.longest);
            let target = Target {
                broker: random.random_range(0..self.brokers),
                node: random.random_range(0..self.nodes),
            };
            let begin = world.ledger.now();
            let live = world.live_messages.load(Ordering::Relaxed);
            let brokers = fleet.processes();
            // Nobody serves a slot that is on its way when Kafka goes.
            let settled = (0..self.brokers).all(|broker| fleet.is_ready(broker));
            eprint!("{:7.1} s  {fault:?} {lasts:?} {target:?}", seconds(begin));
            let moves = fault.harm(lasts, target, kafka, fleet, world);
            let lifted = world.ledger.now();
            let live = world.live_messages.load(Ordering::Relaxed) - live;
            let spared = fault.spares_brokers();
            if spared && settled && fault != Fault::DropPackets && live < lasts.as_secs() {
                let what = format!("{live} QoS 0 messages in {lasts:?} of {fault:?}");
                world.ledger.break_promise(what);
            }
            let last = recover(world, lifted);
            let recovered = world.ledger.now();
            if spared && fleet.processes() != brokers {
                let what = format!("a broker ended, where {fault:?} harmed Kafka alone");
                world.ledger.break_promise(what);
            }
            eprintln!(
                ": lifted after {:.1} s, all get on {:.1} s later (last: {last})",
                seconds(lifted - begin),
                seconds(recovered - lifted)
            );
            harms.push(Harm {
                fault,
                begin,
                lifted,
                recovered,
                moves,
                settled,
            });
        }
        harms
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// A second where there are four cores, two where there are two: brokers, Kafka nodes and devices share
/// them, and how soon anything is served again says nothing where all wait for a core.
fn usual_period() -> Duration {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Duration::from_secs_f64((4.0 / cores as f64).max(1.0))
}

/// Waits until everyone has got on; gives the last one.
fn recover(world: &World, since: u64) -> String {
    let deadline = Instant::now() + RECOVERY;
    let mut last = String::new();
    loop {
        let lagging = world.lagging(since);
        let Some(one) = lagging.first() else {
            return last;
        };
        last.clone_from(one);
        if Instant::now() > deadline {
            let some: Vec<_> = lagging.iter().take(5).collect();
            let what = format!(
                "no recovery within {RECOVERY:?}: {} of them, {some:?}",
                lagging.len()
            );
            world.ledger.break_promise(what);
            return last;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until all that is due has come, or nothing more comes, and then a little for what should not.
fn settle(world: &World) -> bool {
    let mut since = world.ledger.now();
    let mut before = usize::MAX;
    loop {
        let (missing, example) = world.ledger.missing();
        let now = world.ledger.now();
        if missing < before {
            (before, since) = (missing, now);
        }
        if missing == 0 || now - since > STILL {
            eprintln!(
                "{:7.1} s  settled, {missing} missing {example}",
                seconds(now)
            );
            std::thread::sleep(Duration::from_secs(3));
            return missing == 0;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What the brokers say of themselves, for whoever looks into what is missing.
fn look_into(fleet: &Fleet) {
    let told = [
        "downlink",
        "backlog",
        "queue",
        "inbox",
        "slots",
        "sessions{",
        "dropped",
    ];
    for broker in 0..fleet.size() {
        let (_, ready) = fleet.get(broker, "/readyz").unwrap_or_default();
        let (_, metrics) = fleet.get(broker, "/metrics").unwrap_or_default();
        eprintln!("broker {broker} /readyz: {ready}");
        let told = metrics
            .lines()
            .filter(|line| !line.starts_with('#') && told.iter().any(|name| line.contains(name)));
        told.for_each(|line| eprintln!("{line}"));
    }
}

/// The topic in which the brokers write whose each slot is.
fn routes(kafka: &Kafka) -> String {
    let topics = kafka.topics().into_iter();
    let mut routes = topics.filter(|topic| topic.ends_with(".routes"));
    routes.next().expect("the routes topic")
}

/// The thread of all devices; ends when the last of them does.
fn devices(world: &Arc<World>, ready: mpsc::UnboundedSender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let mut devices = JoinSet::new();
        roster::start(world, &ready, &mut devices);
        drop(ready);
        while let Some(end) = devices.join_next().await {
            if let Err(error) = end {
                world
                    .ledger
                    .break_promise(format!("a device ended: {error}"));
            }
        }
    });
}
