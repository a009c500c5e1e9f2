//! The broker as a service: started, restarted when its configuration changed, stopped.

use std::path::PathBuf;

use isthmus_config::BrokerConfig;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::out::Out;
use super::process::{Program, Supervised};
use super::{broker, files};
use crate::instance::ValidInstance;
use crate::instance::build::{Placement, broker_config};

/// One broker process, or none while `replicas` is 0.
#[derive(Debug)]
pub struct Service {
    program: Program,
    config_file: PathBuf,
    out: Out,
    ready: watch::Sender<bool>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    config: BrokerConfig,
    process: Supervised,
    readiness: AbortHandle,
    complaints: AbortHandle,
}

impl Service {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(program: Program, config_file: PathBuf, out: Out) -> Self {
        let (ready, _) = watch::channel(false);
        Self {
            program,
            config_file,
            out,
            ready,
            running: None,
        }
    }

    /// Whether a broker is to run.
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.running.is_some()
    }

    /// Follows whether the broker is ready.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Starts, restarts or stops the broker, as the instance says; nothing where it runs so.
    ///
    /// # Errors
    /// The configuration cannot be written.
    pub async fn set(&mut self, instance: &ValidInstance, place: &Placement) -> Result<(), String> {
        if instance.replicas == 0 {
            if let Some(running) = self.running.take() {
                self.out.line("stopping the broker (replicas: 0)");
                running.stop().await;
                self.ready.send_replace(false);
            }
            return Ok(());
        }
        let config = broker_config(instance, place);
        if self
            .running
            .as_ref()
            .is_some_and(|running| running.config == config)
        {
            return Ok(());
        }
        let path = self.config_file.display();
        let text =
            serde_json::to_vec_pretty(&config).map_err(|error| format!("{path}: {error}"))?;
        files::replace(&self.config_file, &text, 0o644)
            .map_err(|error| format!("{path}: {error}"))?;
        let address = &config.monitoring.address;
        let monitoring = address
            .parse()
            .map_err(|error| format!("monitoring address {address}: {error}"))?;
        self.ready.send_replace(false);
        let process = match self.running.take() {
            Some(running) => {
                self.out
                    .line("the broker's configuration changed, restarting it");
                running.readiness.abort();
                running.complaints.abort();
                running.process.restart().await;
                running.process
            }
            None => Supervised::start(self.program.clone(), self.out.clone()),
        };
        let follow = broker::follow(
            monitoring,
            process.state(),
            self.ready.clone(),
            self.out.clone(),
        );
        let complaints = broker::show_complaints(self.program.log.clone(), self.out.clone());
        self.running = Some(Running {
            config,
            process,
            readiness: tokio::spawn(follow).abort_handle(),
            complaints: tokio::spawn(complaints).abort_handle(),
        });
        Ok(())
    }

    /// Stops the broker where one runs.
    pub async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }
}

impl Running {
    async fn stop(self) {
        self.readiness.abort();
        self.process.stop().await;
        self.complaints.abort();
    }
}
