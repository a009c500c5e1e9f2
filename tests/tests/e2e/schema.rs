//! What the API server takes and refuses, and what is left where somebody came past it.

use isthmus_tests::cluster::{Space, condition, try_kubectl};

const INSTANCE: &str = "apiVersion: mqtt.isthmus.dev/v1alpha1\nkind: MqttInstance\n";

/// Objects that are refused, each with a part of what is said.
fn refused(space: &Space, cases: &[(&str, &str)]) {
    for (yaml, part) in cases {
        let said = space.try_apply(yaml).expect_err(yaml);
        assert!(said.contains(part), "{yaml}\nis refused with {said}");
    }
}

fn instance(spec: &str) -> String {
    format!(
        "{INSTANCE}metadata: {{name: plant}}\nspec: {{kafka: {{bootstrapServers: \"k:9092\"}}, {spec}}}\n"
    )
}

#[test]
#[ignore = "make e2e"]
fn instances_with_a_fault_are_refused_with_the_way_out() {
    let space = Space::new("badinstance");
    let cases = [
        ("replicas: 5, slots: 4", "must not be more than spec.slots"),
        ("replicas: -1", "spec.replicas"),
        ("slots: 0", "spec.slots"),
        (
            "listeners: {mqtt: {enabled: false}}",
            "at least one listener must be enabled",
        ),
        ("listeners: {mqtt: {port: 9090}}", "must differ"),
        ("listeners: {ws: {path: mqtt}}", "must start with /"),
        (
            "listeners: {mqtt: {service: {nodePort: 31000}}}",
            "needs type NodePort or LoadBalancer",
        ),
        (
            "session: {expiry: 48h}",
            "must not be longer than spec.session.maxExpiry",
        ),
        ("session: {expiry: soon}", "spec.session.expiry"),
        ("authentication: {anonymousAcl: []}", "needs allowAnonymous"),
        ("nonsense: 1", "unknown field"),
        ("limits: {preset: huge}", "spec.limits.preset"),
    ];
    for (spec, part) in cases {
        refused(&space, &[(&instance(spec), part)]);
    }
    let unnamed = format!(
        "{INSTANCE}metadata: {{name: plant}}\nspec: {{kafka: {{bootstrapServers: here}}}}\n"
    );
    refused(&space, &[(&unnamed, "must be host:port")]);
    let long = format!(
        "{INSTANCE}metadata: {{name: {}}}\nspec: {{kafka: {{bootstrapServers: \"k:1\"}}}}\n",
        "a".repeat(41)
    );
    refused(&space, &[(&long, "at most 40 characters")]);
}

#[test]
#[ignore = "make e2e"]
fn what_cannot_change_is_refused_with_the_way_out() {
    let space = Space::new("fixed");
    space.apply(&instance("replicas: 0, slots: 4"));
    refused(
        &space,
        &[(&instance("replicas: 0, slots: 8"), "make a new instance")],
    );
    let parent = |spec: &str| Space::of_plant("ParentTopic", "t", spec);
    space.apply(&parent("partitions: 2"));
    let moved = parent("").replace("name: plant", "name: other");
    refused(
        &space,
        &[
            (&parent("topicName: other"), "make another ParentTopic"),
            (
                &parent("partitions: 1"),
                "Kafka cannot take partitions away",
            ),
            (&moved, "make another ParentTopic"),
        ],
    );
    let user = |spec: &str| Space::of_plant("MqttUser", "u", spec);
    space.apply(&user(""));
    refused(&space, &[(&user("username: other"), "cannot be changed")]);
}

#[test]
#[ignore = "make e2e"]
fn parent_topics_and_users_with_a_fault_are_refused_with_the_way_out() {
    let space = Space::new("badothers");
    let parent = |spec: &str| Space::of_plant("ParentTopic", "t", spec);
    let user = |spec: &str| Space::of_plant("MqttUser", "u", spec);
    refused(
        &space,
        &[
            (&parent("topicName: mq2mqtt"), "is reserved"),
            (&parent("topicName: __x"), "is reserved"),
            (&parent("topicName: a/b"), "letters, digits, dots"),
            (&parent("topicName: orderMsg2mq-x"), "set both or neither"),
            (&parent("type: PartitionOrdered"), "set both or neither"),
            (
                &parent("retention: 1h, config: {retention.ms: \"1\"}"),
                "not both",
            ),
            (&parent("partitions: 0"), "spec.partitions"),
            (&user("username: a/b"), "spec.username"),
            (
                &user("passwordSecretRef: {name: s}, generatedSecretName: g"),
                "generatedSecretName",
            ),
            (&user("acl: [{topic: \"a/#/b\", action: pub}]"), "acl"),
            (&user("acl: [{topic: a, action: read}]"), "action"),
        ],
    );
}

#[test]
#[ignore = "make e2e"]
fn defaults_are_filled_by_the_api_server() {
    let space = Space::new("defaults");
    space.apply(&instance("suspend: true"));
    let spec = space.get("mqtti", "plant")["spec"].clone();
    assert_eq!(spec["replicas"], 2);
    assert_eq!(spec["slots"], 32);
    assert_eq!(spec["listeners"]["mqtt"]["port"], 1883);
    assert_eq!(spec["listeners"]["mqtt"]["service"]["type"], "ClusterIP");
    assert_eq!(spec["pod"]["terminationGracePeriodSeconds"], 60);
    assert_eq!(spec["session"]["expiry"], "2h");
}

#[test]
#[ignore = "make e2e"]
fn a_new_object_is_not_taken_for_a_ready_one() {
    let space = Space::alone("fresh");
    isthmus_tests::cluster::kubectl(&[
        "--namespace",
        "isthmus",
        "scale",
        "deployment",
        "isthmus",
        "--replicas",
        "0",
    ]);
    isthmus_tests::cluster::kubectl(&[
        "--namespace",
        "isthmus",
        "wait",
        "--for",
        "delete",
        "pod",
        "--selector",
        "app.kubernetes.io/name=isthmus-operator",
        "--timeout",
        "60s",
    ]);
    space.apply(&instance("replicas: 0"));
    let fresh = space.get("mqtti", "plant");
    assert_eq!(fresh["status"]["observedGeneration"], -1);
    isthmus_tests::cluster::install(&[]);
}

/// Past the schema: validation is turned off by a definition that takes anything, as an old one might.
#[test]
#[ignore = "make e2e"]
fn hostile_objects_past_the_schema_get_a_status_and_harm_nobody() {
    let space = Space::alone("hostile");
    loosen(true);
    let objects = [
        ("MqttInstance", "a", "{}"),
        ("MqttInstance", "b", "{\"kafka\":{\"bootstrapServers\":7}}"),
        (
            "MqttInstance",
            "c",
            "{\"kafka\":{\"bootstrapServers\":\"\"},\"slots\":-3}",
        ),
        (
            "MqttInstance",
            "d",
            "{\"kafka\":{\"bootstrapServers\":\"k:1\"},\"replicas\":60000,\"slots\":1}",
        ),
        (
            "MqttInstance",
            "e",
            "{\"kafka\":{\"bootstrapServers\":\"k:1\",\"topicPrefix\":\"../\\u0000\"},\"replicas\":0}",
        ),
        (
            "MqttInstance",
            "f",
            "{\"kafka\":{\"bootstrapServers\":\"k:1\"},\"session\":{\"expiry\":\"99999999999999h\"}}",
        ),
        (
            "MqttInstance",
            "g",
            "{\"kafka\":{\"bootstrapServers\":\"k:1\"},\"limits\":{\"maxPacketSize\":\"-1Zi\"}}",
        ),
        ("ParentTopic", "h", "{}"),
        (
            "ParentTopic",
            "i",
            "{\"instanceRef\":{\"name\":\"\"},\"topicName\":\"\"}",
        ),
        (
            "ParentTopic",
            "j",
            "{\"instanceRef\":{\"name\":\"a\"},\"partitions\":-2147483648}",
        ),
        (
            "ParentTopic",
            "k",
            "{\"instanceRef\":{\"name\":\"a\"},\"retention\":\"18446744073709551616h\"}",
        ),
        ("MqttUser", "l", "{\"instanceRef\":[]}"),
        (
            "MqttUser",
            "m",
            "{\"instanceRef\":{\"name\":\"a\"},\"username\":\"\"}",
        ),
        (
            "MqttUser",
            "n",
            "{\"instanceRef\":{\"name\":\"a\"},\"acl\":[{\"topic\":\"\",\"action\":\"pub\"}]}",
        ),
    ];
    for (kind, name, spec) in objects {
        let object = format!(
            "{{\"apiVersion\":\"mqtt.isthmus.dev/v1alpha1\",\"kind\":\"{kind}\",\"metadata\":{{\"name\":\"{name}\"}},\"spec\":{spec}}}"
        );
        space.apply(&object);
    }
    for (kind, name, _) in objects {
        let object = space.until(kind, name, "judged", |object| {
            condition(object, "Ready", "status") == "False"
        });
        assert!(
            condition(&object, "Ready", "message").len() > 10,
            "{object}"
        );
    }
    space.kubectl(&["delete", "mqttu,mqttpt,mqtti", "--all", "--timeout", "60s"]);
    loosen(false);
    space.stopped("plant");
}

/// Lets the definitions take any spec, or makes them strict again.
fn loosen(loose: bool) {
    if !loose {
        isthmus_tests::cluster::install(&[]);
        return;
    }
    for kind in ["mqttinstances", "parenttopics", "mqttusers"] {
        let any = r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#;
        let patch = format!(
            "[{{\"op\":\"replace\",\"path\":\"/spec/versions/0/schema/openAPIV3Schema\",\"value\":{{\"type\":\"object\",\"properties\":{{\"spec\":{any},\"status\":{any}}}}}}}]"
        );
        let name = format!("{kind}.mqtt.isthmus.dev");
        try_kubectl(
            &["patch", "crd", &name, "--type", "json", "--patch", &patch],
            "",
        )
        .expect("a looser schema");
    }
}
