//! `isthmus-broker --config FILE [--node NAME] [--advertised HOST:PORT]`: one broker process, until SIGTERM or SIGINT.

use anyhow::Context;
use clap::Parser;
use isthmus_broker::process;
use isthmus_broker::telemetry::logs;
use isthmus_config::BrokerConfig;
use std::path::PathBuf;

/// A message is a few small allocations that another connection's turn frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One broker of an Isthmus instance: MQTT for devices, Kafka behind it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration that the operator wrote.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// This pod's name, in place of the file's `node`: one file serves all pods.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Where the other pods find this one, in place of the file's `peers.advertised`.
    #[arg(long, value_name = "HOST:PORT")]
    advertised: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    logs::init()?;
    let config =
        BrokerConfig::read(&arguments.config)?.of_pod(arguments.node, arguments.advertised)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(process::run(config))?;
    // A call into the C library that waits for Kafka is not worth waiting for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(())
}
