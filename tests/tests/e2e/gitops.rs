//! What Argo CD and Flux make of the three kinds, and the examples as they lie there.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use isthmus_tests::cluster::{Space, kubectl, try_kubectl};
use isthmus_tests::parts;
use serde_json::Value;

fn examples() -> PathBuf {
    parts::repository().join("examples")
}

/// Every YAML file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
#[ignore = "make e2e"]
fn everything_below_examples_is_taken_as_it_is_written() {
    let space = Space::new("written");
    let group = "mqtt.isthmus.dev/";
    let mut ours = 0;
    for path in files(&examples()) {
        let text = std::fs::read_to_string(&path).expect("an example");
        for document in text.split("\n---\n") {
            let version = document
                .lines()
                .find_map(|l| l.strip_prefix("apiVersion: "));
            // Kinds of Argo CD and Flux are not known here.
            let known =
                version.is_some_and(|version| version.starts_with(group) || version == "v1");
            if !known || document.contains("\n  namespace: ") {
                continue;
            }
            let arguments = [
                "--namespace",
                &space.name,
                "--dry-run=server",
                "--filename",
                "-",
            ];
            let said = try_kubectl(&[&["apply"], &arguments[..]].concat(), document);
            said.unwrap_or_else(|said| panic!("{}: {said}\n{document}", path.display()));
            ours += usize::from(document.contains(group));
        }
    }
    assert!(ours >= 7, "{ours} of our resources in examples/");
}

/// A value as Lua writes it.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => {
            let bytes = text.bytes().map(|byte| format!("\\{byte:03}"));
            format!("\"{}\"", bytes.collect::<String>())
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(lua).collect();
            format!("{{{}}}", items.join(","))
        }
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let key = lua(&Value::from(key.as_str()));
                format!("[{key}]={}", lua(value))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
    }
}

/// What Argo CD says of an object, and its message.
fn health(object: &Value) -> (String, String) {
    let file = examples()
        .join("gitops/argocd/health.yaml")
        .display()
        .to_string();
    let text = kubectl(&[
        "create",
        "--dry-run=client",
        "--output",
        "json",
        "--filename",
        &file,
    ]);
    let map: Value = serde_json::from_str(&text).expect("JSON");
    let kind = object["kind"].as_str().expect("a kind");
    let key = format!("resource.customizations.health.mqtt.isthmus.dev_{kind}");
    let script = map["data"][&key].as_str().expect("health of this kind");
    let program = format!(
        "local function health(obj)\n{script}\nend\nlocal said = health({})\n\
         print(said.status)\nprint(said.message)\n",
        lua(object)
    );
    let mut process = Command::new("lua5.1")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("lua5.1");
    let mut stdin = process.stdin.take().expect("a pipe");
    stdin.write_all(program.as_bytes()).expect("lua reads");
    drop(stdin);
    let output = process.wait_with_output().expect("lua");
    assert!(output.status.success(), "{program}");
    let said = String::from_utf8(output.stdout).expect("text");
    let (status, message) = said.split_once('\n').expect("two lines");
    (status.to_owned(), message.trim_end().to_owned())
}

#[test]
#[ignore = "make e2e"]
fn argo_cd_sees_what_is_well_what_is_stuck_and_what_is_paused() {
    let space = Space::new("argo");
    space.stopped("plant");
    space.apply(&Space::of_plant("ParentTopic", "well", "topicName: t"));
    let well = space.ready("mqttpt", "well");
    assert_eq!(health(&well).0, "Healthy");
    assert_eq!(health(&space.get("mqtti", "plant")).0, "Healthy");

    let mut changed = well;
    changed["metadata"]["generation"] = Value::from(99);
    assert_eq!(health(&changed).0, "Progressing");
    changed["status"] = Value::Null;
    assert_eq!(health(&changed).0, "Progressing");

    space.apply(&Space::of_plant("ParentTopic", "second", "topicName: t"));
    let said = space.refused("mqttpt", "second", "TopicClaimed");
    let stuck = health(&space.get("mqttpt", "second"));
    assert_ne!(stuck.0, "Healthy");
    assert_eq!(stuck.1, said.trim_end());

    space.apply(&Space::of_plant("MqttUser", "paused", "suspend: true"));
    space.refused("mqttu", "paused", "Suspended");
    assert_eq!(health(&space.get("mqttu", "paused")).0, "Suspended");
}
