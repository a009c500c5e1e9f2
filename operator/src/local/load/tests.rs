//! What a user reads when a file is wrong.

use super::*;

fn loaded(text: &str) -> (Manifests, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quickstart.yaml");
    std::fs::write(&file, text).unwrap();
    let (manifests, problems) = load(&[file]);
    let prefix = format!("{}/", folder.path().display());
    (
        manifests,
        problems
            .iter()
            .map(|p| p.to_string().replace(&prefix, ""))
            .collect(),
    )
}

#[test]
fn the_error_names_file_line_and_field() {
    let (_, problems) = loaded(
        "# A comment\napiVersion: mqtt.isthmus.dev/v1alpha1\nkind: MqttInstance\nmetadata:\n  name: quickstart\nspec:\n  kafka:\n    bootstrapServers: localhost:9092\n  listeners:\n    mqtt:\n      enabled: true\n      port: 70000\n",
    );
    assert_eq!(
        problems,
        ["quickstart.yaml:12: spec.listeners.mqtt.port: 70000 is not a port (1 to 65535)"]
    );
}

#[test]
fn faults_of_all_documents_are_collected() {
    let (manifests, problems) = loaded(
        "kind: MqttUser\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\napiVersion: mqtt.isthmus.dev/v1\nkind: MqttUser\n---\napiVersion: mqtt.isthmus.dev/v1alpha1\nkind: MqttUsers\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: A_b}\n---\napiVersion: v1\nkind: Secret\nmetadata: {nam: a}\ndata: {password: ZGVtbw==}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {password: demo!}\n",
    );
    assert_eq!(
        problems,
        [
            "quickstart.yaml:1: a document needs apiVersion and kind",
            "quickstart.yaml:4: kind: \"Deployment\" is none of MqttInstance, ParentTopic, MqttUser, Secret, which is all that local mode applies",
            "quickstart.yaml:7: apiVersion: \"mqtt.isthmus.dev/v1\" is not the version of MqttUser: write mqtt.isthmus.dev/v1alpha1",
            "quickstart.yaml:11: kind: \"MqttUsers\" is none of MqttInstance, ParentTopic, MqttUser, Secret, which is all that local mode applies, did you mean MqttUser?",
            "quickstart.yaml:15: metadata.name: \"A_b\" is no name: use lower-case letters, digits and -",
            "quickstart.yaml:19: metadata.nam: unknown field, did you mean name?",
            "quickstart.yaml:19: metadata.name: is required",
            "quickstart.yaml:25: data.password: is not base64: encode it, or write it as it is under stringData",
        ]
    );
    assert!(manifests.secrets.is_empty());
}

#[test]
fn a_name_stands_once_for_each_kind() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\n";
    let (_, problems) = loaded(&secret.repeat(2));
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    assert!(
        problem
            .starts_with("quickstart.yaml:7: metadata.name: Secret default/a stands already at ")
    );
    assert!(problem.ends_with("quickstart.yaml:3"), "{problem}");
}

#[test]
fn secrets_are_decoded_and_string_data_wins() {
    let (manifests, problems) = loaded(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: iot}\ntype: Opaque\ndata:\n  a: /wAK\n  b: ZGVtbw==\nstringData:\n  b: wins\n",
    );
    assert_eq!(problems, [""; 0]);
    let secret = &manifests.secrets[0].resource;
    assert_eq!(secret.namespace, "iot");
    assert_eq!(secret.data["a"], [255, 0, 10]);
    assert_eq!(secret.data["b"], b"wins");
}

#[test]
fn what_a_cluster_printed_is_read_too() {
    let (manifests, problems) = loaded(
        "apiVersion: mqtt.isthmus.dev/v1alpha1\nkind: ParentTopic\nmetadata:\n  name: t\n  uid: 1\n  creationTimestamp: \"2026-01-01T00:00:00Z\"\n  annotations: {a: b}\nspec: {instanceRef: {name: x}}\nstatus: {conditions: []}\n",
    );
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        manifests.parents[0].resource.metadata.namespace.as_deref(),
        Some("default")
    );
    assert_eq!(manifests.parents[0].resource.status, None);
}

#[test]
fn folders_are_read_by_name_and_absent_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\n");
    std::fs::write(folder.path().join("b.yaml"), secret("b")).unwrap();
    std::fs::write(folder.path().join("a.yml"), secret("a")).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no yaml: [").unwrap();
    let (manifests, problems) = load(&[folder.path().to_path_buf()]);
    assert!(problems.is_empty());
    let names: Vec<_> = manifests
        .secrets
        .iter()
        .map(|s| s.resource.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let (_, problems) = load(&["no/such.yaml".into()]);
    assert!(
        problems[0]
            .to_string()
            .starts_with("no/such.yaml:1: cannot read: No such file")
    );
}
