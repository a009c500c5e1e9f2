//! The brokers that are compared, each started on the broker's core with its acknowledgements as
//! they come and no limit that a default sets lower than the others'.

use crate::system::{self, Cores};
use anyhow::Context as _;
use isthmus_tests::run::{self, Process};
use isthmus_tests::{Kafka, Parent, Service, Spec, eventually};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Parent topics of our instance, and Kafka's partitions for each.
const PARENT: &str = "up";
const PARTITIONS: u32 = 12;

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Isthmus,
    Mosquitto,
    Rumqttd,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Isthmus, Self::Mosquitto, Self::Rumqttd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Isthmus => "Isthmus",
            Self::Mosquitto => "mosquitto",
            Self::Rumqttd => "rumqttd",
        }
    }
}

/// A broker that runs.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    /// Ends the broker when dropped.
    _running: Box<dyn std::any::Any>,
}

impl Peer {
    /// Starts it on the broker's core and waits until it takes connections.
    pub(crate) fn start(kind: Kind, cores: &Cores, kafka: Option<&Kafka>) -> anyhow::Result<Self> {
        system::move_to(&cores.broker)?;
        let started = match kind {
            Kind::Isthmus => isthmus(cores, kafka.context("Isthmus needs Kafka")?),
            Kind::Mosquitto => mosquitto(),
            Kind::Rumqttd => rumqttd(),
        };
        system::move_to(&cores.load)?;
        started
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        system::cpu(self.pid)
    }

    /// Memory now, bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        system::memory(self.pid)
    }
}

/// Kafka on its cores. Where it has but one, which it shares with the load, pauses of its garbage
/// collector and its optimising compiler would be all that a 99th percentile shows: the one has
/// room, the other stays out.
pub(crate) fn kafka(cores: &Cores) -> anyhow::Result<Kafka> {
    system::move_to(&cores.kafka)?;
    let kafka = Kafka::start_with(&[
        "-Xms2g",
        "-Xmx2g",
        "-Xmn1600m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
    ]);
    system::move_to(&cores.load)?;
    Ok(kafka)
}

fn isthmus(cores: &Cores, kafka: &Kafka) -> anyhow::Result<Peer> {
    let mut spec = Spec::new("bench")
        .with("authentication: {allowAnonymous: true, anonymousAcl: [{topic: \"#\", action: pubsub}]}")
        .with("session: {maxQueuedMessages: 100000}");
    spec.parents = vec![Parent::new(PARENT, PARTITIONS)];
    let mut service = Service::start(kafka, spec);
    // Only the broker is measured, and only it has the core.
    system::move_process(service.operator().id(), &cores.kafka)?;
    Ok(Peer {
        address: service.address().parse()?,
        pid: service.broker(),
        _running: Box::new(service),
    })
}

fn mosquitto() -> anyhow::Result<Peer> {
    let program = if PathBuf::from("/usr/sbin/mosquitto").is_file() {
        "/usr/sbin/mosquitto"
    } else {
        "mosquitto"
    };
    let (folder, port) = (run::folder("mosquitto"), run::free_port());
    let config = folder.join("mosquitto.conf");
    run::write_file(
        &config,
        &format!(
            "listener {port} 127.0.0.1\n\
             allow_anonymous true\n\
             persistence false\n\
             set_tcp_nodelay true\n\
             max_inflight_messages 0\n\
             max_queued_messages 0\n\
             log_type error\n"
        ),
    );
    let mut command = Command::new(program);
    command.arg("-c").arg(config);
    other("mosquitto", &mut command, &folder, port)
}

fn rumqttd() -> anyhow::Result<Peer> {
    let program = std::env::var_os("ISTHMUS_RUMQTTD")
        .context("ISTHMUS_RUMQTTD is not set: `make bench` builds it")?;
    let (folder, port) = (run::folder("rumqttd"), run::free_port());
    let config = folder.join("rumqttd.toml");
    run::write_file(
        &config,
        &format!(
            "id = 0\n\
             [router]\n\
             id = 0\n\
             max_connections = 30000\n\
             max_outgoing_packet_count = 200\n\
             max_segment_size = 104857600\n\
             max_segment_count = 10\n\
             [v4.1]\n\
             name = \"v4\"\n\
             listen = \"127.0.0.1:{port}\"\n\
             next_connection_delay_ms = 0\n\
             [v4.1.connections]\n\
             connection_timeout_ms = 60000\n\
             max_payload_size = 1048576\n\
             max_inflight_count = 500\n\
             dynamic_filters = true\n"
        ),
    );
    let mut command = Command::new(program);
    command.arg("-q").arg("-c").arg(config);
    other("rumqttd", &mut command, &folder, port)
}

fn other(
    name: &str,
    command: &mut Command,
    folder: &std::path::Path,
    port: u16,
) -> anyhow::Result<Peer> {
    let process = Process::start(name, command, &folder.join("log"));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually(name, Duration::from_secs(20), || {
        std::net::TcpStream::connect(address).ok()
    });
    Ok(Peer {
        address,
        pid: process.id(),
        _running: Box::new(process),
    })
}
