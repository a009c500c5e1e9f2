//! A broker dies or stands still at every step of restoring, opening and committing, once, and
//! nothing that was promised is broken: a ledger for each fault (architecture section 6, invariants
//! 1 to 4; docs/ownership.md has the places).
//!
//! Needs a broker built with the feature `failpoints`, as `make test` builds it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use isthmus_tests::ledger::{Load, let_in};
use isthmus_tests::run;
use isthmus_tests::{Kafka, Service, Spec, eventually};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rustix::process::Signal;

/// Reached while slots are taken over.
const TAKEOVER: [&str; 5] = [
    "restore.begun",
    "restore.offsets",
    "restore.state",
    "open.inbox",
    "open.owner",
];
/// Reached by every transaction, of sessions (`commit`) and of what is stored exactly once (`store`).
const TRANSACTION: [&str; 10] = [
    "commit.begun",
    "commit.sent",
    "commit.stored",
    "commit.offsets",
    "commit.committed",
    "store.begun",
    "store.sent",
    "store.stored",
    "store.offsets",
    "store.committed",
];
/// Longer than the group waits for a member (6 s).
const STILL: Duration = Duration::from_secs(8);
/// How long it takes at most until a place is reached.
const REACHED: Duration = Duration::from_secs(60);
/// Messages a second of each device.
const RATE: u32 = 40;
/// Instances at a time.
const INSTANCES: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Trial {
    point: &'static str,
    kill: bool,
}

/// Says what was tried when a check fails.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: {}", self.0);
        }
    }
}

#[test]
fn a_broker_that_dies_or_stands_still_at_any_step_breaks_no_promise() {
    let seed = isthmus_tests::seed();
    let mut random = StdRng::seed_from_u64(seed);
    let points = TAKEOVER.into_iter().chain(TRANSACTION);
    let mut trials: Vec<Trial> = points
        .flat_map(|point| [true, false].map(|kill| Trial { point, kill }))
        .collect();
    if let Ok(only) = std::env::var("ISTHMUS_FAILPOINT") {
        trials.retain(|trial| trial.point == only);
    }
    trials.shuffle(&mut random);
    let seeds: [u64; INSTANCES] = random.random();
    let kafka = Kafka::start();
    let trials = Mutex::new(trials);
    std::thread::scope(|scope| {
        for (number, seed) in seeds.into_iter().enumerate() {
            let (kafka, trials) = (&kafka, &trials);
            scope.spawn(move || {
                let next = || trials.lock().unwrap().pop();
                instance(kafka, number, StdRng::seed_from_u64(seed), next);
            });
        }
    });
}

/// Tries one after the other on an instance of its own; at the end every session of all is there.
fn instance(
    kafka: &Kafka,
    number: usize,
    mut random: StdRng,
    mut next: impl FnMut() -> Option<Trial>,
) {
    let folder = run::folder("failpoints");
    let spec = Spec::new("failing").brokers(2);
    let spec = spec.environment("ISTHMUS_FAILPOINTS", &folder.display().to_string());
    let mut service = Service::start(kafka, spec);
    let mut sessions = Vec::new();
    let mut tried = Vec::new();
    while let Some(trial) = next() {
        let _named = Named(format!("{trial:?} on instance {number}, after {tried:?}"));
        let load = Load::named(&service, &format!("-{}", tried.len()), Some(RATE));
        sessions.extend(load.sessions());
        load.wait_for(20);
        let other = random.random_range(0..2);
        let begun = Instant::now();
        if TAKEOVER.contains(&trial.point) {
            takeover(&service, &folder, trial, other, &mut random);
        } else {
            let hit = fault(&folder, trial);
            heal(trial, hit);
        }
        service.wait_ready();
        load.wait_for(50);
        let recovered = begun.elapsed();
        let reports = load.verdict(&service);
        let acknowledged: Vec<u64> = reports.iter().map(|report| report.last + 1).collect();
        let slowest = reports.iter().map(|report| report.slowest).max();
        eprintln!(
            "{}={}: {recovered:.1?}, {acknowledged:?} acknowledged, the slowest after {slowest:.1?}",
            trial.point,
            if trial.kill { "kill" } else { "stop" },
        );
        tried.push(trial);
    }
    for options in sessions {
        let client = let_in(&service.address(), &options);
        assert!(
            client.welcome.session_present,
            "{} was forgotten; {tried:?} on instance {number}",
            options.client_id
        );
    }
}

/// One broker is lost, and the one that restores its slots meets the fault. Where the fault kills,
/// the lost one stands still and wakes meanwhile; where the fault stops, it was killed and is back.
fn takeover(service: &Service, folder: &Path, trial: Trial, lost: u16, random: &mut StdRng) {
    arm(folder, trial);
    if trial.kill {
        let stopped = service.signal_broker(lost, Signal::STOP);
        reached(folder, trial);
        std::thread::sleep(Duration::from_millis(random.random_range(0..3000)));
        run::send(stopped, Signal::CONT);
    } else {
        service.kill_broker_of(lost);
        let hit = reached(folder, trial);
        heal(trial, hit);
    }
}

fn fault(folder: &Path, trial: Trial) -> u32 {
    arm(folder, trial);
    reached(folder, trial)
}

fn heal(trial: Trial, hit: u32) {
    if !trial.kill {
        std::thread::sleep(STILL);
        run::send(hit, Signal::CONT);
    }
}

fn arm(folder: &Path, trial: Trial) {
    let fault = if trial.kill { "kill" } else { "stop" };
    run::write_file(&folder.join(trial.point), fault);
}

/// Waits until a broker has met the fault; its process id.
fn reached(folder: &Path, trial: Trial) -> u32 {
    let what = format!(
        "{} reached, by a broker with the feature `failpoints`",
        trial.point
    );
    let found = eventually(&what, REACHED, || taken(folder, trial.point));
    std::fs::remove_file(&found).unwrap();
    found
        .extension()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn taken(folder: &Path, point: &str) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().flatten();
    let mut files = files.map(|file| file.path());
    files.find(|path| path.file_stem().is_some_and(|stem| stem == point))
}
