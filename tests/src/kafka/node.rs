//! One node of a test's Kafka: its process, its data, and its faults.
//!
//! A node is broker and controller at once. Besides its own listener it has one for each way that
//! the service comes by, so that each way can be cut for itself.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rustix::process::Signal;

use super::disk::Disk;
use super::link::Link;
use super::secured::Secured;
use crate::run::{self, Process};
use crate::{eventually, parts, records};

const START: Duration = Duration::from_secs(90);

/// One Kafka node.
#[derive(Debug)]
pub struct Node {
    pub(super) id: i32,
    pub(super) port: u16,
    pub(super) controller: u16,
    folder: PathBuf,
    jvm: Vec<String>,
    process: Option<Process>,
    pub(super) ways: Vec<Link>,
    disk: Option<Disk>,
    guard: Option<Secured>,
}

/// The address that Kafka has: pods reach it at another one than loopback (`ISTHMUS_KAFKA_ADDRESS`).
pub(super) fn host() -> String {
    std::env::var("ISTHMUS_KAFKA_ADDRESS").unwrap_or_else(|_| "127.0.0.1".to_owned())
}

/// Another one for each cluster: 22 characters of base64 that stand for 16 bytes.
fn cluster_id(voters: &str) -> String {
    let port = voters.rsplit(':').next().unwrap_or_default();
    format!("isthmusIsthmus{port:0>7}A")
}

impl Node {
    /// A node with a folder and ports of its own, not yet formatted; `disk` in MiB.
    pub(super) fn new(id: i32, jvm: &[&str], ways: usize, disk: Option<u64>) -> Self {
        let folder = run::folder("kafka");
        let disk = disk.map(|mebibytes| Disk::new(&folder.join("data"), mebibytes));
        Self {
            id,
            port: run::free_port(),
            controller: run::free_port(),
            folder,
            jvm: jvm.iter().map(|option| (*option).to_owned()).collect(),
            process: None,
            ways: (0..ways).map(|_| Link::new()).collect(),
            disk,
            guard: None,
        }
    }

    /// With guarded ways in.
    pub(super) fn secured(mut self) -> Self {
        self.guard = Some(Secured::new(&host()));
        // SASL asks for the name of every address, which takes half a minute without a name server.
        let names = self.folder.join("hosts");
        run::write_file(&names, &format!("127.0.0.1 localhost\n{} kafka\n", host()));
        self.jvm
            .push(format!("-Djdk.net.hosts.file={}", names.display()));
        self
    }

    /// Its guarded ways in, if it has such.
    pub(super) fn guard(&self) -> Option<&Secured> {
        self.guard.as_ref()
    }

    /// As the quorum's voters name it.
    pub(super) fn voter(&self) -> String {
        format!("{}@127.0.0.1:{}", self.id, self.controller)
    }

    /// `host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("{}:{}", host(), self.port)
    }

    /// Writes its properties and formats its data folder.
    pub(super) fn format(&self, voters: &str, nodes: usize) {
        let Self {
            id,
            port,
            controller,
            ..
        } = self;
        let (mut listeners, mut advertised, mut protocols) =
            (String::new(), String::new(), String::new());
        for (way, link) in self.ways.iter().enumerate() {
            listeners += &format!(",SERVICE{way}://127.0.0.1:{}", link.listening);
            advertised += &format!(",SERVICE{way}://127.0.0.1:{}", link.advertised);
            protocols += &format!(",SERVICE{way}:PLAINTEXT");
        }
        let (replicas, in_sync) = (nodes.min(3), if nodes < 3 { 1 } else { 2 });
        let data = self.folder.join("data");
        let host = host();
        let (mut guarded, mut accounts) = (String::new(), Vec::new());
        if let Some(guard) = &self.guard {
            let (more, more_protocols) = guard.listeners(&host);
            listeners += &more;
            advertised += &more;
            protocols += &more_protocols;
            guarded = guard.properties(&self.folder);
            accounts = Secured::accounts();
        }
        let properties = format!(
            "process.roles=broker,controller\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             listeners=PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller}{listeners}\n\
             advertised.listeners=PLAINTEXT://{host}:{port}{advertised}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n\
             inter.broker.listener.name=PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             num.partitions=1\n\
             default.replication.factor={replicas}\n\
             min.insync.replicas={in_sync}\n\
             offsets.topic.replication.factor={replicas}\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={in_sync}\n\
             transaction.state.log.num.partitions=4\n\
             share.coordinator.state.topic.replication.factor={replicas}\n\
             share.coordinator.state.topic.min.isr={in_sync}\n\
             group.initial.rebalance.delay.ms=0\n\
             log.cleaner.dedupe.buffer.size=16777216\n\
             log.index.size.max.bytes=1048576\n\
             {guarded}",
            data.display()
        );
        run::write_file(&self.folder.join("server.properties"), &properties);
        let log = self.folder.join("kafka.log");
        let mut format = java(&["-Xmx400m"]);
        format
            .arg("kafka.tools.StorageTool")
            .args(["format", "-t", &cluster_id(voters), "-c"])
            .arg(self.folder.join("server.properties"))
            .args(accounts);
        let status = Process::start("format", &mut format, &log).wait(START);
        assert!(
            status.success(),
            "Kafka's storage could not be formatted: {}",
            log.display()
        );
    }

    /// Whether its process was started and not ended by us.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it on its data, without waiting.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "the Kafka node runs already");
        let mut command = java(&self.jvm);
        command
            .arg("kafka.Kafka")
            .arg(self.folder.join("server.properties"));
        let log = self.folder.join("kafka.log");
        self.process = Some(Process::start("kafka", &mut command, &log));
    }

    /// Starts it on its data and waits until it answers.
    pub fn resume(&mut self) {
        self.launch();
        self.wait_until_answering();
    }

    /// Waits until it answers and is one of the brokers.
    pub fn wait_until_answering(&mut self) {
        let config = records::config(&self.bootstrap());
        let asker: BaseConsumer = config.create().expect("consumer");
        let (id, bootstrap) = (self.id, self.bootstrap());
        let process = self.process.as_mut().expect("the Kafka node was started");
        eventually(
            &format!("Kafka node {id} answers at {bootstrap}"),
            START,
            || {
                if let Some(status) = process.ended() {
                    panic!("Kafka ended ({status}):\n{}", process.output());
                }
                let metadata = asker.fetch_metadata(None, Duration::from_secs(1)).ok()?;
                let brokers = metadata.brokers();
                brokers.iter().any(|broker| broker.id() == id).then_some(())
            },
        );
    }

    /// Asks for an orderly stop, without waiting.
    pub(super) fn terminate(&self) {
        if let Some(process) = &self.process {
            process.signal(Signal::TERM);
        }
    }

    /// An orderly stop.
    pub fn stop(&mut self) {
        self.terminate();
        self.end(None);
    }

    /// Waits for the end that it was asked for; at the deadline, if there is one, kill -9.
    pub(super) fn end(&mut self, deadline: Option<Instant>) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        match deadline {
            None => {
                process.wait(START);
            }
            Some(deadline) => {
                while process.ended().is_none() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(20));
                }
                process.kill();
            }
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn freeze(&self) {
        self.running().signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.running().signal(Signal::CONT);
    }

    /// From now on its disk is full.
    pub fn fill_disk(&self) {
        let process = self.running().id();
        self.disk.as_ref().expect("a fragile Kafka").fill(process);
    }

    /// There is room again. Kafka gives up a disk that has failed, so it is started again where it
    /// has not ended by itself.
    pub fn free_disk(&mut self) {
        let process = self.process.as_ref().map(Process::id);
        self.disk.as_ref().expect("a fragile Kafka").free(process);
        self.kill();
        self.resume();
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the Kafka node runs")
    }
}

fn java(options: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new("java");
    command
        .args(options)
        .arg("-cp")
        .arg(parts::kafka_jars().join("*"))
        .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]);
    command
}
