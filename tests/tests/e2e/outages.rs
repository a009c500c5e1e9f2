//! Parts of Kubernetes that go away and come back: the API server, a node, the operator in order.

use std::time::Duration;

use isthmus_tests::cluster::{OPERATOR, SOON, Space, kubectl, try_kubectl};
use isthmus_tests::{Client, Options, QoS, eventually, run};

use crate::traffic::{loses_nothing, serving};

/// The process of the API server, where it runs on this machine.
fn api_server() -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid| {
            run::arguments_of(*pid)
                .iter()
                .any(|a| a == "kube-apiserver")
        })
}

#[test]
#[ignore = "make e2e"]
fn a_restarted_api_server_is_found_again_and_no_device_notices() {
    let space = Space::alone("restarted");
    let Some(before) = api_server() else {
        eprintln!("the API server of this cluster runs elsewhere: it was not restarted");
        return;
    };
    let address = serving(&space, "replicas: 1");
    let mut device = Client::connect(&address, &Options::new("device").anonymous());
    device.subscribe("here/#", QoS::AtLeastOnce);
    let pod = || {
        let pod = space.get("pod", "plant-0");
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        (pod["metadata"]["uid"].clone(), restarts.clone())
    };
    let was = pod();
    run::send(before, rustix::process::Signal::KILL);
    eventually("another API server that is ready", SOON, || {
        let other = api_server().is_some_and(|now| now != before);
        (other && try_kubectl(&["get", "--raw", "/readyz"], "").is_ok()).then_some(())
    });
    space.apply(&Space::of_plant("ParentTopic", "after", ""));
    space.ready("mqttpt", "after");
    assert_eq!(pod(), was);
    let hello = isthmus_tests::client::Outgoing::new("here/x", "still here");
    device.publish(&hello.qos(QoS::AtLeastOnce));
    assert_eq!(device.message().text(), "still here");
}

/// Cordoned until dropped.
struct Drained(String);

impl Drop for Drained {
    fn drop(&mut self) {
        let _ = try_kubectl(&["uncordon", &self.0], "");
    }
}

#[test]
#[ignore = "make e2e"]
fn a_drained_node_keeps_what_the_budget_asks_for_and_loses_nothing() {
    let space = Space::alone("drained");
    let address = serving(&space, "replicas: 2");
    let node = space.get("pod", "plant-0")["spec"]["nodeName"].clone();
    let node = Drained(node.as_str().expect("a node").to_owned());
    loses_nothing(&space, &address, || {
        let select = "app.kubernetes.io/instance=plant";
        let drain = [
            "drain",
            &node.0,
            "--pod-selector",
            select,
            "--ignore-daemonsets",
            "--timeout=20s",
        ];
        let alone = kubectl(&["get", "nodes", "--output", "name"])
            .lines()
            .count()
            == 1;
        let said = try_kubectl(&drain, "");
        if alone {
            // The evicted pod has nowhere to go, so the other one stays.
            let said = said.expect_err("the budget holds the drain up");
            assert!(said.contains("disruption budget"), "{said}");
            let set = space.get("statefulset", "plant");
            assert_eq!(set["status"]["readyReplicas"], 1);
        } else {
            said.expect("the node is drained");
        }
        kubectl(&["uncordon", &node.0]);
        space.until("statefulset", "plant", "whole again", |set| {
            set["status"]["readyReplicas"] == 2
        });
    });
    space.ready("mqtti", "plant");
}

#[test]
#[ignore = "make e2e"]
fn an_operator_that_ends_in_order_hands_the_work_over_at_once() {
    let space = Space::alone("handed");
    let deployment =
        |arguments: &[&str]| kubectl(&[&["--namespace", OPERATOR], arguments].concat());
    let holder = || {
        let path = "jsonpath={.spec.holderIdentity}";
        deployment(&["get", "lease", "isthmus-operator", "--output", path])
    };
    let before = holder();
    assert!(!before.is_empty());
    let start = std::time::Instant::now();
    deployment(&["rollout", "restart", "deployment/isthmus"]);
    eventually("another holder", SOON, || {
        let now = holder();
        (!now.is_empty() && now != before).then_some(())
    });
    // A Lease that is not released is waited for 15 s after the pod that held it has ended.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    deployment(&["rollout", "status", "deployment/isthmus", "--timeout=60s"]);
    space.stopped("plant");
}

#[test]
#[ignore = "make e2e"]
fn what_happens_while_the_operator_is_away_is_made_up_for() {
    let space = Space::alone("away");
    space.stopped("plant");
    space.apply(&Space::of_plant("ParentTopic", "stays", "partitions: 1"));
    space.apply(&Space::of_plant(
        "ParentTopic",
        "goes",
        "deletionPolicy: Delete",
    ));
    space.ready("mqttpt", "stays");
    space.ready("mqttpt", "goes");
    let scale = |replicas: &str| {
        let replicas = format!("--replicas={replicas}");
        kubectl(&[
            "--namespace",
            OPERATOR,
            "scale",
            "deployment/isthmus",
            &replicas,
        ]);
    };
    scale("0");
    let select = "--selector=app.kubernetes.io/name=isthmus-operator";
    kubectl(&[
        "--namespace",
        OPERATOR,
        "wait",
        "pod",
        select,
        "--for=delete",
        "--timeout=60s",
    ]);
    space.apply(&Space::of_plant("ParentTopic", "stays", "partitions: 3"));
    space.apply(&Space::of_plant("ParentTopic", "comes", ""));
    space.kubectl(&["delete", "mqttpt", "goes", "--wait=false"]);
    scale("1");
    let stays = space.until("mqttpt", "stays", "of three partitions", |topic| {
        topic["status"]["partitions"] == 3
    });
    assert_eq!(stays["status"]["kafkaTopic"], space.topic("stays"));
    space.ready("mqttpt", "comes");
    space.kubectl(&["wait", "mqttpt/goes", "--for=delete", "--timeout=60s"]);
    let topics = isthmus_tests::cluster::kafka().topics();
    assert!(!topics.contains(&space.topic("goes")), "{topics:?}");
}

#[test]
#[ignore = "make e2e"]
fn one_look_shows_all_three_kinds_and_what_is_wrong() {
    let space = Space::new("glance");
    space.stopped("plant");
    space.apply(&Space::of_plant("ParentTopic", "up", ""));
    space.apply(&Space::of_plant(
        "MqttUser",
        "someone",
        "passwordSecretRef: {name: nothere}",
    ));
    space.ready("mqttpt", "up");
    space.refused("mqttu", "someone", "SecretNotFound");
    let all = space.kubectl(&["get", "isthmus"]);
    for named in [
        "mqttinstance.mqtt.isthmus.dev/plant",
        "parenttopic.mqtt.isthmus.dev/up",
    ] {
        assert!(all.contains(named), "{all}");
    }
    let columns = |kind: &str, wide: bool| {
        let wide: &[&str] = if wide { &["--output", "wide"] } else { &[] };
        let table = space.kubectl(&[&["get", kind], wide].concat());
        let head = table.lines().next().expect("a head").to_owned();
        (
            head.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
            table,
        )
    };
    let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for (kind, expected) in [
        (
            "mqtti",
            "NAME PODS CONNECTIONS KAFKA ADDRESS READY REASON AGE",
        ),
        (
            "mqttpt",
            "NAME INSTANCE TOPIC TYPE PARTITIONS REPLICAS READY REASON AGE",
        ),
        (
            "mqttu",
            "NAME INSTANCE USERNAME ACL SECRET READY REASON AGE",
        ),
    ] {
        assert_eq!(columns(kind, false).0, names(expected));
        let (wide, table) = columns(kind, true);
        assert_eq!(wide.last().map(String::as_str), Some("MESSAGE"), "{table}");
    }
    let (_, table) = columns("mqttu", true);
    assert!(
        table.contains("SecretNotFound") && table.contains("nothere"),
        "{table}"
    );
}
