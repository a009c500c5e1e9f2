//! The operator's command line.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use isthmus_operator::instance::build::PEERS_PORT;
use isthmus_operator::local::out::Out;
use isthmus_operator::local::run::{KafkaChoice, Options, run};
use isthmus_operator::{control, crds};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// A password takes 19 MiB to hash: what one thread has freed is to be another's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The operator of Isthmus: MQTT as a service on Kubernetes with Kafka behind it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the resources of a Kubernetes cluster.
    Run(Run),
    /// Serve resources from files on this machine, without a cluster.
    Local(Local),
    /// Print the resource definitions (crds/isthmus.yaml).
    Crds,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Look after these namespaces only, with commas between them.
    #[arg(
        long,
        value_name = "NAMES",
        env = "ISTHMUS_WATCH_NAMESPACES",
        value_delimiter = ','
    )]
    namespaces: Vec<String>,
    /// The image of brokers whose instance names none.
    #[arg(long, value_name = "IMAGE", env = "ISTHMUS_BROKER_IMAGE",
        default_value = concat!("isthmus-broker:", env!("CARGO_PKG_VERSION")))]
    broker_image: String,
    /// The port of health and metrics.
    #[arg(
        long,
        value_name = "PORT",
        env = "ISTHMUS_MONITORING_PORT",
        default_value_t = 9090
    )]
    monitoring_port: u16,
    /// The name of this pod.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pod: Option<String>,
    /// The namespace of this pod, where the Lease is.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    pod_namespace: Option<String>,
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
        Command::Run(run) => run_on_cluster(run),
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

fn run_on_cluster(run: Run) -> anyhow::Result<()> {
    logs()?;
    let options = control::run::Options {
        namespaces: run
            .namespaces
            .into_iter()
            .filter(|n| !n.is_empty())
            .collect(),
        broker_image: run.broker_image,
        port: run.monitoring_port,
        pod: run.pod,
        namespace: run.pod_namespace,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let mut signals = Signals::new()?;
        control::run::run(options, signals.next()).await
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// On standard error: `ISTHMUS_LOG` filters, `ISTHMUS_LOG_FORMAT` is `text` or `json`.
fn logs() -> anyhow::Result<()> {
    let filter = std::env::var("ISTHMUS_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(&filter)
        .with_context(|| format!("ISTHMUS_LOG={filter:?}: an example is \"info\""))?;
    let to = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match std::env::var("ISTHMUS_LOG_FORMAT").as_deref() {
        Ok("json") => to.json().init(),
        Ok("text") | Err(_) => to.with_ansi(false).init(),
        Ok(other) => bail!("ISTHMUS_LOG_FORMAT={other:?}: expected \"text\" or \"json\""),
    }
    Ok(())
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
