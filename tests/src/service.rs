//! The service as a user starts it: a file of resources and `isthmus-operator local`.

mod resources;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;

pub use resources::{MOST_BROKERS, Parent, Spec, User};

use crate::run::{self, Process};
use crate::{Kafka, SOON, eventually, kafka, parts};

const START: Duration = Duration::from_secs(60);

/// One instance with its brokers, run by the operator's local mode.
#[derive(Debug)]
pub struct Service {
    spec: Spec,
    bootstrap: String,
    folder: PathBuf,
    operator: Option<Process>,
}

/// The service that tests share that change nothing for each other: account `device`/`secret`, who
/// may do all; parent topics `up` (3 partitions) and `orderMsg2mq-up`.
#[must_use]
pub fn shared() -> &'static Service {
    shared_by(1)
}

/// The same with several brokers; one number of them in a test binary.
#[must_use]
pub fn shared_by(brokers: u16) -> &'static Service {
    static SHARED: OnceLock<Service> = OnceLock::new();
    let shared = SHARED
        .get_or_init(|| Service::start(kafka::shared(), Spec::new("shared").brokers(brokers)));
    assert_eq!(shared.spec.brokers, brokers, "shared with other brokers");
    shared
}

impl Service {
    /// Starts an instance on this Kafka and waits until it is ready.
    #[must_use]
    pub fn start(kafka: &Kafka, spec: Spec) -> Self {
        let text = spec.yaml(&kafka.bootstrap_of_service());
        Self::start_with(kafka, spec, &text)
    }

    /// The same with other words in the resource file.
    #[must_use]
    pub fn start_with(kafka: &Kafka, spec: Spec, text: &str) -> Self {
        let folder = run::folder(&spec.name);
        let mut service = Self {
            spec,
            bootstrap: kafka.bootstrap_of_service(),
            folder,
            operator: None,
        };
        run::write_file(&service.file(), text);
        service.launch();
        service.wait_ready();
        service
    }

    /// Starts the operator again on the same files and data, without waiting.
    pub fn launch(&mut self) {
        assert!(self.operator.is_none(), "the operator runs already");
        let mut command = operator();
        command
            .arg("local")
            .arg("-f")
            .arg(self.file())
            .args(["--kafka", &self.bootstrap, "--data"])
            .arg(self.data())
            .args(["--peers-port", &self.spec.peers.to_string()]);
        if let Some(program) = &self.spec.program {
            command.arg("--broker").arg(program);
        }
        command.envs(self.spec.environment.iter().cloned());
        for broker in 0..self.spec.brokers {
            run::show_on_panic(&self.broker_log(broker));
        }
        self.operator = Some(Process::start("operator", &mut command, &self.log()));
    }

    /// Waits until `/readyz` of every broker says that it serves.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        for broker in 0..self.spec.brokers {
            self.wait_ready_of(broker);
        }
    }

    /// Waits until `/readyz` of broker n says that it serves.
    #[track_caller]
    pub fn wait_ready_of(&mut self, broker: u16) {
        let port = self.spec.monitoring + 10 * broker;
        let operator = self.operator.as_mut().expect("the operator runs");
        let what = format!("/readyz of broker {broker} answers 200");
        eventually(&what, START, || {
            if let Some(status) = operator.ended() {
                panic!("the operator ended ({status}):\n{}", operator.output());
            }
            get(port, "/readyz").filter(|(code, _)| *code == 200)
        });
    }

    /// `host:port` of the MQTT listener; of a service with several brokers it leads each new
    /// connection to the next broker in turn (see [`crate::client::reach`]).
    #[must_use]
    pub fn address(&self) -> String {
        match self.spec.brokers {
            0 | 1 => self.address_of(0),
            brokers => format!("{}+{brokers}", self.address_of(0)),
        }
    }

    /// `host:port` of broker n's MQTT listener.
    #[must_use]
    pub fn address_of(&self, broker: u16) -> String {
        format!("127.0.0.1:{}", self.spec.mqtt + 10 * broker)
    }

    /// `host:port` of broker n's WebSocket listener.
    #[must_use]
    pub fn web_address_of(&self, broker: u16) -> String {
        format!("127.0.0.1:{}", self.spec.ws + 10 * broker)
    }

    /// What was started.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Kafka's address.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The Kafka topic of a parent or system name.
    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.spec.prefix)
    }

    /// The resource file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join("isthmus.yaml")
    }

    /// The operator's data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the operator has printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.folder.join("operator.log")
    }

    /// Changes the resources as a user would: the file is written anew while the service runs.
    pub fn change(&mut self, change: impl FnOnce(&mut Spec)) {
        change(&mut self.spec);
        run::write_file(&self.file(), &self.spec.yaml(&self.bootstrap));
    }

    /// The operator's process.
    #[must_use]
    pub fn operator(&mut self) -> &mut Process {
        self.operator.as_mut().expect("the operator runs")
    }

    /// The process id of the broker, of the first one where there are several.
    #[track_caller]
    #[must_use]
    pub fn broker(&self) -> u32 {
        self.broker_of(0)
    }

    /// The process id of broker n.
    #[track_caller]
    #[must_use]
    pub fn broker_of(&self, broker: u16) -> u32 {
        let operator = self.operator.as_ref().expect("the operator runs").id();
        let config = self.data().join(format!("broker-{broker}.json"));
        let config = config.display().to_string();
        eventually(&format!("the process of broker {broker}"), START, || {
            run::descendants(operator, "isthmus-broker")
                .into_iter()
                .find(|pid| run::arguments_of(*pid).contains(&config))
        })
    }

    /// The log of broker n.
    #[must_use]
    pub fn broker_log(&self, broker: u16) -> PathBuf {
        self.data().join(format!("broker-{broker}.log"))
    }

    /// kill -9 of the broker; the operator starts another.
    #[track_caller]
    pub fn kill_broker(&self) {
        self.kill_broker_of(0);
    }

    /// kill -9 of broker n; the operator starts it again.
    #[track_caller]
    pub fn kill_broker_of(&self, broker: u16) {
        gone(&[self.signal_broker(broker, Signal::KILL)]);
    }

    /// A signal to broker n: TERM for an orderly end, after which the operator starts it again,
    /// STOP and CONT for one that hangs. Gives its process id.
    #[track_caller]
    pub fn signal_broker(&self, broker: u16, signal: Signal) -> u32 {
        let pid = self.broker_of(broker);
        run::send(pid, signal);
        pid
    }

    /// An orderly stop, as by Ctrl-C.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut operator = self.operator.take().expect("the operator runs");
        operator.signal(Signal::INT);
        operator.wait(START);
    }

    /// kill -9 of the operator alone; what it started is left behind.
    pub fn kill_operator(&mut self) {
        let mut operator = self.operator.take().expect("the operator runs");
        operator.kill();
    }

    /// kill -9 of operator and brokers.
    pub fn kill(&mut self) {
        let brokers: Vec<u32> = (0..self.spec.brokers).map(|n| self.broker_of(n)).collect();
        let mut operator = self.operator.take().expect("the operator runs");
        operator.kill();
        for broker in &brokers {
            if run::alive(*broker) {
                run::send(*broker, Signal::KILL);
            }
        }
        gone(&brokers);
    }

    /// A machine with an empty disk: nothing but the resource file is left.
    pub fn lose_disk(&self) {
        assert!(self.operator.is_none(), "the operator still runs");
        if self.data().exists() {
            std::fs::remove_dir_all(self.data()).expect("remove the data folder");
        }
    }

    /// GET on the monitoring port, of the first broker where there are several: status and body.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.get_of(0, path)
    }

    /// GET on the monitoring port of broker n.
    #[must_use]
    pub fn get_of(&self, broker: u16, path: &str) -> Option<(u16, String)> {
        get(self.spec.monitoring + 10 * broker, path)
    }
}

/// Waits for the end of processes that were killed.
#[track_caller]
fn gone(pids: &[u32]) {
    eventually("the killed brokers are gone", SOON, || {
        let alive = pids.iter().any(|pid| run::alive(*pid));
        (!alive).then_some(())
    });
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.operator.is_some() {
            let broker = self.operator.as_ref().map(Process::id);
            let brokers = broker
                .map(|id| run::descendants(id, "isthmus-broker"))
                .unwrap_or_default();
            self.operator = None;
            for pid in brokers.into_iter().filter(|pid| run::alive(*pid)) {
                run::send(pid, Signal::KILL);
            }
        }
    }
}

/// The operator's program, told where Kafka is.
#[must_use]
pub fn operator() -> Command {
    let mut command = Command::new(parts::binary("isthmus-operator"));
    let jars = parts::kafka_jars();
    command.env(
        "ISTHMUS_KAFKA_HOME",
        jars.parent().expect("jars are in lib/"),
    );
    command
}

/// One HTTP request to the loopback interface.
#[must_use]
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Runs the operator on a file that it should refuse; gives what it printed.
#[must_use]
pub fn refused(file: &Path, bootstrap: &str) -> String {
    let folder = run::folder("refused");
    let mut command = operator();
    command
        .arg("local")
        .arg("-f")
        .arg(file)
        .args(["--kafka", bootstrap, "--data"])
        .arg(folder.join("data"));
    let mut process = Process::start("operator", &mut command, &folder.join("operator.log"));
    let status = process.wait(SOON);
    assert!(
        !status.success(),
        "the operator took {}:\n{}",
        file.display(),
        process.output()
    );
    process.output()
}
