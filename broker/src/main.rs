//! `isthmus-broker --config FILE`: one broker process, until SIGTERM or SIGINT.

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
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    logs::init()?;
    let config = BrokerConfig::read(&arguments.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(process::run(config))?;
    // A call into the C library that waits for Kafka is not worth waiting for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(())
}
