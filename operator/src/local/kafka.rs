//! A real single-node Kafka of our own: its settings, its data, how it is started.
//!
//! Its data folder is formatted once and survives every restart; nothing here ever deletes it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::folder::Folder;
use super::process::Program;

/// The client port, before the offset.
pub const PORT: u16 = 9092;
/// The controller's port, before the offset.
pub const CONTROLLER_PORT: u16 = 19092;

/// Why Kafka cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The jars are not there.
    #[error(
        "no Kafka in {0}: run: make setup (or set ISTHMUS_KAFKA_HOME to a folder with lib/*.jar, or use a Kafka of your own with --kafka HOST:PORT)"
    )]
    NoJars(PathBuf),
    /// No Java.
    #[error("no Java 17 or newer ({0}): run: make setup (or set JAVA_HOME)")]
    NoJava(String),
    /// The storage tool refused.
    #[error("cannot format Kafka's data folder {0}: {1}")]
    Format(PathBuf, String),
    /// The settings could not be written.
    #[error("cannot write Kafka's settings: {0}")]
    Io(#[from] std::io::Error),
}

/// Where Kafka and Java are on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    java: PathBuf,
    home: PathBuf,
}

impl Installation {
    /// Looks where `make setup` puts them, or where the environment says.
    ///
    /// # Errors
    /// One of them is not there.
    pub async fn find() -> Result<Self, KafkaError> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let cache = variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .unwrap_or_default();
        let home = variable("ISTHMUS_KAFKA_HOME")
            .unwrap_or_else(|| cache.join("isthmus").join("kafka-4.1.1"));
        if !has_jars(&home.join("lib")) {
            return Err(KafkaError::NoJars(home));
        }
        let java =
            variable("JAVA_HOME").map_or_else(|| "java".into(), |home| home.join("bin/java"));
        match Command::new(&java).arg("-version").output().await {
            Ok(output) if output.status.success() => Ok(Self { java, home }),
            Ok(output) => Err(KafkaError::NoJava(output.status.to_string())),
            Err(error) => Err(KafkaError::NoJava(format!("{}: {error}", java.display()))),
        }
    }

    fn class_path(&self) -> String {
        self.home.join("lib").join("*").display().to_string()
    }
}

fn has_jars(lib: &Path) -> bool {
    std::fs::read_dir(lib).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|e| e.path().extension().is_some_and(|x| x == "jar")))
    })
}

/// How Kafka is run.
#[must_use]
pub fn program(installation: &Installation, folder: &Folder) -> Program {
    let settings = folder.file("kafka/server.properties");
    let mut arguments = vec!["-Xms128m".into(), "-Xmx512m".into()];
    arguments.extend(quiet().map(Into::into));
    arguments.extend(["-cp".into(), installation.class_path().into()]);
    arguments.extend(["kafka.Kafka".into(), settings.clone().into_os_string()]);
    Program {
        name: "kafka".to_owned(),
        path: installation.java.clone(),
        arguments,
        log: folder.file("kafka.log"),
        pid_file: folder.file("kafka.pid"),
        marker: settings.display().to_string(),
        grace: Duration::from_secs(30),
    }
}

/// Its log is for the rare case that something is wrong.
fn quiet() -> [&'static str; 3] {
    [
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
    ]
}

/// Writes the settings, and formats the data folder when it is new.
///
/// # Errors
/// [`KafkaError::Io`], [`KafkaError::Format`]
pub async fn prepare(
    installation: &Installation,
    folder: &Folder,
    port_offset: u16,
) -> Result<(), KafkaError> {
    let data = folder.file("kafka/data");
    let settings = folder.file("kafka/server.properties");
    std::fs::create_dir_all(&data)?;
    super::files::replace(&settings, properties(&data, port_offset).as_bytes(), 0o644)?;
    if data.join("meta.properties").exists() {
        return Ok(());
    }
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id).map_err(|error| std::io::Error::other(error.to_string()))?;
    let id = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, id);
    let output = Command::new(&installation.java)
        .args(quiet())
        .args(["-cp", &installation.class_path()])
        // The form with = takes an id that starts with -.
        .args([
            "kafka.tools.StorageTool",
            "format",
            &format!("--cluster-id={id}"),
            "-c",
        ])
        .arg(&settings)
        .output()
        .await?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    Err(KafkaError::Format(
        data,
        String::from_utf8_lossy(&said).trim().to_owned(),
    ))
}

fn properties(data: &Path, port_offset: u16) -> String {
    let (port, controller) = (
        PORT.saturating_add(port_offset),
        CONTROLLER_PORT.saturating_add(port_offset),
    );
    // A backslash or a leading space would end a Java property early.
    let data = data.display().to_string().replace('\\', "\\\\");
    format!(
        "# Written by isthmus-operator local at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
# One node: nothing can have a second copy.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Small, for a laptop.
num.partitions=1
offsets.topic.num.partitions=10
transaction.state.log.num.partitions=10
share.coordinator.state.topic.num.partitions=1
# Groups form at once; topics are made on purpose only.
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# Parent topics take 6 times a packet of 2 MiB and 64 KiB.
message.max.bytes=20971520
replica.fetch.max.bytes=20971520
socket.request.max.bytes=104857600
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_moves_all_ports() {
        let text = properties(Path::new("/d"), 1000);
        assert!(
            text.contains("\nlisteners=PLAINTEXT://127.0.0.1:10092,CONTROLLER://127.0.0.1:20092\n")
        );
        assert!(text.contains("\nadvertised.listeners=PLAINTEXT://127.0.0.1:10092\n"));
        assert!(text.contains("\ncontroller.quorum.voters=1@127.0.0.1:20092\n"));
        assert!(text.contains("\nlog.dirs=/d\n"));
    }
}
