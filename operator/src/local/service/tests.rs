//! The order of the steps, and a shell script in the place of the broker.

use super::*;

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::instance::build::{Authority, PEERS_PORT, Placement, broker_configs};
use crate::instance::{MqttInstance, validate};
use crate::local::folder::Folder;

const SOON: Duration = Duration::from_secs(20);

fn configs(replicas: u16, monitoring: u16, max_inflight: u16) -> Vec<BrokerConfig> {
    let resource: MqttInstance = serde_json::from_value(json!({
        "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttInstance",
        "metadata": {"name": "plant"},
        "spec": {
            "replicas": replicas,
            "kafka": {"bootstrapServers": "kafka:9092"},
            "monitoring": {"port": monitoring},
            "limits": {"maxInflight": max_inflight},
        },
    }))
    .unwrap();
    let place = Placement {
        bind: [127, 0, 0, 1].into(),
        port_offset: 0,
        peers_port: PEERS_PORT,
        bootstrap_servers: "kafka:9092".to_owned(),
        authority: Authority::default(),
    };
    broker_configs(&validate(&resource, None).unwrap(), &place)
}

fn running(configs: &[BrokerConfig]) -> BTreeMap<u16, BrokerConfig> {
    numbered(configs)
        .map(|(n, config)| (n, config.clone()))
        .collect()
}

#[test]
fn the_missing_start_together_and_the_surplus_stops_from_above() {
    let (none, three) = (BTreeMap::new(), configs(3, 9090, 64));
    assert_eq!(next(&none, &BTreeSet::new(), &three), Some(Step::Start(0)));
    let mut some = running(&three);
    some.remove(&1);
    // Not one of them is ready yet.
    assert_eq!(next(&some, &BTreeSet::new(), &three), Some(Step::Start(1)));
    let all = running(&three);
    assert_eq!(next(&all, &BTreeSet::new(), &three), None);
    let ready = BTreeSet::from([0, 1, 2]);
    assert_eq!(next(&all, &ready, &three), None);
    assert_eq!(next(&all, &ready, &three[..1]), Some(Step::Stop(2)));
    assert_eq!(next(&all, &ready, &[]), Some(Step::Stop(2)));
}

#[test]
fn changed_ones_are_restarted_one_at_a_time() {
    let (old, new) = (configs(3, 9090, 64), configs(3, 9090, 32));
    let mut now = running(&old);
    let all = BTreeSet::from([0, 1, 2]);
    assert_eq!(next(&now, &all, &new), Some(Step::Restart(0)));
    now.insert(0, new[0].clone());
    assert_eq!(next(&now, &BTreeSet::from([1, 2]), &new), None);
    assert_eq!(next(&now, &all, &new), Some(Step::Restart(1)));
    // One that does not serve is in nobody's way, and comes first.
    assert_eq!(
        next(&now, &BTreeSet::from([0, 1]), &new),
        Some(Step::Restart(2))
    );
    // A change that does not start can be taken back.
    assert_eq!(
        next(&now, &BTreeSet::from([1, 2]), &old),
        Some(Step::Restart(0))
    );
}

/// A service of shells that append `start` and `stop` to a list; their readiness is ours to give.
struct World {
    scratch: tempfile::TempDir,
    service: Service,
    /// The monitoring port of broker 0.
    port: u16,
    ready: watch::Sender<BTreeSet<u16>>,
}

impl World {
    async fn new(brokers: u16) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let script = scratch.path().join("broker");
        let list = scratch.path().join("list");
        let text = format!(
            "#!/bin/sh\nname=$(basename \"$2\" .json)\n\
             trap 'echo \"stop $name\" >>{0}; exit 0' TERM\n\
             echo \"start $name\" >>{0}\nwhile :; do sleep 0.05; done\n",
            list.display()
        );
        super::super::files::replace(&script, text.as_bytes(), 0o755).unwrap();
        std::fs::write(&list, "").unwrap();
        let folder = Folder::open(&scratch.path().join("data")).unwrap();
        let (ready, _) = watch::channel(BTreeSet::new());
        let port = monitors(brokers, &ready).await;
        let out = Out::new(std::io::sink());
        Self {
            service: Service::new(Pods::new(&script, &folder, out.clone()), out),
            scratch,
            port,
            ready,
        }
    }

    fn set(&self, replicas: u16, max_inflight: u16) {
        self.service.set(configs(replicas, self.port, max_inflight));
    }

    async fn until(&self, what: impl FnMut(&Status) -> bool) {
        let mut status = self.service.status();
        timeout(SOON, status.wait_for(what)).await.unwrap().unwrap();
    }

    /// Waits until the list has these lines, in whatever order where `sorted`.
    async fn list(&self, expected: &[&str], sorted: bool) {
        let path = self.scratch.path().join("list");
        let lines = || {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if sorted {
                lines.sort_unstable();
            }
            lines
        };
        let same = async {
            while lines() != expected {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = timeout(SOON, same).await;
        assert!(seen.is_ok(), "{:?} is not {expected:?}", lines());
    }

    fn forget(&self) {
        std::fs::write(self.scratch.path().join("list"), "").unwrap();
    }

    fn pid(&self, number: u16) -> Option<i32> {
        let file = format!("data/broker-{number}.pid");
        let text = std::fs::read_to_string(self.scratch.path().join(file)).ok()?;
        text.parse().ok()
    }
}

/// Answers `/readyz` on the ports of so many brokers, as `ready` says; the first port.
async fn monitors(brokers: u16, ready: &watch::Sender<BTreeSet<u16>>) -> u16 {
    'ports: loop {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let mut listeners = vec![first];
        for broker in 1..brokers {
            let Some(port) = port.checked_add(10 * broker) else {
                continue 'ports;
            };
            match TcpListener::bind(("127.0.0.1", port)).await {
                Ok(listener) => listeners.push(listener),
                Err(_) => continue 'ports,
            }
        }
        for (number, listener) in (0..).zip(listeners) {
            let ready = ready.clone();
            tokio::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let _ = stream.read(&mut [0; 1024]).await;
                    let status = match ready.borrow().contains(&number) {
                        true => "200 OK",
                        false => "503 Service Unavailable",
                    };
                    let answer = format!("HTTP/1.1 {status}\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
        return port;
    }
}

fn all_of(replicas: u16) -> BTreeSet<u16> {
    (0..replicas).collect()
}

#[tokio::test]
async fn the_service_is_complete_when_all_are_ready_and_stops_all() {
    let world = World::new(3).await;
    world.set(3, 64);
    world
        .list(
            &["start broker-0", "start broker-1", "start broker-2"],
            true,
        )
        .await;
    world.ready.send_replace([0, 1].into());
    world.until(|status| status.ready.len() == 2).await;
    assert!(!world.service.status().borrow().complete);
    world.ready.send_replace(all_of(3));
    world.until(|status| status.complete).await;
    world.forget();
    let World {
        scratch, service, ..
    } = world;
    timeout(SOON, service.stop()).await.unwrap();
    let stopped = std::fs::read_to_string(scratch.path().join("list")).unwrap();
    assert_eq!(stopped.lines().count(), 3, "{stopped}");
}

#[tokio::test]
async fn another_number_of_brokers_restarts_none() {
    let world = World::new(3).await;
    world.ready.send_replace(all_of(3));
    world.set(1, 64);
    world.until(|status| status.complete).await;
    world.list(&["start broker-0"], false).await;
    world.set(3, 64);
    world.until(|s| s.complete && s.ready.len() == 3).await;
    world
        .list(
            &["start broker-0", "start broker-1", "start broker-2"],
            true,
        )
        .await;
    world.forget();
    world.set(1, 64);
    world.until(|s| s.complete && s.running.len() == 1).await;
    world.list(&["stop broker-2", "stop broker-1"], false).await;
    world.forget();
    world.set(0, 64);
    world.until(|status| status.running.is_empty()).await;
    world.list(&["stop broker-0"], false).await;
    assert!(!world.service.status().borrow().complete);
    world.service.stop().await;
}

#[tokio::test]
async fn a_changed_configuration_goes_from_one_ready_broker_to_the_next() {
    let world = World::new(2).await;
    world.ready.send_replace(all_of(2));
    world.set(2, 64);
    world.until(|status| status.complete).await;
    world
        .list(&["start broker-0", "start broker-1"], true)
        .await;
    world.forget();
    world.ready.send_replace([1].into());
    world.set(2, 32);
    world
        .list(&["stop broker-0", "start broker-0"], false)
        .await;
    // Broker 1 waits for broker 0, with the file that it runs with.
    let file = world.scratch.path().join("data/broker-1.json");
    let text = std::fs::read(&file).unwrap();
    let config: BrokerConfig = serde_json::from_slice(&text).unwrap();
    assert_eq!(config.limits.max_inflight, 64);
    assert_eq!(world.service.status().borrow().running[&1], config);
    world.ready.send_replace(all_of(2));
    world.until(|status| status.complete).await;
    let steps = [
        "stop broker-0",
        "start broker-0",
        "stop broker-1",
        "start broker-1",
    ];
    world.list(&steps, false).await;
    world.service.stop().await;
}

#[tokio::test]
async fn a_killed_broker_is_started_again_alone() {
    let world = World::new(2).await;
    world.ready.send_replace(all_of(2));
    world.set(2, 64);
    world.until(|status| status.complete).await;
    world
        .list(&["start broker-0", "start broker-1"], true)
        .await;
    let (other, killed) = (world.pid(0), world.pid(1).unwrap());
    world.forget();
    kill_process(Pid::from_raw(killed).unwrap(), Signal::KILL).unwrap();
    world.list(&["start broker-1"], false).await;
    world.until(|status| status.complete).await;
    assert_ne!(world.pid(1), Some(killed));
    assert_eq!(world.pid(0), other);
    let World {
        scratch, service, ..
    } = world;
    service.stop().await;
    for pid_file in ["broker-0.pid", "broker-1.pid"] {
        assert!(!scratch.path().join("data").join(pid_file).exists());
    }
}

#[tokio::test]
async fn brokers_left_behind_are_found_by_their_files() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = Folder::open(scratch.path()).unwrap();
    for name in ["broker-10.pid", "broker-2.pid", "broker-x.pid", "kafka.pid"] {
        std::fs::write(folder.file(name), "1").unwrap();
    }
    let pods = Pods::new(Path::new("/bin/broker"), &folder, Out::new(std::io::sink()));
    let names: Vec<String> = pods.left_over().into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["broker-2", "broker-10"]);
}
