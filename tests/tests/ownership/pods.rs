//! Broker processes of one instance, started without an operator: each has a copy of the
//! configuration that the operator wrote, with a name, ports and a way to Kafka of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use isthmus_tests::run::{self, Process};
use isthmus_tests::{
    Client, Kafka, Options, SOON, Service, Spec, Tail, eventually, parts, service,
};
use rustix::process::Signal;
use serde_json::{Value, json};

const START: Duration = Duration::from_secs(60);

struct Pod {
    mqtt: u16,
    monitoring: u16,
    config: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

/// See the module's description.
pub(crate) struct Pods {
    stem: String,
    topics: String,
    pods: Vec<Pod>,
    routes: Mutex<Routes>,
}

/// `!owner` of every slot, as it is read.
struct Routes {
    tail: Tail,
    owners: BTreeMap<i32, Option<String>>,
}

impl Pods {
    /// Has the operator make the instance, then starts so many brokers in its place.
    pub(crate) fn start(kafka: &Kafka, spec: Spec, count: usize) -> Self {
        let mut pods = Self::prepare(kafka, spec, count);
        for pod in 0..count {
            pods.launch(pod);
        }
        for pod in 0..count {
            eventually("the pod is ready", START, || pods.ready(pod).then_some(()));
        }
        pods
    }

    /// The same without starting them.
    pub(crate) fn prepare(kafka: &Kafka, spec: Spec, count: usize) -> Self {
        let mut service = Service::start(kafka, spec);
        let found = find(&service.data(), "broker-0.json").expect("the broker's configuration");
        let text = std::fs::read_to_string(found).unwrap();
        service.stop();
        let base: Value = serde_json::from_str(&text).unwrap();
        let instance = &base["instance"];
        let (namespace, stem) = (
            instance["namespace"].as_str().unwrap().to_owned(),
            instance["name"].as_str().unwrap().to_owned(),
        );
        let folder = run::folder("pods");
        let pods = (0..count)
            .map(|number| {
                let (mqtt, monitoring, peers) =
                    (run::free_port(), run::free_port(), run::free_port());
                let mut config = base.clone();
                config["node"] = json!(format!("{stem}-{number}"));
                config["listeners"] = json!({"mqtt": {"address": format!("127.0.0.1:{mqtt}")}});
                config["kafka"]["bootstrapServers"] = json!(kafka.bootstrap_by(number));
                config["monitoring"] = json!({"address": format!("127.0.0.1:{monitoring}")});
                let address = format!("127.0.0.1:{peers}");
                for field in ["address", "advertised"] {
                    config["peers"][field] = json!(address);
                }
                let path = folder.join(format!("broker-{number}.json"));
                run::write_file(&path, &config.to_string());
                Pod {
                    mqtt,
                    monitoring,
                    config: path,
                    log: folder.join(format!("broker-{number}.log")),
                    process: None,
                }
            })
            .collect();
        let topics = format!("__mqtt.{namespace}.{stem}");
        let tail = Tail::from_start(&kafka.bootstrap(), &format!("{topics}.routes"));
        Self {
            stem,
            topics,
            pods,
            routes: Mutex::new(Routes {
                tail,
                owners: BTreeMap::new(),
            }),
        }
    }

    /// The name of an internal topic.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.topics)
    }

    /// Starts a pod's process.
    pub(crate) fn launch(&mut self, pod: usize) {
        let own = &mut self.pods[pod];
        let mut command = Command::new(parts::binary("isthmus-broker"));
        command.arg("--config").arg(&own.config);
        own.process = Some(Process::start("broker", &mut command, &own.log));
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, pod: usize) {
        self.pods[pod].process.take().expect("it runs").kill();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, pod: usize, signal: Signal) {
        self.pods[pod]
            .process
            .as_ref()
            .expect("it runs")
            .signal(signal);
    }

    /// Waits for its end by itself.
    pub(crate) fn wait_end(&mut self, pod: usize, within: Duration) {
        let mut process = self.pods[pod].process.take().expect("it runs");
        let status = process.wait(within);
        assert!(status.success(), "{status}");
    }

    /// `/readyz` answers 200.
    pub(crate) fn ready(&self, pod: usize) -> bool {
        service::get(self.pods[pod].monitoring, "/readyz").is_some_and(|(code, _)| code == 200)
    }

    /// The pod that was the last to open a slot, unless it has given it away.
    pub(crate) fn owner(&self, slot: u16) -> Option<usize> {
        let mut routes = self.routes.lock().unwrap();
        while let Some(record) = routes.tail.poll(Duration::ZERO) {
            if record.key.as_deref() == Some(b"!owner") {
                let owner = record.value.as_deref().map(node);
                routes.owners.insert(record.partition, owner);
            }
        }
        let node = routes.owners.get(&i32::from(slot)).cloned().flatten()?;
        let number = node.strip_prefix(&self.stem)?.strip_prefix('-')?;
        number.parse().ok()
    }

    /// Waits until every slot has an owner, and every pod some; yields them.
    pub(crate) fn wait_divided(&self) -> Vec<Vec<u16>> {
        eventually("the slots are divided", START, || {
            let mut owned = vec![Vec::new(); self.pods.len()];
            for slot in 0..super::SLOTS {
                owned[self.owner(slot)?].push(slot);
            }
            // The parking topic counts as one more when the group divides.
            owned.iter().all(|slots| !slots.is_empty()).then_some(owned)
        })
    }

    /// Waits until one pod has opened every slot.
    #[track_caller]
    pub(crate) fn wait_all_at(&self, pod: usize, within: Duration) {
        eventually("one pod has all slots", within, || {
            (0..super::SLOTS)
                .all(|slot| self.owner(slot) == Some(pod))
                .then_some(())
        });
    }

    /// Connects a client at the owner of its slot.
    #[track_caller]
    pub(crate) fn connect(&self, slot: u16, options: &Options) -> Client {
        eventually("the owner lets the client in", SOON, || {
            let owner = self.owner(slot)?;
            Client::try_connect(&self.address(owner), options).ok()
        })
    }

    /// Where a pod takes clients.
    pub(crate) fn address(&self, pod: usize) -> String {
        format!("127.0.0.1:{}", self.pods[pod].mqtt)
    }
}

/// A ClientId of a slot.
pub(crate) fn client_of(slot: u16, slots: u16) -> String {
    (0..)
        .map(|n| format!("device-{n}"))
        .find(|id| isthmus_core::hash::slot(id, slots) == slot)
        .unwrap()
}

fn node(value: &[u8]) -> String {
    let owner: isthmus_core::record::OwnerRecord = isthmus_core::record::decode(value).unwrap();
    owner.node
}

fn find(folder: &std::path::Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir()
            && let Some(found) = find(&path, name)
        {
            return Some(found);
        }
        if path.file_name().is_some_and(|n| n == name) {
            return Some(path);
        }
    }
    None
}
