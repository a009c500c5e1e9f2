//! A real Kafka of one node, on free ports, in a folder of its own; gone when dropped.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use isthmus_kafka::admin::Admin;
use tempfile::TempDir;

pub(crate) struct Kafka {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Kafka {
    /// Starts Kafka 4.1.1 and waits until it serves.
    fn start() -> Self {
        let lib = home().join("lib");
        assert!(
            lib.is_dir(),
            "no Kafka in {}: run hack/setup, or set ISTHMUS_KAFKA_HOME",
            lib.display()
        );
        let class_path = format!("{}/*", lib.display());
        let folder = tempfile::tempdir().unwrap();
        let (port, controller) = free_ports();
        let config = folder.path().join("server.properties");
        let text = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\nmin.insync.replicas=1\n\
             group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
            folder.path().join("logs").display()
        );
        fs::write(&config, text).unwrap();
        let output = Command::new("java")
            .args(["-cp", &class_path, "kafka.tools.StorageTool", "format"])
            .args(["-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"])
            .arg(&config)
            .output()
            .expect("java runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let log = File::create(folder.path().join("kafka.log")).unwrap();
        let process = Command::new("java")
            .args([
                "-Xmx512m",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                &class_path,
                "kafka.Kafka",
            ])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("java runs");
        let kafka = Self {
            process,
            folder,
            port,
        };
        kafka.wait();
        kafka
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The id of a topic as Kafka itself has written it down, which it does
    /// with the first record.
    pub(crate) fn topic_id_on_disk(&self, topic: &str) -> String {
        let file = self
            .folder
            .path()
            .join(format!("logs/{topic}-0/partition.metadata"));
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if let Some(id) = text
                .lines()
                .find_map(|line| line.strip_prefix("topic_id: "))
            {
                return id.to_owned();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("Kafka wrote no {}", file.display());
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(90);
        let admin = Admin::new(self.bootstrap())
            .unwrap()
            .with_timeout(Duration::from_secs(2));
        while let Err(error) = admin.cluster() {
            if Instant::now() > end {
                let log = fs::read_to_string(self.folder.path().join("kafka.log"));
                std::io::stderr()
                    .write_all(log.unwrap_or_default().as_bytes())
                    .unwrap();
                panic!("Kafka does not serve: {error}");
            }
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn home() -> PathBuf {
    if let Some(home) = std::env::var_os("ISTHMUS_KAFKA_HOME") {
        return home.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache"));
    cache.join("isthmus/kafka-4.1.1")
}

/// Two ports that were free a moment ago.
fn free_ports() -> (u16, u16) {
    let one = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    (
        one.local_addr().unwrap().port(),
        other.local_addr().unwrap().port(),
    )
}

/// One Kafka for the tests of a file that run at the same time; the last one stops it.
pub(crate) fn shared() -> Arc<Kafka> {
    static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let kafka = Arc::new(Kafka::start());
        *shared = Arc::downgrade(&kafka);
        kafka
    })
}

/// The address of a port where nobody listens.
pub(crate) fn nowhere() -> String {
    format!("127.0.0.1:{}", free_ports().0)
}
