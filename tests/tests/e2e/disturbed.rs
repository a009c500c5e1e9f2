//! The operator killed, doubled, cut off.

use isthmus_tests::cluster::{OPERATOR, SOON, Space, install, kafka, kubectl, operator_figures};
use isthmus_tests::{Kafka, eventually};

const SELECT: &str = "app.kubernetes.io/name=isthmus-operator";

fn pods() -> Vec<String> {
    let names = kubectl(&[
        "--namespace",
        OPERATOR,
        "get",
        "pods",
        "--selector",
        SELECT,
        "--output",
        "name",
    ]);
    names.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "make e2e"]
fn an_operator_killed_in_the_middle_goes_on_where_it_was() {
    let space = Space::alone("middle");
    space.apply(&space.instance("plant", ""));
    let topics: String = (0..30)
        .map(|n| Space::of_plant("ParentTopic", &format!("t{n}"), "") + "---\n")
        .collect();
    space.apply(&topics);
    for pod in pods() {
        kubectl(&[
            "--namespace",
            OPERATOR,
            "delete",
            &pod,
            "--grace-period",
            "0",
            "--force",
        ]);
    }
    space.ready("mqtti", "plant");
    for n in 0..30 {
        space.ready("mqttpt", &format!("t{n}"));
    }
}

#[test]
#[ignore = "make e2e"]
fn of_two_operators_one_is_at_work_and_the_other_takes_over() {
    let space = Space::alone("two");
    install(&["replicas=2"]);
    eventually("two operators", SOON, || (pods().len() == 2).then_some(()));
    let holder = || {
        let path = "jsonpath={.spec.holderIdentity}";
        kubectl(&[
            "--namespace",
            OPERATOR,
            "get",
            "lease",
            "isthmus-operator",
            "--output",
            path,
        ])
    };
    let first = eventually("a holder", SOON, || {
        Some(holder()).filter(|h| !h.is_empty())
    });
    let pod = first.split('_').next().expect("a pod's name").to_owned();
    kubectl(&[
        "--namespace",
        OPERATOR,
        "delete",
        "pod",
        &pod,
        "--grace-period",
        "0",
        "--force",
    ]);
    eventually("another holder", SOON, || {
        let now = holder();
        (!now.is_empty() && now != first).then_some(())
    });
    space.stopped("plant");
    install(&["replicas=1"]);
}

#[test]
#[ignore = "make e2e"]
fn a_kafka_that_was_away_is_found_again() {
    let space = Space::new("away");
    let mut other = Kafka::start();
    space.apply(&space.instance_at("plant", &other.bootstrap(), ""));
    space.ready("mqtti", "plant");
    other.stop();
    space.apply(&Space::of_plant("ParentTopic", "t", ""));
    space.refused("mqttpt", "t", "KafkaUnavailable");
    space.refused("mqtti", "plant", "KafkaUnavailable");
    other.resume();
    space.ready("mqttpt", "t");
    space.ready("mqtti", "plant");
}

#[test]
#[ignore = "make e2e"]
fn the_operator_says_its_figures_and_has_the_least_rights() {
    let space = Space::new("figures");
    space.stopped("plant");
    // Of a leader of the last moment they come one by one.
    for name in [
        "isthmus_operator_reconciles_total",
        "isthmus_operator_kubernetes_requests_total",
    ] {
        eventually(name, SOON, || {
            operator_figures().contains(name).then_some(())
        });
    }
    let account = format!("system:serviceaccount:{OPERATOR}:isthmus");
    let may = |verb: &str, what: &str| {
        let asked = [
            "auth",
            "can-i",
            verb,
            what,
            "--as",
            &account,
            "--all-namespaces",
        ];
        isthmus_tests::cluster::try_kubectl(&asked, "").is_ok()
    };
    assert!(may("create", "statefulsets.apps"));
    for (verb, what) in [
        ("delete", "secrets"),
        ("update", "secrets"),
        ("patch", "secrets"),
        ("create", "pods"),
        ("get", "nodes"),
        ("delete", "parenttopics.mqtt.isthmus.dev"),
    ] {
        assert!(!may(verb, what), "may {verb} {what}");
    }
    assert!(kafka().bootstrap().contains(':'));
}
