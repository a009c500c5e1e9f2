//! The brokers of a run, each harmed for itself, and each with a way of its own to Kafka.
//!
//! The operator's local mode starts and restarts them as a user's would be. What it starts is a
//! script that gives the broker its own way to Kafka, and that can be told to hold a broker back, so
//! that one that has ended stays away for a while.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::{Kafka, SOON, Service, Spec, eventually, parts, run};

const START: Duration = Duration::from_secs(90);

/// Slots of the run's instance: some for each broker.
pub(super) const SLOTS: u16 = 12;

/// The operator and its brokers.
pub(super) struct Fleet {
    service: Service,
    size: usize,
    /// The script and what it reads and writes.
    folder: PathBuf,
}

impl Fleet {
    /// Starts this many brokers, and waits until all serve.
    pub(super) fn start(kafka: &Kafka, size: usize) -> Self {
        let folder = run::folder("brokers");
        let program = folder.join("isthmus-broker-of-chaos");
        script(&program, &folder, kafka, size);
        let mut spec =
            Spec::new("chaos").with("session: {maxQueuedMessages: 1000000, maxQueuedBytes: 1Gi}");
        spec.brokers = u16::try_from(size).expect("a few brokers");
        spec.slots = SLOTS;
        spec.program = Some(program);
        let fleet = Self {
            service: Service::start(kafka, spec),
            size,
            folder,
        };
        (0..size).for_each(|broker| fleet.wait_ready(broker));
        fleet
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// `host:port` of every broker's MQTT listener.
    pub(super) fn addresses(&self) -> Vec<String> {
        let brokers = 0..self.service.spec().brokers;
        brokers
            .map(|broker| self.service.address_of(broker))
            .collect()
    }

    /// The Kafka topic of a parent or system name.
    pub(super) fn topic(&self, name: &str) -> String {
        self.service.topic(name)
    }

    /// GET on a broker's monitoring port.
    pub(super) fn get(&self, broker: usize, path: &str) -> Option<(u16, String)> {
        let broker = u16::try_from(broker).expect("a few brokers");
        self.service.get_of(broker, path)
    }

    /// Whether a broker says that it serves.
    pub(super) fn is_ready(&self, broker: usize) -> bool {
        self.get(broker, "/readyz")
            .is_some_and(|(code, _)| code == 200)
    }

    /// Waits until it does.
    pub(super) fn wait_ready(&self, broker: usize) {
        eventually(&format!("broker {broker} is ready"), START, || {
            self.is_ready(broker).then_some(())
        });
    }

    /// A broker's process.
    pub(super) fn process(&self, broker: usize) -> u32 {
        eventually(&format!("broker {broker} runs"), START, || {
            self.running(broker)
        })
    }

    /// The processes of all brokers.
    pub(super) fn processes(&self) -> Vec<u32> {
        (0..self.size).map(|broker| self.process(broker)).collect()
    }

    fn running(&self, broker: usize) -> Option<u32> {
        let text = std::fs::read_to_string(self.file("pid", broker)).ok()?;
        let process = text.trim().parse().ok()?;
        (run::alive(process) && run::command_of(process) == "isthmus-broker").then_some(process)
    }

    fn file(&self, what: &str, broker: usize) -> PathBuf {
        self.folder.join(format!("{what}-{broker}"))
    }

    /// From now on this broker, once ended, stays away.
    pub(super) fn hold(&self, broker: usize) {
        File::create(self.file("hold", broker)).expect("file");
    }

    /// It may start again.
    pub(super) fn release(&self, broker: usize) {
        std::fs::remove_file(self.file("hold", broker)).expect("file");
    }

    /// kill -9.
    pub(super) fn kill(&self, broker: usize) {
        let process = self.process(broker);
        run::send(process, Signal::KILL);
        gone(process, SOON);
    }

    /// kill -9 of all brokers.
    pub(super) fn kill_all(&self) {
        let processes = self.processes();
        for process in &processes {
            run::send(*process, Signal::KILL);
        }
        for process in processes {
            gone(process, SOON);
        }
    }

    /// An orderly stop, until it is gone.
    pub(super) fn stop(&self, broker: usize) {
        let process = self.process(broker);
        run::send(process, Signal::TERM);
        gone(process, START);
    }

    /// An orderly stop of everything, as by Ctrl-C, and a start.
    pub(super) fn restart(&mut self) {
        self.service.stop();
        self.service.launch();
    }

    /// kill -9 of the operator and all brokers, which start again on an empty disk.
    pub(super) fn lose_disk(&mut self) {
        let processes = self.processes();
        self.service.kill_operator();
        for process in processes {
            if run::alive(process) {
                run::send(process, Signal::KILL);
            }
            gone(process, SOON);
        }
        self.service.lose_disk();
        self.service.launch();
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for broker in 0..self.size {
            // Most are held back by nobody.
            let _ = std::fs::remove_file(self.file("hold", broker));
        }
    }
}

fn gone(process: u32, within: Duration) {
    let what = format!("the broker {process} is gone");
    eventually(&what, within, || (!run::alive(process)).then_some(()));
}

/// What the operator runs as a broker: local mode calls its configuration `broker-<number>.json`.
fn script(path: &Path, folder: &Path, kafka: &Kafka, size: usize) {
    let mut ways = String::new();
    for way in 0..size {
        ways.push_str(&format!("{way}) way='{}';;\n", kafka.bootstrap_by(way)));
    }
    let text = format!(
        "#!/bin/bash\n\
         set -eu\n\
         folder='{folder}'\n\
         number=${{2##*/}}; number=${{number#broker}}; number=${{number#-}}; number=${{number%.json}}\n\
         number=${{number:-0}}\n\
         case $number in\n{ways}esac\n\
         while [ -e \"$folder/hold-$number\" ]; do sleep 0.05; done\n\
         sed 's/{first}/'\"$way\"'/' \"$2\" >\"$folder/broker-$number.json\"\n\
         echo $$ >\"$folder/pid-$number\"\n\
         exec '{broker}' --config \"$folder/broker-$number.json\"\n",
        folder = folder.display(),
        first = kafka.bootstrap_by(0),
        broker = parts::binary("isthmus-broker").display(),
    );
    run::write_file(path, &text);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("permissions");
}
