//! What holds between resources.

use super::*;
use crate::local::load::load;

const INSTANCE: &str = "apiVersion: mqtt.isthmus.dev/v1alpha1\nkind: MqttInstance\nmetadata: {name: plant}\nspec: {kafka: {bootstrapServers: \"a:1\", topicPrefix: eu.}}\n";

fn parent(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: mqtt.isthmus.dev/v1alpha1\nkind: ParentTopic\nmetadata: {{name: {name}}}\nspec: {{instanceRef: {{name: plant}}{spec}}}\n"
    )
}

fn user(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: mqtt.isthmus.dev/v1alpha1\nkind: MqttUser\nmetadata: {{name: {name}}}\nspec: {{instanceRef: {{name: plant}}{spec}}}\n"
    )
}

fn secret(name: &str, data: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{{data}}}\n"
    )
}

fn run(text: &str, applied: &Applied) -> Result<Desired, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.yaml");
    std::fs::write(&file, text).unwrap();
    let (manifests, problems) = load(std::slice::from_ref(&file));
    assert!(problems.is_empty(), "{problems:?}");
    let prefix = format!("{}/", folder.path().display());
    desired(&manifests, applied, &[file]).map_err(|problems| {
        problems
            .iter()
            .map(|p| p.to_string().replace(&prefix, ""))
            .collect()
    })
}

fn refused(text: &str) -> Vec<String> {
    run(text, &Applied::default()).unwrap_err()
}

#[test]
fn a_whole_set_is_put_together() {
    let text = [
        INSTANCE,
        &parent("topic-1", ""),
        &user("demo", ", passwordSecretRef: {name: s, key: k}"),
        &user("sensor", ""),
        &secret("s", "k: pw"),
    ];
    let desired = run(&text.concat(), &Applied::default()).unwrap();
    assert_eq!(desired.parents[0].kafka_topic, "eu.topic-1");
    let passwords: Vec<_> = desired.users.iter().map(|u| u.password.clone()).collect();
    assert_eq!(
        passwords,
        [
            Password::Given(b"pw".to_vec()),
            Password::Generated("sensor-mqtt".to_owned())
        ]
    );
    assert!(
        !format!("{desired:?}").contains("112, 119"),
        "the password in the debug text"
    );
}

#[test]
fn every_example_is_accepted() {
    let examples = "../examples"; // cargo runs a test in its package's folder
    for file in crate::local::load::files(Path::new(examples)).unwrap() {
        let (manifests, problems) = load(std::slice::from_ref(&file));
        assert!(problems.is_empty(), "{problems:?}");
        desired(&manifests, &Applied::default(), &[file]).unwrap();
    }
}

#[test]
fn exactly_one_instance() {
    assert_eq!(
        refused(&secret("s", "a: b")),
        ["f.yaml:1: no MqttInstance in the files: local mode runs exactly one"]
    );
    let second = INSTANCE.replace("plant", "other");
    assert_eq!(
        refused(&format!("{INSTANCE}---\n{second}")),
        [
            "f.yaml:8: metadata.name: local mode runs exactly one MqttInstance, there is one at f.yaml:3: start another local mode for this one"
        ]
    );
}

#[test]
fn references_must_lead_somewhere() {
    let text = [
        INSTANCE,
        &parent("a", "").replace("plant", "plent"),
        &parent("b", "").replace("{name: b}", "{name: b, namespace: other}"),
        &user("c", ", passwordSecretRef: {name: nothing}"),
        &user("d", ", passwordSecretRef: {name: s}"),
        &secret("s", "pass: b"),
    ];
    assert_eq!(
        refused(&text.concat()),
        [
            "f.yaml:9: spec.instanceRef.name: no MqttInstance \"plent\" in the files, there is \"plant\"",
            "f.yaml:13: metadata.namespace: the instance is in namespace \"default\": it must be the same",
            "f.yaml:19: spec.passwordSecretRef.name: no Secret default/nothing in the files: add it, or leave passwordSecretRef out to have one generated",
            "f.yaml:24: spec.passwordSecretRef.key: Secret s has no key \"password\", it has pass",
        ]
    );
}

#[test]
fn nothing_is_claimed_twice() {
    let text = [
        INSTANCE,
        &parent("a", ", topicName: t.1"),
        &parent("b", ", topicName: t.1"),
        &parent("c", ", topicName: t_1"),
        &user("d", ", username: x, generatedSecretName: g"),
        &user("x", ", generatedSecretName: g"),
        &user("z", ", generatedSecretName: s"),
        &secret("s", "a: b"),
    ];
    assert_eq!(
        refused(&text.concat()),
        [
            "f.yaml:14: spec.topicName: Kafka topic \"eu.t.1\" is claimed at f.yaml:8 already",
            "f.yaml:19: spec.topicName: Kafka takes '.' and '_' for the same, \"eu.t.1\" at f.yaml:8 is in the way",
            "f.yaml:29: spec.username: username \"x\" is taken at f.yaml:23",
            "f.yaml:29: spec.generatedSecretName: the Secret \"g\" to be generated is already used at f.yaml:23: set another generatedSecretName, or a passwordSecretRef",
            "f.yaml:34: spec.generatedSecretName: the Secret \"s\" to be generated is already used at f.yaml:38: set another generatedSecretName, or a passwordSecretRef",
        ]
    );
}

#[test]
fn a_name_is_checked_with_the_prefix() {
    let text = [
        INSTANCE,
        &parent("a", &format!(", topicName: {}", "a".repeat(249))),
    ]
    .concat();
    let [problem] = refused(&text).try_into().unwrap();
    assert!(
        problem.ends_with("it must have 1 to 249 bytes, the instance's prefix included"),
        "{problem}"
    );
}

#[test]
fn what_was_applied_binds_the_next_run() {
    let first = run(&[INSTANCE, &parent("a", "")].concat(), &Applied::default()).unwrap();
    let applied = Applied {
        instance: Some(first.resource.clone()),
        parents: vec![crate::local::applied::AppliedParent {
            resource: first.parents[0].resource.clone(),
            kafka_topic: "eu.a".to_owned(),
            topic_id: None,
            configs: Default::default(),
        }],
        ..Applied::default()
    };
    let text = [
        &INSTANCE.replace("eu.", "us."),
        parent("a", ", topicName: b").as_str(),
    ]
    .concat();
    assert_eq!(
        run(&text, &applied).unwrap_err(),
        [
            "f.yaml:4: spec.kafka.topicPrefix: cannot be changed: it is part of every topic's name; make a new instance",
            "f.yaml:9: spec.topicName: cannot be changed: make another ParentTopic",
        ]
    );
    assert_eq!(
        run(&INSTANCE.replace("plant", "other"), &applied).unwrap_err(),
        [
            "f.yaml:3: metadata.name: the data here belongs to instance default/plant: stop and use another --data for another instance"
        ]
    );
}
