//! `make chaos`: hundreds of devices, random faults on three brokers and three Kafka nodes, and a
//! ledger that nothing may break.
//!
//! Habits and faults follow from the seed, which is printed; `ISTHMUS_SEED` repeats them,
//! `ISTHMUS_FAULTS=KillBroker,DropPackets` takes these alone, `BROKERS=1` takes one broker on a
//! Kafka of one node, `PERIOD=0.5` has each device speak twice a second. Ends with an error when a
//! promise was broken.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a test program")]

use std::process::ExitCode;
use std::time::Duration;

use isthmus_tests::chaos::{Fault, Plan};
use isthmus_tests::seed;

fn main() -> ExitCode {
    let duration = std::env::args()
        .nth(1)
        .as_deref()
        .map_or(Some(Duration::from_secs(300)), parse);
    let duration = duration.expect("usage: isthmus-chaos DURATION, such as 600, 90s, 5m or 2h");
    let mut plan = Plan::new(duration, seed());
    let number = |name, usual| {
        let text = std::env::var(name).ok().filter(|text| !text.is_empty());
        text.map_or(usual, |text| text.parse().expect("a number"))
    };
    if let Some(text) = std::env::var("PERIOD").ok().filter(|text| !text.is_empty()) {
        plan.period = Duration::from_secs_f64(text.parse().expect("PERIOD: seconds, such as 0.5"));
    }
    plan.brokers = number("BROKERS", plan.brokers).max(1);
    plan.nodes = number("NODES", if plan.brokers == 1 { 1 } else { 3 }).max(1);
    if let Ok(names) = std::env::var("ISTHMUS_FAULTS") {
        plan.faults = names.split(',').map(fault).collect();
    }
    let report = plan.run();
    println!("{report}");
    if report.broken.is_empty() {
        println!("all promises kept");
        return ExitCode::SUCCESS;
    }
    let (broken, seed) = (report.count(), plan.seed);
    println!("{broken} promises broken; again with ISTHMUS_SEED={seed}");
    ExitCode::FAILURE
}

/// A fault by its name.
fn fault(name: &str) -> Fault {
    let named = Fault::ALL
        .into_iter()
        .find(|fault| format!("{fault:?}") == name);
    named.expect("ISTHMUS_FAULTS: names of faults, such as KillBroker,DropPackets")
}

/// `600`, `90s`, `5m`, `2h`.
fn parse(text: &str) -> Option<Duration> {
    let unit = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit)?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()? * seconds))
}
