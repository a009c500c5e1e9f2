//! The chart, the bundle and the examples.

use std::process::Command;

use isthmus_tests::cluster::{OPERATOR, Space, helm, install, kafka, kubectl, try_kubectl};
use isthmus_tests::parts;

fn chart() -> String {
    parts::repository()
        .join("charts/isthmus")
        .display()
        .to_string()
}

#[test]
#[ignore = "make e2e"]
fn what_is_made_from_the_chart_is_up_to_date() {
    let script = parts::repository().join("hack/chart");
    let checked = Command::new(script).arg("check").output().expect("bash");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}

#[test]
#[ignore = "make e2e"]
fn the_chart_is_clean_and_the_api_server_takes_it() {
    let _space = Space::new("chart");
    helm(&["lint", "--strict", &chart()]);
    let all = helm(&[
        "template",
        "other",
        &chart(),
        "--namespace",
        OPERATOR,
        "--set",
        "replicas=2,watchNamespaces={default}",
    ]);
    try_kubectl(&["apply", "--dry-run=server", "--filename", "-"], &all).expect("taken");
}

#[test]
#[ignore = "make e2e"]
fn a_wrong_value_is_refused_by_name() {
    let helm = std::env::var("ISTHMUS_HELM").unwrap_or_else(|_| "helm".to_owned());
    for (value, named) in [
        ("replicas=many", "replicas"),
        ("colour=red", "colour"),
        ("logFormat=xml", "logFormat"),
    ] {
        let output = Command::new(&helm)
            .args(["template", "x", &chart(), "--set", value])
            .output()
            .expect("helm");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(named),
            "{value}: {said}"
        );
    }
}

#[test]
#[ignore = "make e2e"]
fn the_bundle_and_the_base_are_taken_by_kubectl() {
    let _space = Space::new("bundle");
    let bundle = parts::repository()
        .join("deploy/isthmus.yaml")
        .display()
        .to_string();
    kubectl(&[
        "apply",
        "--server-side",
        "--dry-run=server",
        "--force-conflicts",
        "--filename",
        &bundle,
    ]);
    let base = parts::repository().join("deploy").display().to_string();
    let built = kubectl(&["kustomize", &base]);
    assert!(built.contains("kind: Deployment"));
}

#[test]
#[ignore = "make e2e"]
fn every_example_is_taken() {
    let space = Space::new("examples");
    for example in ["quickstart.yaml", "full.yaml"] {
        let path = parts::repository().join("examples").join(example);
        let text = std::fs::read_to_string(path).expect("an example");
        let text = text.replace("namespace: default", &format!("namespace: {}", space.name));
        let said = try_kubectl(
            &[
                "apply",
                "--namespace",
                &space.name,
                "--dry-run=server",
                "--filename",
                "-",
            ],
            &text,
        );
        said.unwrap_or_else(|said| panic!("{example}: {said}"));
    }
}

#[test]
#[ignore = "make e2e"]
fn the_quickstart_serves() {
    let space = Space::new("quickstart");
    let path = parts::repository().join("examples/quickstart.yaml");
    let text = std::fs::read_to_string(path).expect("the quickstart");
    let own = format!(
        "{}\"\n    topicPrefix: \"{}.",
        kafka().bootstrap(),
        space.name
    );
    let text = text.replace(
        "bootstrapServers: localhost:9092",
        &format!("bootstrapServers: \"{own}\""),
    );
    space.apply(&text);
    space.ready("mqtti", "quickstart");
    space.ready("mqttpt", "topic-1");
    space.ready("mqttu", "demo");
    let mut tail = isthmus_tests::Tail::from_now(&kafka().bootstrap(), &space.topic("topic-1"));
    let options = isthmus_tests::Options::new("first").account("demo", "demo");
    let mut device = isthmus_tests::Client::connect(&space.address("quickstart"), &options);
    let hello = isthmus_tests::client::Outgoing::new("topic-1/hello", "world");
    device.publish(&hello.qos(isthmus_tests::QoS::AtLeastOnce));
    assert_eq!(tail.keyed("first").json()["payload"], "world");
    let table = space.kubectl(&["get", "mqtti,mqttpt,mqttu"]);
    eprintln!("{table}");
}

#[test]
#[ignore = "make e2e"]
fn reinstalling_the_chart_finds_everything_as_it_was() {
    let space = Space::alone("reinstalled");
    space.apply(&space.instance("plant", ""));
    space.apply(&Space::of_plant(
        "ParentTopic",
        "t",
        "deletionPolicy: Delete",
    ));
    space.ready("mqtti", "plant");
    let before = space.ready("mqttpt", "t")["status"]["topicId"].clone();
    helm(&["uninstall", "isthmus", "--namespace", OPERATOR, "--wait"]);
    let kept = kubectl(&[
        "get",
        "crd",
        "parenttopics.mqtt.isthmus.dev",
        "--output",
        "name",
    ]);
    assert!(kept.contains("parenttopics"), "{kept}");
    assert_eq!(
        space.get("statefulset", "plant")["status"]["readyReplicas"],
        1
    );
    install(&[]);
    let after = space.ready("mqttpt", "t");
    assert_eq!(after["status"]["topicId"], before);
    assert!(kafka().topics().contains(&space.topic("t")));
}

#[test]
#[ignore = "make e2e"]
fn an_upgrade_of_the_chart_upgrades_the_definitions() {
    let space = Space::alone("upgraded");
    let older = r#"[{"op":"remove","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/networkPolicy"}]"#;
    kubectl(&[
        "patch",
        "crd",
        "mqttinstances.mqtt.isthmus.dev",
        "--type",
        "json",
        "--patch",
        older,
    ]);
    let spec = "replicas: 0, networkPolicy: {enabled: true}";
    let refused = space.try_apply(&space.instance("plant", spec));
    assert!(refused.is_err(), "{refused:?}");
    install(&["podAnnotations.upgrade=yes"]);
    space.apply(&space.instance("plant", spec));
    space.ready("mqtti", "plant");
    install(&[]);
}

#[test]
#[ignore = "make e2e"]
fn an_operator_of_some_namespaces_needs_rights_there_alone() {
    let space = Space::alone("some");
    install(&[&format!("watchNamespaces={{{}}}", space.name)]);
    space.stopped("plant");
    let cluster_wide = try_kubectl(&["get", "clusterrole", "isthmus"], "");
    assert!(cluster_wide.is_err(), "{cluster_wide:?}");
    install(&["watchNamespaces=null"]);
}
