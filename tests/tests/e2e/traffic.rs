//! Devices and cloud applications while pods come and go.

use isthmus_tests::cluster::{Space, kafka, kubectl};
use isthmus_tests::ledger::{Publisher, Subscriber, assert_complete_in_order, stored};
use isthmus_tests::records::{Outgoing, Tail};
use isthmus_tests::{Client, Options, QoS};

const OPEN: &str =
    "authentication: {allowAnonymous: true, anonymousAcl: [{topic: \"#\", action: pubsub}]}";

pub(crate) fn serving(space: &Space, spec: &str) -> String {
    space.apply(&space.instance("plant", &format!("{OPEN}, {spec}")));
    space.apply(&Space::of_plant("ParentTopic", "up", ""));
    space.ready("mqtti", "plant");
    space.ready("mqttpt", "up");
    space.address("plant")
}

/// A device that publishes QoS 1 and one with a persistent session that takes it, while something happens.
pub(crate) fn loses_nothing(space: &Space, address: &str, happens: impl FnOnce()) {
    let bootstrap = kafka().bootstrap();
    let mut tail = Tail::from_start(&bootstrap, &space.topic("up"));
    let options = Options::new("taker").anonymous().persistent();
    let subscriber = Subscriber::start(address, &options, "up/#", QoS::AtLeastOnce);
    let options = Options::new("giver").anonymous().persistent();
    let publisher = Publisher::start(address, &options, "up/x", QoS::AtLeastOnce, 8, Some(50));
    publisher.wait_for(50);
    happens();
    publisher.wait_for(100);
    let report = publisher.finish();
    let received = subscriber.finish(&[("up/x".to_owned(), report.last)]);
    let numbers = received.get("up/x").expect("messages");
    assert_complete_in_order("the subscriber", numbers, report.last);
    let in_kafka = stored(&mut tail, "giver", report.last);
    assert_complete_in_order("Kafka", &in_kafka, report.last);
}

#[test]
#[ignore = "make e2e"]
fn a_message_goes_from_device_to_kafka_and_from_kafka_to_device() {
    let space = Space::new("roundtrip");
    let address = serving(&space, "replicas: 1");
    let bootstrap = kafka().bootstrap();
    let mut tail = Tail::from_now(&bootstrap, &space.topic("up"));
    let mut device = Client::connect(&address, &Options::new("device").anonymous());
    let hello = isthmus_tests::client::Outgoing::new("up/1", "hello");
    device.publish(&hello.qos(QoS::AtLeastOnce));
    let record = tail.keyed("device");
    assert_eq!(record.json()["payload"], "hello");
    assert_eq!(record.json()["topic"], "up/1");
    device.subscribe("cmd/device", QoS::AtLeastOnce);
    let command = Outgoing::new(&space.topic("mq2mqtt"), "go").header("mqttTopic", "cmd/device");
    command.send(&bootstrap);
    assert_eq!(device.message().text(), "go");
}

#[test]
#[ignore = "make e2e"]
fn scaling_up_and_down_under_traffic_loses_nothing() {
    let space = Space::new("scaled");
    let address = serving(&space, "replicas: 1");
    loses_nothing(&space, &address, || {
        for replicas in ["3", "1"] {
            space.kubectl(&["scale", "mqtti/plant", "--replicas", replicas]);
            let count: i64 = replicas.parse().expect("a number");
            space.until("mqtti", "plant", "scaled", |plant| {
                plant["status"]["readyReplicas"] == count && plant["status"]["replicas"] == count
            });
        }
    });
}

#[test]
#[ignore = "make e2e"]
fn a_rolling_upgrade_replaces_one_pod_at_a_time_and_loses_nothing() {
    let space = Space::new("rolled");
    let address = serving(&space, "replicas: 2");
    let uid = |pod: &str| space.get("pod", pod)["metadata"]["uid"].clone();
    let before = [uid("plant-0"), uid("plant-1")];
    loses_nothing(&space, &address, || {
        let spec = format!("{OPEN}, replicas: 2, pod: {{annotations: {{release: next}}}}");
        space.apply(&space.instance("plant", &spec));
        space.until("statefulset", "plant", "rolled", |set| {
            let status = &set["status"];
            assert!(
                status["readyReplicas"].as_i64().unwrap_or(0) >= 1,
                "{status}"
            );
            status["updateRevision"] == status["currentRevision"]
                && status["readyReplicas"] == 2
                && status["observedGeneration"] == set["metadata"]["generation"]
                && uid("plant-0") != before[0]
        });
    });
    assert_ne!(uid("plant-1"), before[1]);
}

#[test]
#[ignore = "make e2e"]
fn a_killed_pod_loses_nothing() {
    let space = Space::new("killed");
    let address = serving(&space, "replicas: 2");
    loses_nothing(&space, &address, || {
        space.kubectl(&["delete", "pod", "plant-0", "--grace-period", "0", "--force"]);
    });
    space.ready("mqtti", "plant");
}

#[test]
#[ignore = "make e2e"]
fn an_eviction_honours_the_budget() {
    let space = Space::new("evicted");
    let address = serving(&space, "replicas: 2");
    let evict = |pod: &str| {
        let body = format!(
            "{{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{{\"name\":\"{pod}\",\"namespace\":\"{}\"}}}}",
            space.name
        );
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", space.name);
        isthmus_tests::cluster::try_kubectl(&["create", "--raw", &path, "--filename", "-"], &body)
    };
    loses_nothing(&space, &address, || {
        evict("plant-0").expect("the first is evicted");
        let second = evict("plant-1").expect_err("the second waits for the first");
        assert!(second.contains("disruption budget"), "{second}");
    });
    space.ready("mqtti", "plant");
}

#[test]
#[ignore = "make e2e"]
fn a_change_that_brokers_need_not_read_replaces_no_pod() {
    let space = Space::new("unmoved");
    let _ = serving(&space, "replicas: 1");
    let uid = || space.get("pod", "plant-0")["metadata"]["uid"].clone();
    let before = uid();
    let spec = format!(
        "{OPEN}, podDisruptionBudget: {{enabled: false}}, listeners: {{mqtt: {{service: {{type: NodePort}}}}}}"
    );
    space.apply(&space.instance("plant", &spec));
    space.until("service", "plant-mqtt", "a NodePort", |s| {
        s["spec"]["type"] == "NodePort"
    });
    space.ready("mqtti", "plant");
    assert_eq!(uid(), before);
    let revisions = space.kubectl(&["get", "controllerrevisions", "--output", "name"]);
    assert_eq!(revisions.lines().count(), 1, "{revisions}");
}

#[test]
#[ignore = "make e2e"]
fn the_scale_subresource_says_what_there_is() {
    let space = Space::new("scale");
    let _ = serving(&space, "replicas: 1");
    let path = format!(
        "/apis/mqtt.isthmus.dev/v1alpha1/namespaces/{}/mqttinstances/plant/scale",
        space.name
    );
    let scale: serde_json::Value =
        serde_json::from_str(&kubectl(&["get", "--raw", &path])).expect("JSON");
    assert_eq!(scale["spec"]["replicas"], 1);
    assert_eq!(scale["status"]["replicas"], 1);
    let selector = scale["status"]["selector"].as_str().expect("a selector");
    assert!(
        selector.contains("app.kubernetes.io/instance=plant"),
        "{selector}"
    );
}
