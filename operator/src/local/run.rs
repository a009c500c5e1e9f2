//! The life of local mode: start Kafka, bring it to what the files say, keep the brokers running,
//! follow the files, stop everything in order.
//!
//! Invariant: wherever it ends, the brokers are stopped before Kafka. A fault of the files after
//! the start is said and changes nothing that runs.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use isthmus_kafka::admin::Admin;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use super::applied::Applied;
use super::authority::AuthorityError;
use super::desired::Desired;
use super::folder::{Folder, FolderError};
use super::follow::{Follower, address, lines, place, plain, read};
use super::kafka::{Installation, KafkaError};
use super::load::Problem;
use super::out::Out;
use super::pod::Pods;
use super::process::{Program, Supervised, stop_left_over};
use super::reconcile::Reconciler;
use super::service::Service;
use super::watch::Watch;
use super::{authority, broker, kafka, ports};
use crate::instance::build::Placement;

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files and folders.
    pub files: Vec<PathBuf>,
    /// Which Kafka.
    pub kafka: KafkaChoice,
    /// The folder that is kept; absent: `data/<instance>`.
    pub data: Option<PathBuf>,
    /// The broker's executable; absent: beside this one.
    pub broker: Option<PathBuf>,
    /// Added to every port.
    pub port_offset: u16,
    /// The address that the brokers' listeners bind.
    pub bind: IpAddr,
    /// Where the first broker listens for the others.
    pub peers_port: u16,
}

/// Which Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KafkaChoice {
    /// Started here.
    Own,
    /// This one.
    At(String),
    /// The one in the files.
    AsWritten,
}

/// Why local mode could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The files have faults.
    #[error("{}", lines(.0))]
    Files(Vec<Problem>),
    /// Ports are taken.
    #[error("{}", lines(.0))]
    Ports(Vec<String>),
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// What the brokers prove themselves to each other with.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A file of the data folder.
    #[error("{0}: {1}")]
    Io(PathBuf, #[source] std::io::Error),
    /// Kafka cannot be started.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Kafka ends by itself.
    #[error("Kafka does not start; the end of {0}:\n{1}")]
    KafkaDies(PathBuf, String),
    /// No broker, or it has no addresses.
    #[error("{0}")]
    Broker(String),
    /// A bug.
    #[error("a part of the operator ended unexpectedly: {0}")]
    Task(#[from] JoinError),
}

/// Runs until `shutdown`; a second `shutdown` while stopping ends at once.
///
/// # Errors
/// [`LocalError`]; everything that was started is stopped again.
pub async fn run<F, S>(options: Options, out: Out, mut shutdown: F) -> Result<(), LocalError>
where
    F: FnMut() -> S,
    S: Future<Output = ()>,
{
    let mut local = Local {
        out: out.clone(),
        kafka: None,
        service: None,
    };
    let result = tokio::select! {
        result = local.run(options) => result,
        () = shutdown() => {
            out.line("stopping");
            Ok(())
        }
    };
    tokio::select! {
        () = local.stop() => {}
        () = shutdown() => out.line("stopped at once, not in order"),
    }
    result
}

struct Local {
    out: Out,
    kafka: Option<Supervised>,
    service: Option<Service>,
}

impl Local {
    async fn stop(&mut self) {
        if let Some(service) = self.service.take() {
            service.stop().await;
            self.out.line("brokers stopped");
        }
        if let Some(kafka) = self.kafka.take() {
            kafka.stop().await;
            self.out.line("Kafka stopped");
        }
    }

    async fn run(&mut self, options: Options) -> Result<(), LocalError> {
        // Without the data first: its folder is named after the instance.
        let name = read(&options.files, &Applied::default())
            .map_err(LocalError::Files)?
            .instance
            .name;
        let data = options
            .data
            .clone()
            .unwrap_or_else(|| PathBuf::from("data").join(name));
        let executable =
            broker::executable(options.broker.as_deref()).map_err(LocalError::Broker)?;
        let installation = match options.kafka {
            KafkaChoice::Own => Some(Installation::find().await?),
            KafkaChoice::At(_) | KafkaChoice::AsWritten => None,
        };
        let folder = Folder::open(&data)?;
        let applied_file = folder.file("applied.json");
        let applied = Applied::read(&applied_file)
            .map_err(|error| LocalError::Io(applied_file.clone(), error))?;
        let desired = read(&options.files, &applied).map_err(LocalError::Files)?;
        plain(&options.kafka, &desired.instance).map_err(LocalError::Broker)?;

        let pods = Pods::new(&executable, &folder, self.out.clone());
        self.stop_left_overs(&pods, installation.as_ref(), &folder)
            .await?;
        let place = place(&options, &desired, authority::files_of(&folder));
        check_ports(&place, &desired, installation.is_some())?;
        authority::ensure(&folder, &desired.instance.name)?;
        if let Some(installation) = &installation {
            self.start_kafka(installation, &folder, options.port_offset)
                .await?;
        }
        self.wait_for_kafka(&place.bootstrap_servers, &folder)
            .await?;

        let secrets = folder.file("secrets");
        std::fs::create_dir_all(&secrets)
            .map_err(|error| LocalError::Io(secrets.clone(), error))?;
        let bootstrap = place.bootstrap_servers.clone();
        let reconciler = Reconciler::new(
            bootstrap,
            address(&desired, &place),
            applied,
            applied_file,
            secrets.clone(),
        );
        self.service = Some(Service::new(pods, self.out.clone()));
        let follower = Follower {
            files: Watch::new(&options.files),
            secrets: Watch::new(&[secrets]),
            options,
            place,
            folder,
            out: self.out.clone(),
            reconciler,
            desired,
            said: Vec::new(),
        };
        match &self.service {
            Some(service) => follower.follow(service).await,
            None => Ok(()),
        }
    }

    async fn stop_left_overs(
        &self,
        pods: &Pods,
        installation: Option<&Installation>,
        folder: &Folder,
    ) -> Result<(), LocalError> {
        let mut stops = JoinSet::new();
        for program in pods.left_over() {
            let out = self.out.clone();
            stops.spawn(async move { left_over(&program, &out).await });
        }
        while let Some(stopped) = stops.join_next().await {
            stopped?;
        }
        if let Some(installation) = installation {
            left_over(&kafka::program(installation, folder), &self.out).await;
        }
        Ok(())
    }

    async fn start_kafka(
        &mut self,
        installation: &Installation,
        folder: &Folder,
        offset: u16,
    ) -> Result<(), LocalError> {
        kafka::prepare(installation, folder, offset).await?;
        let port = kafka::PORT.saturating_add(offset);
        self.out.line(format!(
            "starting Kafka on localhost:{port} (its data: {})",
            folder.file("kafka").display()
        ));
        self.kafka = Some(Supervised::start(
            kafka::program(installation, folder),
            self.out.clone(),
        ));
        Ok(())
    }

    /// Until Kafka answers. One of our own that keeps ending is an error; another one is waited
    /// for, for somebody may be starting it.
    async fn wait_for_kafka(&self, bootstrap: &str, folder: &Folder) -> Result<(), LocalError> {
        let started = Instant::now();
        let mut said = String::new();
        loop {
            let server = bootstrap.to_owned();
            let answer = tokio::task::spawn_blocking(move || {
                Admin::new(&server)?
                    .with_timeout(Duration::from_secs(2))
                    .cluster()
            });
            let error = match answer.await? {
                Ok(_) => {
                    let seconds = started.elapsed().as_secs_f32();
                    self.out.line(format!(
                        "Kafka answers at {bootstrap} (after {seconds:.1} s)"
                    ));
                    return Ok(());
                }
                Err(error) => error.to_string(),
            };
            match &self.kafka {
                Some(kafka) if kafka.state().borrow().deaths >= 3 => {
                    let log = folder.file("kafka.log");
                    let text = std::fs::read_to_string(&log).unwrap_or_default();
                    let last: Vec<&str> = text.lines().rev().take(20).collect();
                    let end = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                    return Err(LocalError::KafkaDies(log, end));
                }
                Some(_) => {}
                None if error != said => {
                    self.out
                        .line(format!("waiting for Kafka at {bootstrap}: {error}"));
                    said = error;
                }
                None => {}
            }
            sleep(Duration::from_millis(300)).await;
        }
    }
}

async fn left_over(program: &Program, out: &Out) {
    if stop_left_over(program).await {
        let name = &program.name;
        out.line(format!("stopped {name}, which an earlier run left behind"));
    }
}

fn check_ports(place: &Placement, desired: &Desired, own_kafka: bool) -> Result<(), LocalError> {
    let mut wanted = ports::of_brokers(&desired.instance, place);
    if own_kafka {
        wanted.extend(ports::of_kafka(place));
    }
    let mut faults = ports::taken(&wanted, place.port_offset);
    faults.extend(ports::doubles(&wanted));
    if faults.is_empty() {
        Ok(())
    } else {
        Err(LocalError::Ports(faults))
    }
}
