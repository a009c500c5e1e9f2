//! The operator's command line.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use isthmus_operator::crds;
use isthmus_operator::instance::build::PEERS_PORT;
use isthmus_operator::local::out::Out;
use isthmus_operator::local::run::{KafkaChoice, Options, run};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// The operator of Isthmus: MQTT as a service on Kubernetes with Kafka behind it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve resources from files on this machine, without a cluster.
    Local(Local),
    /// Print the resource definitions (crds/isthmus.yaml).
    Crds,
}

#[derive(Debug, clap::Args)]
struct Local {
    /// A YAML file, or a folder of them; may be repeated. Changes are followed.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Use this Kafka, or `as-written` for the one in the files; else one is started.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Keep data here [default: data/<instance>].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The broker's executable [default: isthmus-broker beside this program].
    #[arg(long, value_name = "PATH", env = "ISTHMUS_BROKER")]
    broker: Option<PathBuf>,
    /// Add this to every port.
    #[arg(long, value_name = "N", env = "PORT_OFFSET", default_value_t = 0)]
    port_offset: u16,
    /// The address that the listeners bind; 0.0.0.0 lets other machines in.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Where the first broker listens for the others; broker n: 10 n higher.
    #[arg(long, value_name = "PORT", default_value_t = PEERS_PORT)]
    peers_port: u16,
}

fn main() -> std::process::ExitCode {
    let result = match Arguments::parse().command {
        Command::Crds => print_crds(),
        Command::Local(local) => run_local(local),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere else to say it.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn print_crds() -> anyhow::Result<()> {
    let yaml = crds::yaml()?;
    std::io::stdout()
        .write_all(yaml.as_bytes())
        .context("cannot write to stdout")
}

fn run_local(local: Local) -> anyhow::Result<()> {
    let kafka = match local.kafka.as_deref() {
        None => KafkaChoice::Own,
        Some("as-written") => KafkaChoice::AsWritten,
        Some(servers) if servers.contains(':') => KafkaChoice::At(servers.to_owned()),
        Some(other) => bail!("--kafka {other}: write HOST:PORT or as-written"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("off"))
        .with_writer(std::io::stderr)
        .init();
    let options = Options {
        files: local.files,
        kafka,
        data: local.data,
        broker: local.broker,
        port_offset: local.port_offset,
        bind: local.bind,
        peers_port: local.peers_port,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let signals = Mutex::new(Signals::new()?);
        let shutdown = || async { signals.lock().await.next().await };
        run(options, Out::new(std::io::stdout()), shutdown)
            .await
            .map_err(anyhow::Error::new)
    });
    // A call to Kafka that is under way is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    // The message of every error holds its sources already.
    result.map_err(|error| anyhow::anyhow!("{error}"))
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
