//! `make bench`: ours, mosquitto and rumqttd side by side, each on one core, and ours into Kafka.
//!
//! A run that loses, repeats or reorders a message is an error, not a speed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints tables"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

mod cases;
mod client;
mod cluster;
mod connects;
mod load;
mod memory;
mod peer;
mod report;
mod system;
mod wire;

use cases::Case;
use clap::Parser;
use isthmus_tests::Kafka;
use load::Measured;
use peer::{Kind, Peer};
use report::{Medians, Memory, Outcome};
use std::time::Duration;
use system::Cores;

/// Measures brokers side by side.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    cluster: Option<Cluster>,
    /// Only cases whose name contains this; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// The brokers.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    peers: Vec<Kind>,
    /// How often each case runs; the medians are shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds that each run is measured.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Connections that do nothing, for their memory.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
}

/// An instance of several brokers.
#[derive(Debug, clap::Subcommand)]
enum Cluster {
    /// CPU time of a live message as brokers and subscriptions grow.
    Growth {
        /// Numbers of brokers.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
        brokers: Vec<u16>,
        /// Numbers of subscriptions, ascending.
        #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000])]
        subscriptions: Vec<usize>,
        /// Messages a second.
        #[arg(long, default_value_t = 4000.0)]
        rate: f64,
    },
    /// Restore time and memory as sessions and queues grow, and a restart of all brokers in turn.
    Restore {
        /// Number of brokers.
        #[arg(long, default_value_t = 3)]
        brokers: u16,
        /// Sessions and messages queued for them in all, ascending.
        #[arg(long, value_delimiter = ',', value_parser = step, default_values = ["1000:0", "10000:0", "50000:0", "50000:100000", "50000:1000000"])]
        steps: Vec<(usize, usize)>,
    },
}

fn step(text: &str) -> Result<(usize, usize), String> {
    let numbers = text
        .split_once(':')
        .and_then(|(sessions, queued)| Some((sessions.parse().ok()?, queued.parse().ok()?)));
    numbers.ok_or_else(|| "sessions:queued".to_owned())
}

const WARM_UP: Duration = Duration::from_secs(1);
/// Connections of the rate of connecting.
const CONNECTS: usize = 20_000;
/// Messages queued for every persistent session.
const QUEUED: usize = 20;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let cores = Cores::divide()?;
    system::raise_file_limit();
    system::move_to(&cores.load)?;
    if let Some(command) = &arguments.cluster {
        return cluster(&arguments, command, &cores);
    }
    let ours = arguments.peers.contains(&Kind::Isthmus);
    let kafka = ours.then(|| peer::kafka(&cores)).transpose()?;
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| arguments.wants(case.name))
        .collect();
    let mut rows: Vec<(Case, Vec<(Kind, Outcome)>)> = Vec::new();
    for case in cases {
        let kinds = arguments
            .peers
            .iter()
            .filter(|kind| !case.kafka || **kind == Kind::Isthmus);
        let outcomes = kinds.map(|kind| {
            (
                *kind,
                flow(&arguments, &cores, kafka.as_ref(), *kind, &case),
            )
        });
        rows.push((case.clone(), outcomes.collect()));
    }
    let mut others = Vec::new();
    let (connects, memory) = (arguments.wants("connects"), arguments.wants("memory"));
    for kind in arguments.peers.iter().filter(|_| connects || memory) {
        let left_out = || "left out".to_owned();
        let connects = connects.then(|| connects_of(&arguments, &cores, kafka.as_ref(), *kind));
        let memory = memory.then(|| memory_of(&arguments, &cores, kafka.as_ref(), *kind));
        others.push((
            *kind,
            connects.unwrap_or_else(|| Err(left_out())),
            memory.unwrap_or_else(|| Memory {
                connection: Err(left_out()),
                sessions: Err(left_out()),
            }),
        ));
    }
    println!(
        "\n{} cores of {}; {} runs of {} s each, medians\n",
        cores.count,
        system::processor(),
        arguments.runs,
        arguments.seconds
    );
    println!("{}", report::flows(&rows));
    if !others.is_empty() {
        println!("{}", report::others(&others));
    }
    println!("{}{}", report::aims(&rows), report::aims_of_others(&others));
    let failed = rows.iter().flat_map(|(_, outcomes)| outcomes);
    let failed = failed.filter(|(kind, outcome)| *kind == Kind::Isthmus && outcome.is_err());
    anyhow::ensure!(failed.count() == 0, "a case of ours failed");
    Ok(())
}

fn cluster(arguments: &Arguments, command: &Cluster, cores: &Cores) -> anyhow::Result<()> {
    let kafka = peer::kafka(cores)?;
    let time = Duration::from_secs_f64(arguments.seconds);
    match command {
        Cluster::Growth {
            brokers,
            subscriptions,
            rate,
        } => {
            let mut rows = Vec::new();
            for brokers in brokers {
                let more =
                    cluster::growth::run(cores, &kafka, *brokers, subscriptions, *rate, time)?;
                rows.extend(more);
            }
            println!("{}", report::growth(&rows));
        }
        Cluster::Restore { brokers, steps } => {
            let (rows, rolling) = cluster::restore::run(cores, &kafka, *brokers, steps)?;
            println!("{}", report::restore(&rows, &rolling));
        }
    }
    Ok(())
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

fn flow(
    arguments: &Arguments,
    cores: &Cores,
    kafka: Option<&Kafka>,
    kind: Kind,
    case: &Case,
) -> Outcome {
    let time = Duration::from_secs_f64(arguments.seconds);
    let mut runs: Vec<Measured> = Vec::new();
    // Kafka's Java compiles what it is asked for, for seconds.
    let warm_up = if case.kafka && case.flow.pace.is_some() {
        8 * WARM_UP
    } else {
        WARM_UP
    };
    let outcome = Peer::start(kind, cores, kafka).and_then(|peer| {
        for _ in 0..arguments.runs {
            let run = load::run(&peer, &case.flow, warm_up, time)?;
            eprintln!(
                "{} | {} | {:.0}/s | {:.2} µs | broker {:.0} %, load {:.0} %",
                case.name,
                kind.name(),
                run.rate,
                run.cpu,
                run.broker_busy * 100.0,
                run.load_busy * 100.0
            );
            runs.push(run);
        }
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(Medians::of(&runs)),
        Err(error) => {
            eprintln!("{} | {} | failed: {error:#}", case.name, kind.name());
            Err(format!("{error:#}"))
        }
    }
}

fn connects_of(
    arguments: &Arguments,
    cores: &Cores,
    kafka: Option<&Kafka>,
    kind: Kind,
) -> Result<connects::Connects, String> {
    let run = || -> anyhow::Result<connects::Connects> {
        let peer = Peer::start(kind, cores, kafka)?;
        let runs: Vec<_> = (0..arguments.runs)
            .map(|_| connects::run(&peer, CONNECTS))
            .collect::<Result<_, _>>()?;
        let of = |value: fn(&connects::Connects) -> f64| {
            report::median(runs.iter().map(value).collect())
        };
        Ok(connects::Connects {
            rate: of(|run| run.rate),
            cpu: of(|run| run.cpu),
            load_busy: of(|run| run.load_busy),
        })
    };
    let outcome = run().map_err(|error| format!("{error:#}"));
    eprintln!("connects | {} | {outcome:?}", kind.name());
    outcome
}

fn memory_of(arguments: &Arguments, cores: &Cores, kafka: Option<&Kafka>, kind: Kind) -> Memory {
    // Each on a broker of its own: what one leaves behind would hide what the next takes.
    let text = |error: anyhow::Error| format!("{error:#}");
    let memory = Memory {
        connection: Peer::start(kind, cores, kafka)
            .and_then(|peer| memory::of_connection(&peer, arguments.idle))
            .map_err(text),
        sessions: Peer::start(kind, cores, kafka)
            .and_then(|peer| memory::of_sessions(&peer, arguments.idle, QUEUED))
            .map_err(text),
    };
    eprintln!("memory | {} | {memory:?}", kind.name());
    memory
}
