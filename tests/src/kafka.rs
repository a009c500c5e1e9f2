//! A real single-node Kafka (KRaft) on free ports, with its faults: stop, kill -9, freeze, start;
//! for a [`Kafka::fragile`] one also dropped packets and a full disk.

mod disk;
mod link;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rustix::process::Signal;

use disk::Disk;
use link::Link;

use crate::run::{self, Process};
use crate::{eventually, parts, records};

const START: Duration = Duration::from_secs(90);
/// Java with little memory that starts soon.
const SMALL: [&str; 3] = ["-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// One Kafka node.
#[derive(Debug)]
pub struct Kafka {
    port: u16,
    folder: PathBuf,
    jvm: Vec<String>,
    process: Option<Process>,
    /// The service's own way to it.
    link: Option<Link>,
    disk: Option<Disk>,
}

/// The Kafka of this test process. No test harms it; those that do start their own.
#[must_use]
pub fn shared() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::start)
}

impl Kafka {
    /// A new, empty Kafka that answers; its Java takes little memory and starts soon.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(run::folder("kafka"), &SMALL, None, None)
    }

    /// The same with these options of Java's.
    #[must_use]
    pub fn start_with(jvm: &[&str]) -> Self {
        Self::start_in(run::folder("kafka"), jvm, None, None)
    }

    /// With a way of its own for the service, on which packets can be dropped, and a disk
    /// of `mebibytes` that can be full.
    #[must_use]
    pub fn fragile(mebibytes: u64) -> Self {
        let folder = run::folder("kafka");
        let disk = Disk::new(&folder.join("data"), mebibytes);
        Self::start_in(folder, &SMALL, Some(Link::new()), Some(disk))
    }

    fn start_in(folder: PathBuf, jvm: &[&str], link: Option<Link>, disk: Option<Disk>) -> Self {
        let (port, controller) = (run::free_port(), run::free_port());
        let data = folder.join("data");
        let (more, more_advertised, protocol) =
            link.as_ref().map_or_else(Default::default, |link| {
                (
                    format!(",SERVICE://127.0.0.1:{}", link.listening),
                    format!(",SERVICE://127.0.0.1:{}", link.advertised),
                    ",SERVICE:PLAINTEXT",
                )
            });
        let properties = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{more}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}{more_advertised}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocol}\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             num.partitions=1\n\
             default.replication.factor=1\n\
             min.insync.replicas=1\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=4\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n\
             log.cleaner.dedupe.buffer.size=16777216\n\
             log.index.size.max.bytes=1048576\n",
            data.display()
        );
        run::write_file(&folder.join("server.properties"), &properties);
        let log = folder.join("kafka.log");
        let mut format = java(&["-Xmx400m"]);
        format
            .arg("kafka.tools.StorageTool")
            .args(["format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c"])
            .arg(folder.join("server.properties"));
        let status = Process::start("format", &mut format, &log).wait(START);
        assert!(
            status.success(),
            "Kafka's storage could not be formatted: {}",
            log.display()
        );
        let mut kafka = Self {
            port,
            folder,
            jvm: jvm.iter().map(|option| (*option).to_owned()).collect(),
            process: None,
            link,
            disk,
        };
        kafka.resume();
        kafka
    }

    /// `host:port`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `host:port` for the service: its own way, if there is one.
    #[must_use]
    pub fn bootstrap_of_service(&self) -> String {
        let port = self.link.as_ref().map_or(self.port, |link| link.advertised);
        format!("127.0.0.1:{port}")
    }

    /// From now on packets between the service and Kafka are dropped.
    pub fn drop_packets(&self) {
        self.link.as_ref().expect("a fragile Kafka").drop_packets();
    }

    /// Packets pass again.
    pub fn pass_packets(&self) {
        self.link.as_ref().expect("a fragile Kafka").pass_packets();
    }

    /// From now on its disk is full.
    pub fn fill_disk(&self) {
        let process = self.process.as_ref().expect("Kafka runs").id();
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

    /// Starts the node again on its data and waits until it answers.
    pub fn resume(&mut self) {
        self.launch();
        self.wait_until_answering();
    }

    /// Starts the node again on its data, without waiting.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "Kafka runs already");
        let mut command = java(&self.jvm);
        command
            .arg("kafka.Kafka")
            .arg(self.folder.join("server.properties"));
        self.process = Some(Process::start(
            "kafka",
            &mut command,
            &self.folder.join("kafka.log"),
        ));
    }

    /// Waits until the node answers.
    pub fn wait_until_answering(&mut self) {
        let asker: BaseConsumer = records::config(&self.bootstrap())
            .create()
            .expect("consumer");
        let process = self.process.as_mut().expect("Kafka was started");
        eventually("Kafka answers", START, || {
            if let Some(status) = process.ended() {
                panic!("Kafka ended ({status}):\n{}", process.output());
            }
            let answer = asker.fetch_metadata(None, Duration::from_secs(1));
            answer
                .ok()
                .filter(|metadata| !metadata.brokers().is_empty())
        });
    }

    /// An orderly stop.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM);
            process.wait(START);
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
        self.process
            .as_ref()
            .expect("Kafka runs")
            .signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process
            .as_ref()
            .expect("Kafka runs")
            .signal(Signal::CONT);
    }

    /// Makes a topic that is not the service's own.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = records::config(&self.bootstrap())
            .create()
            .expect("admin client");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = records::block_on(admin.create_topics([&topic], &AdminOptions::new()));
        for result in made.expect("create topic") {
            result.expect("create topic");
        }
    }

    /// The topics that exist.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let asker: BaseConsumer = records::config(&self.bootstrap())
            .create()
            .expect("consumer");
        let metadata = asker.fetch_metadata(None, crate::SOON).expect("metadata");
        metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .collect()
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
