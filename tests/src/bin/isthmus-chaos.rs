//! `make chaos`: random faults on one broker and one Kafka, and a ledger that nothing may break.
//!
//! The faults follow from the seed, which is printed; `ISTHMUS_SEED` repeats them. After each fault
//! every device has to make progress again. Ends with an error when a message is missing, out of
//! order or, for QoS 2, doubled.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a test program"
)]

use std::time::{Duration, Instant};

use isthmus_tests::ledger::Load;
use isthmus_tests::{Kafka, Service, Spec, run, seed};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rustix::process::Signal;

/// What is done to the service.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillBroker,
    FreezeBroker,
    StopService,
    LoseDisk,
    KillKafka,
    StopKafka,
    FreezeKafka,
    KillBoth,
}

const FAULTS: [Fault; 8] = [
    Fault::KillBroker,
    Fault::FreezeBroker,
    Fault::StopService,
    Fault::LoseDisk,
    Fault::KillKafka,
    Fault::StopKafka,
    Fault::FreezeKafka,
    Fault::KillBoth,
];

fn main() {
    let duration = std::env::args()
        .nth(1)
        .as_deref()
        .map_or(Some(Duration::from_secs(300)), parse);
    let duration = duration.expect("usage: isthmus-chaos DURATION, such as 90s, 5m or 2h");
    let mut random = StdRng::seed_from_u64(seed());
    let mut kafka = Kafka::start();
    let spec = Spec::new("chaos").with("session: {maxQueuedMessages: 1000000}");
    let mut service = Service::start(&kafka, spec);
    let load = Load::start(&service, Some(200));
    let start = Instant::now();
    let mut faults = 0;
    while start.elapsed() < duration {
        load.wait_for(random.random_range(20..600));
        let fault = *FAULTS.choose(&mut random).expect("faults");
        let pause = Duration::from_millis(random.random_range(0..8000));
        println!(
            "{:7.1} s  {fault:?} {pause:?}",
            start.elapsed().as_secs_f32()
        );
        harm(fault, pause, &mut kafka, &mut service);
        service.wait_ready();
        faults += 1;
    }
    load.wait_for(100);
    let reports = load.verdict(&service);
    let messages: u64 = reports.iter().map(|report| report.last + 1).sum();
    println!(
        "nothing lost, nothing out of order, no QoS 2 message doubled: {messages} messages, {faults} faults"
    );
}

fn harm(fault: Fault, pause: Duration, kafka: &mut Kafka, service: &mut Service) {
    match fault {
        Fault::KillBroker => service.kill_broker(),
        Fault::FreezeBroker => {
            let broker = service.broker();
            run::send(broker, Signal::STOP);
            std::thread::sleep(pause);
            // The operator may have found it unhealthy and ended it.
            if run::alive(broker) {
                run::send(broker, Signal::CONT);
            }
        }
        Fault::StopService => {
            service.stop();
            service.launch();
        }
        Fault::LoseDisk => {
            service.kill();
            service.lose_disk();
            service.launch();
        }
        Fault::KillKafka => {
            kafka.kill();
            std::thread::sleep(pause);
            kafka.resume();
        }
        Fault::StopKafka => {
            kafka.stop();
            std::thread::sleep(pause);
            kafka.resume();
        }
        Fault::FreezeKafka => {
            kafka.freeze();
            std::thread::sleep(pause);
            kafka.thaw();
        }
        Fault::KillBoth => {
            kafka.kill();
            service.kill_broker();
            std::thread::sleep(pause);
            kafka.resume();
        }
    }
}

/// `90s`, `5m`, `2h`.
fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()? * seconds))
}
