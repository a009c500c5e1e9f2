//! One broker of the instance: its configuration file, its process, and what is watched of it.
//!
//! Invariant: the configuration file changes only while the process is about to be started with it.

use std::path::{Path, PathBuf};

use isthmus_config::BrokerConfig;
use tokio::task::JoinHandle;

use super::broker;
use super::files;
use super::folder::Folder;
use super::out::Out;
use super::process::{Program, Supervised};

/// Where brokers come from.
#[derive(Clone, Debug)]
pub struct Pods {
    executable: PathBuf,
    folder: PathBuf,
    out: Out,
}

impl Pods {
    /// Brokers of this program, with their files in this folder.
    #[must_use]
    pub fn new(executable: &Path, folder: &Folder, out: Out) -> Self {
        Self {
            executable: executable.to_path_buf(),
            folder: folder.path().to_path_buf(),
            out,
        }
    }

    /// How the broker with this number is run.
    #[must_use]
    pub fn program(&self, number: u16) -> Program {
        broker::program(&self.executable, &self.folder, number)
    }

    /// The brokers that an earlier run may have left behind.
    #[must_use]
    pub fn left_over(&self) -> Vec<Program> {
        let names = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten();
        let number = |name: &str| {
            let number = name.strip_prefix("broker-")?.strip_suffix(".pid")?;
            number.parse::<u16>().ok()
        };
        let mut numbers: Vec<u16> = names
            .filter_map(|entry| number(entry.file_name().to_str()?))
            .collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|n| self.program(n)).collect()
    }

    /// Starts a broker; `ready` is told whether it is ready and says whether it was.
    ///
    /// # Errors
    /// Its configuration cannot be written.
    pub fn start<R>(&self, number: u16, config: BrokerConfig, ready: R) -> Result<Pod, String>
    where
        R: Fn(bool) -> bool + Send + 'static,
    {
        let program = self.program(number);
        write(&program, &config)?;
        let log = program.log.clone();
        let name = program.name.clone();
        let complaints = broker::show_complaints(name, log, self.out.clone());
        Ok(Pod {
            complaints: tokio::spawn(complaints),
            process: Supervised::start(program.clone(), self.out.clone()),
            readiness: None,
            program,
            config,
            out: self.out.clone(),
        }
        .follow(ready))
    }
}

/// A broker that is kept running.
#[derive(Debug)]
pub struct Pod {
    program: Program,
    config: BrokerConfig,
    out: Out,
    process: Supervised,
    readiness: Option<JoinHandle<()>>,
    complaints: JoinHandle<()>,
}

impl Pod {
    /// What it was started with.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// Starts it again with another configuration. Where it was cancelled, [`Pod::stop`] follows.
    ///
    /// # Errors
    /// The configuration cannot be written; it runs on with the one it has.
    pub async fn restart<R>(&mut self, config: BrokerConfig, ready: R) -> Result<(), String>
    where
        R: Fn(bool) -> bool + Send + 'static,
    {
        write(&self.program, &config)?;
        self.config = config;
        self.forget().await;
        ready(false);
        self.process.restart().await;
        self.readiness = Some(self.readiness(ready));
        Ok(())
    }

    /// Stops it in order. May be called again where it was cancelled.
    pub async fn stop(&mut self) {
        self.forget().await;
        self.process.stop().await;
        self.complaints.abort();
    }

    fn follow<R>(mut self, ready: R) -> Self
    where
        R: Fn(bool) -> bool + Send + 'static,
    {
        self.readiness = Some(self.readiness(ready));
        self
    }

    fn readiness<R>(&self, ready: R) -> JoinHandle<()>
    where
        R: Fn(bool) -> bool + Send + 'static,
    {
        tokio::spawn(broker::follow(
            self.program.name.clone(),
            self.config.monitoring.address.clone(),
            self.process.state(),
            ready,
            self.out.clone(),
        ))
    }

    /// Nothing is said of its readiness after this.
    async fn forget(&mut self) {
        if let Some(task) = self.readiness.take() {
            task.abort();
            // Cancelled, as asked.
            let _ = task.await;
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.complaints.abort();
        if let Some(task) = &self.readiness {
            task.abort();
        }
    }
}

fn write(program: &Program, config: &BrokerConfig) -> Result<(), String> {
    let file = Path::new(&program.marker);
    let text = serde_json::to_vec_pretty(config).map_err(std::io::Error::from);
    text.and_then(|text| files::replace(file, &text, 0o644))
        .map_err(|error| format!("{}: {error}", file.display()))
}
