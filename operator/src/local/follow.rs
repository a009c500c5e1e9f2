//! Keeps what runs as the files say: runs the reconciler again and again, takes over changed
//! files, asks for the brokers that they describe.
//!
//! Invariant: a fault of the files after the start is said and changes nothing that runs.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::applied::Applied;
use super::desired::{Desired, desired};
use super::folder::Folder;
use super::load::{self, Problem};
use super::out::Out;
use super::reconcile::{Reconciler, Report};
use super::run::{KafkaChoice, LocalError, Options};
use super::service::{Service, Status};
use super::watch::Watch;
use super::{banner, kafka, ports};
use crate::instance::ValidInstance;
use crate::instance::build::{Authority, Placement, broker_configs};

/// Drift is put right this often.
const AGAIN: Duration = Duration::from_secs(60);
/// What failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Keeps the service as the files say.
pub(super) struct Follower {
    pub(super) options: Options,
    pub(super) place: Placement,
    pub(super) folder: Folder,
    pub(super) out: Out,
    pub(super) files: Watch,
    pub(super) secrets: Watch,
    pub(super) reconciler: Reconciler,
    pub(super) desired: Desired,
    /// Problems of the last run, so that each is said once.
    pub(super) said: Vec<String>,
}

impl Follower {
    /// For ever, or until a part of the operator fails.
    pub(super) async fn follow(mut self, service: &Service) -> Result<(), LocalError> {
        let mut greeting: Option<AbortHandle> = None;
        loop {
            let (mut reconciler, desired) = (self.reconciler, self.desired);
            let suspended = desired.instance.suspend;
            let report;
            (reconciler, report) = if suspended {
                (reconciler, Report::default())
            } else {
                let desired = desired.clone();
                tokio::task::spawn_blocking(move || {
                    let report = reconciler.run(&desired);
                    (reconciler, report)
                })
                .await?
            };
            (self.reconciler, self.desired) = (reconciler, desired);
            let next = if report.problems.is_empty() {
                AGAIN
            } else {
                RETRY
            };
            self.say(&report, suspended);
            if report.ready && !suspended {
                service.set(broker_configs(&self.desired.instance, &self.place));
            }
            if greeting.is_none() && service.wanted() {
                greeting = Some(self.greet(service.status()));
            }
            if self.changed(next).await {
                self.reload(service).await;
            }
        }
    }

    fn say(&mut self, report: &Report, suspended: bool) {
        report.lines.iter().for_each(|line| self.out.line(line));
        let mut problems = report.problems.clone();
        if suspended {
            problems.push("the instance is suspended (spec.suspend: true): nothing is applied, what runs goes on".to_owned());
        }
        for problem in problems
            .iter()
            .filter(|problem| !self.said.contains(problem))
        {
            self.out.line(format!("problem: {problem}"));
        }
        if problems.is_empty() && !self.said.is_empty() {
            self.out.line("all problems are solved");
        }
        self.said = problems;
    }

    /// Prints the addresses as soon as all brokers are ready.
    fn greet(&self, mut status: watch::Receiver<Status>) -> AbortHandle {
        let kafka = match self.options.kafka {
            KafkaChoice::Own => format!("localhost:{}", self.place.port(kafka::PORT, 0)),
            KafkaChoice::At(_) | KafkaChoice::AsWritten => self.place.bootstrap_servers.clone(),
        };
        let text = banner::text(&self.desired, &self.place, &kafka, self.folder.path());
        let out = self.out.clone();
        let greeting = async move {
            if status.wait_for(|status| status.complete).await.is_ok() {
                out.line(text);
            }
        };
        tokio::spawn(greeting).abort_handle()
    }

    /// Whether files changed before it is time for the next run.
    async fn changed(&mut self, next: Duration) -> bool {
        tokio::select! {
            () = self.files.changed() => true,
            () = self.secrets.changed() => true,
            () = sleep(next) => false,
        }
    }

    /// Takes over what the files say now, unless they have faults.
    async fn reload(&mut self, service: &Service) {
        let new = match read(&self.options.files, self.reconciler.applied()) {
            Ok(new) => new,
            Err(problems) => {
                self.out.line(format!(
                    "{}\nthe files have faults, what runs is left as it is",
                    lines(&problems)
                ));
                return;
            }
        };
        if let Err(fault) = plain(&self.options.kafka, &new.instance) {
            self.out
                .line(format!("{fault}\nwhat runs is left as it is"));
            return;
        }
        let mut wanted = ports::of_brokers(&new.instance, &self.place);
        let mut faults = ports::doubles(&wanted);
        let status = service.status();
        wanted.retain(|port| !binds(&status.borrow(), port));
        faults.extend(ports::taken(&wanted, self.options.port_offset));
        if !faults.is_empty() {
            self.out
                .line(format!("{}\nwhat runs is left as it is", lines(&faults)));
            return;
        }
        if self.options.kafka == KafkaChoice::AsWritten
            && new.instance.bootstrap_servers != self.place.bootstrap_servers
        {
            self.out
                .line("spec.kafka.bootstrapServers changed: takes effect at the next start");
        }
        self.reconciler.set_address(address(&new, &self.place));
        self.desired = new;
    }
}

/// Whether the broker that wants this port has it already. One that another broker still has is
/// not free: it would be restarted only after the first was ready.
fn binds(status: &Status, port: &ports::Wanted) -> bool {
    let (Some(broker), Some(address)) = (port.broker, port.address()) else {
        return false;
    };
    let address = address.to_string();
    status.running.get(&broker).is_some_and(|config| {
        let listeners = &config.listeners;
        let mqtt = listeners.mqtt.as_ref().map(|listener| &listener.address);
        let ws = listeners.ws.as_ref().map(|listener| &listener.address);
        let peers = config.peers.as_ref().map(|peers| &peers.address);
        [mqtt, ws, peers, Some(&config.monitoring.address)]
            .into_iter()
            .flatten()
            .any(|bound| *bound == address)
    })
}

/// Whether the Kafka in the files can be used, where it is to be.
pub(super) fn plain(kafka: &KafkaChoice, instance: &ValidInstance) -> Result<(), String> {
    let field = match (&instance.kafka_tls, &instance.kafka_sasl) {
        _ if *kafka != KafkaChoice::AsWritten => return Ok(()),
        (None, None) => return Ok(()),
        (Some(_), _) => "spec.kafka.tls",
        (None, Some(_)) => "spec.kafka.sasl",
    };
    Err(format!(
        "{field}: local mode reaches Kafka in plain and without a password only: give --kafka HOST:PORT of such a listener, or leave --kafka out to have a Kafka started"
    ))
}

pub(super) fn read(files: &[PathBuf], applied: &Applied) -> Result<Desired, Vec<Problem>> {
    let (manifests, mut problems) = load::load(files);
    match desired(&manifests, applied, files) {
        Ok(desired) if problems.is_empty() => Ok(desired),
        Ok(_) => Err(problems),
        // What the broken documents would have answered is not asked for.
        Err(_) if !problems.is_empty() => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

pub(super) fn place(options: &Options, desired: &Desired, authority: Authority) -> Placement {
    let own = || {
        format!(
            "127.0.0.1:{}",
            kafka::PORT.saturating_add(options.port_offset)
        )
    };
    let bootstrap_servers = match &options.kafka {
        KafkaChoice::Own => own(),
        KafkaChoice::At(servers) => servers.clone(),
        KafkaChoice::AsWritten => desired.instance.bootstrap_servers.clone(),
    };
    Placement {
        bind: options.bind,
        port_offset: options.port_offset,
        peers_port: options.peers_port,
        bootstrap_servers,
        authority,
    }
}

/// `host:port` that generated Secrets name.
pub(super) fn address(desired: &Desired, place: &Placement) -> String {
    let port = desired
        .instance
        .mqtt
        .or(desired.instance.ws.as_ref().map(|(port, _)| *port));
    format!(
        "{}:{}",
        banner::host(place.bind),
        place.port(port.unwrap_or_default(), 0)
    )
}

/// One a line.
pub(super) fn lines<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
