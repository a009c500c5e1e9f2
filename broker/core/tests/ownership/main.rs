//! The life of slots over several pods and a simulated Kafka, explored by a seed: every pod drives
//! the real [`isthmus_core::ownership`] machine. `docs/ownership.md` says what is simulated, what is
//! checked and how to run more of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test code"
)]

mod kafka;
mod pod;
mod random;
mod shard;
mod transactor;
mod world;

use isthmus_core::ownership::{Effect, Event, Ownership};
use isthmus_core::record::OwnerRecord;
use random::Random;
use std::time::Instant;
use world::{Guards, World};

/// Steps of one history before everything calms down.
const WILD: u64 = 4000;
/// Steps of all histories, unless `ISTHMUS_SIMULATION_STEPS` says more.
const STEPS: u64 = 20_000_000;

fn seed() -> u64 {
    let given = std::env::var("ISTHMUS_SEED").ok();
    given.map_or_else(
        || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            u64::try_from(now.unwrap().as_nanos() & u128::from(u64::MAX)).unwrap()
        },
        |text| text.parse().expect("ISTHMUS_SEED is a number"),
    )
}

/// One history: wild, then calm. What it violated, if anything.
fn history(seed: u64, guards: Guards) -> Result<World, Box<(World, String)>> {
    let mut random = Random::new(seed);
    let mut world = World::new(3, 4, guards);
    for _ in 0..WILD {
        if let Err(fault) = world.step(&mut random) {
            return Err(Box::new((world, fault)));
        }
    }
    match world.calm(&mut random) {
        Ok(()) => Ok(world),
        Err(fault) => Err(Box::new((world, fault))),
    }
}

#[test]
fn no_slot_is_ever_advanced_by_two_and_none_stays_closed() {
    let steps = std::env::var("ISTHMUS_SIMULATION_STEPS")
        .map_or(STEPS, |text| text.parse().expect("a number of steps"));
    let first = seed();
    let begun = Instant::now();
    let (mut done, mut histories, mut commits, mut resumed) = (0, 0, 0, 0);
    while done < steps {
        let seed = first.wrapping_add(histories);
        match history(seed, Guards::default()) {
            Ok(world) => {
                done += world.steps;
                commits += world.kafka.commits;
                resumed += world.resumed;
            }
            Err(found) => {
                let (world, fault) = *found;
                for line in world.story.iter().rev().take(120).rev() {
                    eprintln!("{line}");
                }
                panic!(
                    "{fault}\nafter {} steps; repeat with ISTHMUS_SEED={seed}",
                    world.steps
                );
            }
        }
        histories += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{done} steps in {histories} histories, {commits} commits, {resumed} slots resumed from \
         memory, {seconds:.1} s; ISTHMUS_SEED={first}"
    );
    assert!(
        commits > histories * 10 && resumed > 0,
        "the simulation does too little"
    );
}

/// Whether the simulation finds a commit of two owners within so many histories. They are the same
/// in every run: this is a test of the simulation.
fn finds(guards: Guards) -> bool {
    let found = (0..20_000).find(|seed| match history(*seed, guards) {
        Err(found) => found.1.contains("does not follow"),
        Ok(_) => false,
    });
    eprintln!("without one of {guards:?}: history {found:?}");
    found.is_some()
}

#[test]
fn without_the_generation_check_it_finds_a_violation() {
    let guards = Guards {
        generation: false,
        ..Guards::default()
    };
    assert!(finds(guards));
}

/// What waits in a transactor from an earlier period would be written in the next.
#[test]
fn without_forgetting_it_finds_a_violation() {
    let guards = Guards {
        forgetting: false,
        ..Guards::default()
    };
    assert!(finds(guards));
}

/// The routes alone are read too late to go on from memory by.
#[test]
fn without_the_proof_it_finds_a_violation() {
    let guards = Guards {
        proof: false,
        ..Guards::default()
    };
    assert!(finds(guards));
}

/// Its reader may have been taken away at the wrong moment: it must not wait for ever.
#[test]
fn a_slot_that_does_not_open_is_restored_once_more() {
    let ours = OwnerRecord {
        node: "a".to_owned(),
        start: 1,
    };
    let mut machine = Ownership::new(ours, 1, 0);
    let mut step = |now, event| {
        let mut effects = Vec::new();
        machine.step(now, event, &mut effects);
        (effects, machine.next_tick())
    };
    step(0, Event::Begin);
    let (effects, _) = step(0, Event::Assigned(vec![0]));
    let [Effect::Restore { attempt, .. }] = effects[..] else {
        panic!("{effects:?}");
    };
    let (effects, tick) = step(10, Event::Restored { slot: 0, attempt });
    assert_eq!(effects, [Effect::Install(0)]);
    let at = tick.unwrap();
    assert_eq!(step(at - 1, Event::Tick).0, []);
    let (effects, tick) = step(at, Event::Tick);
    assert_eq!(effects, [Effect::Drop(0)]);
    let (effects, _) = step(tick.unwrap(), Event::Tick);
    assert!(matches!(&effects[..], [Effect::Restore { slots, .. }] if *slots == [0]));
}

/// Others give up first what it is to get: it would be called ready while slots move.
#[test]
fn a_pod_that_has_joined_serves_when_it_has_its_share_or_there_is_none() {
    let ours = OwnerRecord {
        node: "a".to_owned(),
        start: 1,
    };
    let joined = || {
        let mut machine = Ownership::new(ours.clone(), 1, 0);
        for event in [Event::Begin, Event::Assigned(Vec::new())] {
            machine.step(0, event, &mut Vec::new());
        }
        machine
    };
    let mut spare = joined();
    assert!(!spare.serving());
    let at = spare.next_tick().unwrap();
    spare.step(at, Event::Tick, &mut Vec::new());
    assert!(spare.serving(), "there is none for it");

    let mut machine = joined();
    let mut effects = Vec::new();
    machine.step(1, Event::Assigned(vec![0]), &mut effects);
    let [Effect::Restore { attempt, .. }] = effects[..] else {
        panic!("{effects:?}");
    };
    machine.step(2, Event::Restored { slot: 0, attempt }, &mut Vec::new());
    assert!(!machine.serving());
    machine.step(3, Event::Opened(0), &mut Vec::new());
    assert!(machine.serving());
}

/// Who was frozen reads of its successor before it hears of its own loss, and never again.
#[test]
fn a_slot_whose_successor_is_known_does_not_wait_for_its_word() {
    let owner = |node: &str| OwnerRecord {
        node: node.to_owned(),
        start: 1,
    };
    let mut machine = Ownership::new(owner("a"), 1, 0);
    let mut step = |event| {
        let mut effects = Vec::new();
        machine.step(0, event, &mut effects);
        effects
    };
    step(Event::Begin);
    let effects = step(Event::Assigned(vec![0]));
    let [Effect::Restore { attempt, .. }] = effects[..] else {
        panic!("{effects:?}");
    };
    step(Event::Restored { slot: 0, attempt });
    step(Event::Opened(0));
    step(Event::Owner(0, Some(owner("a"))));
    step(Event::Owner(0, Some(owner("b"))));
    assert_eq!(step(Event::Lost(vec![0])), [Effect::Drop(0)]);
    assert_eq!(machine.unserved(), 0);
}
