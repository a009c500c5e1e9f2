//! The start and the end of the process: caches warm first, then the group, then listeners; at the
//! end listeners first, then clients, then what is owed to Kafka.

mod caches;
mod knock;

use crate::auth::Authenticator;
use crate::directory::Directory;
use crate::fresh::Fresh;
use crate::handshake::{Accepted, Handshake};
use crate::kafka::{Kafka, Topics};
use crate::links::{self, Links, bring_home};
use crate::owners::Owners;
use crate::ownership::Ownership;
use crate::shared::{Clock, Door, Event, Shared};
use crate::telemetry::server::{self, Monitoring};
use crate::telemetry::{Heartbeats, Metrics, Readiness};
use crate::{bridge, fresh, listener, routing, shard};
use anyhow::Context;
use caches::{follow_directory, follow_retained};
use isthmus_config::BrokerConfig;
use isthmus_core::hash;
use isthmus_core::record::OwnerRecord;
use isthmus_kafka::client::Connection;
use isthmus_kafka::directory::{self, DirectoryWriter, Entry};
use isthmus_kafka::reader::Reader;
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// How long the end may take before the process goes anyway; Kafka keeps what was acknowledged.
const GRACE: Duration = Duration::from_secs(20);
/// How long one attempt to write this pod's address may take.
const ANNOUNCE: Duration = Duration::from_secs(10);
/// How long giving up `mq2mqtt` may take.
const LEAVE: Duration = Duration::from_secs(3);
/// What must hold before this process is ready.
const CONDITIONS: [&str; 6] = [
    "kafka",
    "routes",
    "retained",
    "directory",
    "slots",
    "transactions",
];
/// A shard that does not move for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// Runs a broker until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting: a bad configuration or a taken port.
pub async fn run(config: BrokerConfig) -> anyhow::Result<()> {
    let connection = Connection::read(&config.kafka)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shards = shards(&config)?;
    let listeners = listener::bind_all(&config.listeners).map_err(|faults| {
        anyhow::anyhow!(
            faults
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        )
    })?;
    let (http, address) = listener::bind("monitoring.address", &config.monitoring.address)?;
    tracing::info!(node = config.node, version = env!("CARGO_PKG_VERSION"), monitoring = %address, "starting");
    let clock = Clock::new();
    let peers = match &config.peers {
        Some(peers) => Some(listener::bind("peers.address", &peers.address)?),
        None => None,
    };
    let links = Links::new(&config)?;
    let (ways, ends): (Vec<_>, Vec<_>) = (0..shards).map(|_| mpsc::unbounded_channel()).unzip();
    let shared = Arc::new(Shared {
        clock,
        routes: RwLock::default(),
        owners: Owners::new(OwnerRecord {
            node: config.node.clone(),
            start: clock.start(),
        }),
        retained: RwLock::default(),
        fresh: Fresh::default(),
        directory: Arc::new(Directory::new()),
        metrics: Arc::new(Metrics::new()),
        readiness: Readiness::new(&CONDITIONS),
        shards: ways,
        slots_group: OnceLock::new(),
        ownership: OnceLock::new(),
        slots_serving: watch::Sender::new(false),
        kafka: OnceLock::new(),
        bridge: OnceLock::new(),
        live_bytes: AtomicU64::new(0),
        live_room: Notify::new(),
        slots_here: (0..config.slots).map(|_| AtomicBool::new(false)).collect(),
        links,
        retained_seq: AtomicU64::new(1),
        next_conn: AtomicU64::new(1),
        connection,
        config,
    });
    let (stop, stopping) = watch::channel(false);
    let heartbeats = Heartbeats::new(usize::from(shards));
    let beats = heartbeats.clone();
    let monitoring = Monitoring {
        metrics: shared.metrics.clone(),
        readiness: shared.readiness.clone(),
        liveness: Arc::new(move || beats.check(STUCK)),
    };
    tokio::spawn(server::run(http, monitoring, stopped(stopping.clone())));
    if let Some((listener, _)) = peers {
        listen_for_pods(&shared, listener);
    }
    let knocking = tokio::spawn(knock::run(shared.clone()));
    let started = start(&shared, ends, &heartbeats);
    let running = tokio::select! {
        started = started => Some(started?),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    let Some(running) = running else {
        knocking.abort();
        return Ok(());
    };
    let mut serving = serve(&shared, listeners, &stopping)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    shared.readiness.set_not_ready("process", "stopping");
    let _ = stop.send(true);
    let _ = tokio::time::timeout(GRACE, end(&shared, running)).await;
    serving.abort_all();
    tracing::info!("stopped");
    Ok(())
}

/// Other pods may link to this one.
fn listen_for_pods(shared: &Arc<Shared>, listener: tokio::net::TcpListener) {
    let served = links::listen(shared.clone(), listener);
    tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "other brokers cannot link to this one");
        }
    });
}

/// What the directory is to say of this pod, where it is one of several.
fn pod_entry(shared: &Shared, leaving: bool) -> Option<Entry> {
    let peers = shared.config.peers.as_ref()?;
    let pod = directory::Pod {
        v: directory::VERSION,
        address: peers.advertised.clone(),
        start: shared.clock.start(),
        leaving,
    };
    Some(Entry::Pod(shared.config.node.clone(), Some(pod)))
}

/// Writes what others need to find this pod; without it they cannot link, so it is tried for ever.
async fn announce(shared: &Arc<Shared>, pod: Entry) {
    let connection = shared.connection.clone();
    let topic = Topics::new(&shared.config).names().directory();
    let written = tokio::task::spawn_blocking(move || {
        loop {
            let deadline = Instant::now() + ANNOUNCE;
            let written = DirectoryWriter::new(&connection, &topic)
                .and_then(|writer| writer.write(std::slice::from_ref(&pod), deadline));
            match written {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "this pod is not in the directory yet"),
            }
        }
    });
    let _ = written.await;
}

fn shards(config: &BrokerConfig) -> anyhow::Result<u16> {
    anyhow::ensure!(
        (1..=1024).contains(&config.slots),
        "slots: {} is not in 1 to 1024",
        config.slots
    );
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = u16::try_from(cores).unwrap_or(u16::MAX);
    Ok(config.shards.unwrap_or(cores).clamp(1, config.slots))
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// What runs beside the shards.
struct Running {
    ownership: Ownership,
    downlink: bridge::Membership,
    _readers: Vec<Reader>,
    _asking: Option<fresh::Asking>,
}

async fn start(
    shared: &Arc<Shared>,
    ends: Vec<mpsc::UnboundedReceiver<Event>>,
    heartbeats: &Heartbeats,
) -> anyhow::Result<Running> {
    crate::kafka::end_predecessor(shared).await;
    let mut readers = Vec::new();
    let (routes, routes_warm) = oneshot::channel();
    readers.push(routing::follow(shared, once(routes))?);
    let (retained, retained_warm) = oneshot::channel();
    readers.push(follow_retained(shared, once(retained))?);
    let (directory, directory_warm) = oneshot::channel();
    readers.push(follow_directory(shared, once(directory))?);
    for (name, warm) in [
        ("routes", routes_warm),
        ("retained", retained_warm),
        ("directory", directory_warm),
    ] {
        warm.await
            .with_context(|| format!("the reader of {name} ended"))?;
        shared.readiness.set_ready(name);
    }
    let asking = match shared.config.peers {
        Some(_) => Some(fresh::start(shared, &caches::retained(shared))?),
        None => None,
    };
    for (number, events) in (0..).zip(ends) {
        let (shared, heartbeats) = (shared.clone(), heartbeats.of(usize::from(number)));
        let heartbeat = heartbeats.context("a heartbeat for each shard")?;
        std::thread::Builder::new()
            .name(format!("shard-{number}"))
            .spawn(move || {
                match tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                {
                    Ok(runtime) => {
                        let local = tokio::task::LocalSet::new();
                        local.block_on(&runtime, shard::run(shared, number, events, heartbeat));
                    }
                    Err(error) => tracing::error!(%error, number, "a shard has no runtime"),
                }
            })?;
    }
    if let Some(pod) = pod_entry(shared, false) {
        announce(shared, pod).await;
        shared.links.wait_for_owners(&shared.owners).await;
    }
    // The group's events find the clients there.
    let ownership = Ownership::prepare(shared)?;
    let handle = ownership.handle().context("a membership")?;
    let kafka = Kafka::start(shared, &handle)?;
    let _ = shared.kafka.set(kafka);
    tokio::spawn(crate::watch::run(shared.clone()));
    ownership.begin();
    while !shared.kafka.get().is_some_and(Kafka::ready) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    shared.readiness.set_ready("transactions");
    let mut serving = shared.slots_serving.subscribe();
    let _ = serving.wait_for(|serving| *serving).await;
    let downlink = bridge::start(shared)?;
    Ok(Running {
        ownership,
        downlink,
        _readers: readers,
        _asking: asking,
    })
}

/// A callback that may be called from any thread and counts once.
fn once(to: oneshot::Sender<()>) -> impl Fn() + Send + Sync + 'static {
    let to = Mutex::new(Some(to));
    move || {
        if let Some(to) = to.lock().take() {
            let _ = to.send(());
        }
    }
}

fn serve(
    shared: &Arc<Shared>,
    listeners: Vec<listener::Listener>,
    stopping: &watch::Receiver<bool>,
) -> anyhow::Result<tokio::task::JoinSet<()>> {
    let config = &shared.config;
    let authenticator = Arc::new(Authenticator::new(
        shared.directory.clone(),
        &config.authentication,
    )?);
    let gate = listener::gate(&config.limits, &shared.metrics);
    let doors: Vec<Arc<Handshake>> = doors(shared, &authenticator);
    let turn = Arc::new(AtomicUsize::new(0));
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        let (to, doors, turn, closing) = (
            shared.clone(),
            doors.clone(),
            turn.clone(),
            stopping.clone(),
        );
        let door = move |incoming| {
            let shard = turn.fetch_add(1, Ordering::Relaxed) % doors.len().max(1);
            if let Some(handshake) = doors.get(shard).cloned() {
                let closing = closing.clone();
                let door = Door {
                    incoming,
                    handshake,
                    closing,
                };
                to.tell(shard, Event::Incoming(Box::new(door)));
            }
        };
        serving.spawn(listener::run(
            listener,
            gate.clone(),
            door,
            stopped(stopping.clone()),
        ));
    }
    Ok(serving)
}

/// A handshake for each shard: a client whose slot is the shard's own stays where it is.
fn doors(shared: &Arc<Shared>, authenticator: &Arc<Authenticator>) -> Vec<Arc<Handshake>> {
    let large = Handshake::large_packets();
    let door = |here: usize| {
        let to = shared.clone();
        let accepted = move |mut accepted: Accepted| {
            if to.is_elsewhere(&accepted.client_id) {
                let to = to.clone();
                tokio::task::spawn_local(bring_home(to, accepted));
                return;
            }
            let shard = to.shard_of(hash::slot(&accepted.client_id, to.config.slots));
            if shard != here {
                match accepted.transport.detach() {
                    Ok(transport) => accepted.transport = transport,
                    Err(error) => {
                        tracing::debug!(peer = %accepted.peer, %error, "a connection is lost");
                        return;
                    }
                }
            }
            to.tell(shard, Event::Accepted(Box::new(accepted)));
        };
        Handshake::new(
            &shared.config,
            authenticator.clone(),
            shared.metrics.clone(),
            large.clone(),
            accepted,
        )
    };
    (0..shared.shards.len()).map(door).collect()
}

async fn end(shared: &Arc<Shared>, running: Running) {
    if let (Some(pod), Some(kafka)) = (pod_entry(shared, true), shared.kafka.get()) {
        kafka.say(&pod);
    }
    // The shards still work: what is under way of mq2mqtt is finished, and each slot is closed; its
    // clients go with it.
    let handed = tokio::task::spawn_blocking(move || {
        std::thread::scope(|scope| {
            scope.spawn(|| running.downlink.leave(Instant::now() + LEAVE));
            running.ownership.hand_over();
        });
        running
    });
    let Ok(mut running) = handed.await else {
        return;
    };
    let answers: Vec<_> = (0..shared.shards.len())
        .map(|number| {
            let (answer, answered) = oneshot::channel();
            shared.tell(number, Event::Stop(answer));
            answered
        })
        .collect();
    for answered in answers {
        let _ = answered.await;
    }
    let shared = shared.clone();
    let ended = tokio::task::spawn_blocking(move || {
        if let Some(kafka) = shared.kafka.get() {
            kafka.drain(Instant::now() + GRACE / 2);
        }
        running.ownership.leave();
        running.downlink.close();
    });
    let _ = ended.await;
}
