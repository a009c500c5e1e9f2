//! Instances: what they are made of, what their status says, how they end.

use isthmus_tests::cluster::{SOON, Space, condition, kafka};
use isthmus_tests::{Kafka, eventually};

#[test]
#[ignore = "make e2e"]
fn an_instance_is_served_by_restricted_pods() {
    let space = Space::new("served");
    space.apply(&space.instance("plant", "replicas: 2, listeners: {ws: {enabled: true}}"));
    let ready = space.ready("mqtti", "plant");
    let status = &ready["status"];
    assert_eq!(status["readyReplicas"], 2);
    assert_eq!(condition(&ready, "KafkaConnected", "status"), "True");
    assert_eq!(condition(&ready, "Progressing", "status"), "False");
    assert_eq!(condition(&ready, "Degraded", "status"), "False");
    let address = format!("plant-mqtt.{}.svc:1883", space.name);
    assert_eq!(status["address"], address);
    assert_eq!(
        status["listeners"][1]["uri"],
        format!("ws://plant-ws.{}.svc:8083/mqtt", space.name)
    );
    assert!(
        status["kafka"]["clusterId"]
            .as_str()
            .is_some_and(|id| !id.is_empty())
    );
    assert_eq!(status["kafka"]["topics"], 11);
    let set = space.get("statefulset", "plant");
    assert!(set["spec"]["volumeClaimTemplates"].is_null());
    let table = space.kubectl(&["get", "mqtti", "plant"]);
    assert!(
        table.contains("READY") && table.contains("Serving") && table.contains(&address),
        "{table}"
    );
}

#[test]
#[ignore = "make e2e"]
fn connections_and_sessions_are_counted() {
    let space = Space::new("counted");
    space.apply(&space.instance("plant", "authentication: {allowAnonymous: true}"));
    space.ready("mqtti", "plant");
    let options = isthmus_tests::Options::new("counted")
        .anonymous()
        .persistent();
    let _client = isthmus_tests::Client::connect(&space.address("plant"), &options);
    space.until("mqtti", "plant", "one connection", |i| {
        i["status"]["connections"] == 1 && i["status"]["sessions"] == 1
    });
}

#[test]
#[ignore = "make e2e"]
fn an_image_that_cannot_start_is_named_with_its_pod() {
    let space = Space::new("image");
    space.apply(&space.instance(
        "plant",
        "image: \"isthmus-broker:nosuch\", imagePullPolicy: Never",
    ));
    let said = space.refused("mqtti", "plant", "PodsNotReady");
    assert!(
        said.contains("plant-0") && said.contains("nosuch"),
        "{said}"
    );
    space.apply(&space.instance("plant", "imagePullPolicy: Never"));
    space.ready("mqtti", "plant");
}

#[test]
#[ignore = "make e2e"]
fn resources_that_kubernetes_refuses_are_said_in_its_words() {
    let space = Space::new("refused");
    let spec = "resources: {requests: {memory: lots}}";
    space.apply(&space.instance("plant", spec));
    let said = space.refused("mqtti", "plant", "Rejected");
    assert!(said.contains("StatefulSet plant"), "{said}");
    space.apply(&space.instance("plant", "resources: {requests: {memory: 32Mi}}"));
    space.ready("mqtti", "plant");
}

#[test]
#[ignore = "make e2e"]
fn a_kafka_that_does_not_answer_is_said_with_its_address() {
    let space = Space::new("nokafka");
    space.apply(&space.instance_at("plant", "10.250.0.1:1", ""));
    let said = space.refused("mqtti", "plant", "KafkaUnavailable");
    assert!(
        said.contains("10.250.0.1:1") && said.contains("spec.kafka.bootstrapServers"),
        "{said}"
    );
    let object = space.get("mqtti", "plant");
    assert_eq!(condition(&object, "KafkaConnected", "status"), "False");
    space.apply(&space.instance("plant", ""));
    space.ready("mqtti", "plant");
}

#[test]
#[ignore = "make e2e"]
fn another_kafka_cluster_is_not_written_to() {
    let space = Space::new("moved");
    space.stopped("plant");
    let other = Kafka::start();
    space.apply(&space.instance_at("plant", &other.bootstrap(), "replicas: 0"));
    let said = space.refused("mqtti", "plant", "ClusterChanged");
    assert!(said.contains("make a new instance"), "{said}");
    let object = space.get("mqtti", "plant");
    assert_eq!(condition(&object, "Stalled", "status"), "True");
    assert!(
        !other
            .topics()
            .iter()
            .any(|topic| topic.contains(&space.name))
    );
}

#[test]
#[ignore = "make e2e"]
fn two_instances_with_one_prefix_do_not_share_topics() {
    let space = Space::new("prefix");
    space.stopped("plant");
    space.apply(&space.instance("other", "replicas: 0"));
    let said = space.refused("mqtti", "other", "TopicPrefixInUse");
    assert!(said.contains("/plant"), "{said}");
    let internal = format!("__mqtt.{}.other.", space.name);
    assert!(
        !kafka()
            .topics()
            .iter()
            .any(|topic| topic.starts_with(&internal))
    );
}

#[test]
#[ignore = "make e2e"]
fn a_suspended_instance_goes_on_and_is_not_changed() {
    let space = Space::new("pause");
    space.apply(&space.instance("plant", ""));
    space.ready("mqtti", "plant");
    space.apply(&space.instance("plant", "suspend: true, replicas: 2"));
    space.refused("mqtti", "plant", "Suspended");
    let set = space.get("statefulset", "plant");
    assert_eq!(set["spec"]["replicas"], 1);
    assert_eq!(set["status"]["readyReplicas"], 1);
}

#[test]
#[ignore = "make e2e"]
fn what_somebody_changes_is_put_right() {
    let space = Space::new("tampered");
    space.apply(&space.instance("plant", ""));
    space.ready("mqtti", "plant");
    space.kubectl(&["scale", "statefulset", "plant", "--replicas", "3"]);
    space.until("statefulset", "plant", "put right", |set| {
        set["spec"]["replicas"] == 1
    });
    space.kubectl(&["delete", "service", "plant-mqtt"]);
    space.until("service", "plant-mqtt", "made again", |service| {
        service["spec"]["clusterIP"].is_string()
    });
    let patch = r#"{"data":{"broker.json":"{}"}}"#;
    space.kubectl(&[
        "patch",
        "configmap",
        "plant-config",
        "--type",
        "merge",
        "--patch",
        patch,
    ]);
    space.until("configmap", "plant-config", "put right", |config| {
        config["data"]["broker.json"]
            .as_str()
            .is_some_and(|text| text.len() > 2)
    });
}

#[test]
#[ignore = "make e2e"]
fn a_foreign_object_of_its_name_is_not_touched() {
    let space = Space::new("theirs");
    space.kubectl(&[
        "create",
        "configmap",
        "plant-config",
        "--from-literal",
        "mine=1",
    ]);
    space.apply(&space.instance("plant", "replicas: 0"));
    let said = space.refused("mqtti", "plant", "ObjectConflict");
    assert!(said.contains("ConfigMap plant-config"), "{said}");
    assert_eq!(space.get("configmap", "plant-config")["data"]["mine"], "1");
}

#[test]
#[ignore = "make e2e"]
fn services_follow_what_is_written() {
    let space = Space::new("services");
    let spec = "replicas: 0, listeners: {mqtt: {service: {type: NodePort, annotations: {a: b}}}, ws: {enabled: true}}";
    space.apply(&space.instance("plant", spec));
    space.ready("mqtti", "plant");
    let service = space.get("service", "plant-mqtt");
    assert_eq!(service["spec"]["type"], "NodePort");
    assert_eq!(service["metadata"]["annotations"]["a"], "b");
    let _ = space.get("service", "plant-ws");
    space.apply(&space.instance("plant", "replicas: 0"));
    eventually("the listener's Service is gone", SOON, || {
        let left = space.kubectl(&["get", "services", "--output", "name"]);
        (!left.contains("plant-ws")).then_some(())
    });
}

#[test]
#[ignore = "make e2e"]
fn a_budget_is_there_with_several_brokers_only() {
    let space = Space::new("budget");
    space.apply(&space.instance("plant", "replicas: 2"));
    space.until("pdb", "plant", "there", |pdb| {
        pdb["spec"]["maxUnavailable"] == 1
    });
    space.apply(&space.instance("plant", "replicas: 1"));
    eventually("the budget is gone", SOON, || {
        let left = space.kubectl(&["get", "pdb", "--output", "name"]);
        left.is_empty().then_some(())
    });
}

#[test]
#[ignore = "make e2e"]
fn a_network_policy_is_made_when_asked_for() {
    let space = Space::new("policy");
    space.apply(&space.instance("plant", "replicas: 0, networkPolicy: {enabled: true}"));
    space.ready("mqtti", "plant");
    let _ = space.get("networkpolicy", "plant");
}

#[test]
#[ignore = "make e2e"]
fn deleting_an_instance_keeps_its_topics_unless_asked_otherwise() {
    let space = Space::new("ended");
    let of = |name: &str| {
        let topics = kafka().topics();
        let stem = format!("__mqtt.{}.{name}.", space.name);
        topics
            .iter()
            .filter(|topic| topic.starts_with(&stem))
            .count()
    };
    space.stopped("plant");
    space.kubectl(&["delete", "mqtti", "plant", "--timeout", "60s"]);
    assert_eq!(of("plant"), 7);
    space.apply(&space.instance("other", "replicas: 0, deletionPolicy: Delete"));
    space.ready("mqtti", "other");
    assert_eq!(of("other"), 7);
    space.kubectl(&["delete", "mqtti", "other", "--timeout", "60s"]);
    eventually("the topics are gone", SOON, || {
        (of("other") == 0).then_some(())
    });
}

#[test]
#[ignore = "make e2e"]
fn a_namespace_can_be_deleted_with_all_that_is_in_it() {
    let space = Space::new("whole");
    space.apply(&space.instance("plant", "deletionPolicy: Delete"));
    space.apply(&Space::of_plant(
        "ParentTopic",
        "t",
        "deletionPolicy: Delete",
    ));
    space.apply(&Space::of_plant("MqttUser", "demo", ""));
    space.ready("mqtti", "plant");
    space.ready("mqttpt", "t");
    space.ready("mqttu", "demo");
    isthmus_tests::cluster::kubectl(&["delete", "namespace", &space.name, "--timeout", "120s"]);
}

#[test]
#[ignore = "make e2e"]
fn deletion_does_not_hang_with_kafka_gone() {
    let space = Space::new("dead");
    let mut other = Kafka::start();
    space.apply(&space.instance_at(
        "plant",
        &other.bootstrap(),
        "replicas: 0, deletionPolicy: Delete",
    ));
    space.ready("mqtti", "plant");
    space.apply(&Space::of_plant(
        "ParentTopic",
        "t",
        "deletionPolicy: Delete",
    ));
    space.ready("mqttpt", "t");
    other.kill();
    space.kubectl(&["delete", "mqttpt", "t", "--timeout", "150s"]);
    assert!(space.event("TopicLeftBehind").contains(&space.topic("t")));
    space.kubectl(&["delete", "mqtti", "plant", "--timeout", "150s"]);
    space.event("TopicsLeftBehind");
}

#[test]
#[ignore = "make e2e"]
fn the_status_is_what_kstatus_waits_for() {
    let space = Space::new("kstatus");
    space.apply(&space.instance("plant", "replicas: 0"));
    let wait = [
        "wait",
        "mqtti/plant",
        "--for",
        "condition=Ready",
        "--timeout",
        "60s",
    ];
    space.kubectl(&wait);
    let object = space.get("mqtti", "plant");
    assert_eq!(
        object["status"]["observedGeneration"],
        object["metadata"]["generation"]
    );
    assert_eq!(condition(&object, "Stalled", "status"), "");
}
