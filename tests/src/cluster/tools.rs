//! kubectl and Helm.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::OPERATOR;
use crate::parts;

/// Installs or upgrades the chart with these values besides the images of this build.
pub fn install(values: &[&str]) {
    let chart = parts::repository().join("charts/isthmus");
    let image = |name: &str| {
        let variable = format!("ISTHMUS_{}_IMAGE", name.to_uppercase());
        std::env::var(variable).unwrap_or_else(|_| format!("docker.io/library/isthmus-{name}:dev"))
    };
    let operator = image("operator");
    let (repository, tag) = operator.rsplit_once(':').expect("an image with a tag");
    let set = format!(
        "image.repository={repository},image.tag={tag},logFormat=text,brokerImage={}",
        image("broker")
    );
    let chart = chart.display().to_string();
    let mut arguments = vec![
        "upgrade",
        "--install",
        "isthmus",
        &chart,
        "--namespace",
        OPERATOR,
        "--create-namespace",
        // A test may have changed what is the chart's.
        "--force-conflicts",
        "--wait",
        "--timeout",
        "120s",
        "--set",
        &set,
    ];
    for value in values {
        arguments.extend(["--set", value]);
    }
    helm(&arguments);
}

/// Runs Helm and expects success.
#[track_caller]
pub fn helm(arguments: &[&str]) -> String {
    let helm = std::env::var("ISTHMUS_HELM").unwrap_or_else(|_| "helm".to_owned());
    let output = Command::new(helm).args(arguments).output().expect("helm");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm {arguments:?}: {said}");
    text
}

pub(super) fn command(arguments: &[&str]) -> Command {
    let kubectl = std::env::var("ISTHMUS_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
    let mut command = Command::new("/bin/sh");
    // The one program that holds all of Kubernetes takes kubectl as its first word.
    let script = format!("exec {kubectl} \"$@\"");
    command.args(["-c", &script, "kubectl"]).args(arguments);
    command
}

/// Runs kubectl; what it printed, or what it complained of.
///
/// # Errors
/// Its complaint.
pub fn try_kubectl(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("kubectl reads");
    drop(stdin);
    let output = child.wait_with_output().expect("kubectl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// Runs kubectl and expects success.
#[track_caller]
pub fn kubectl(arguments: &[&str]) -> String {
    match try_kubectl(arguments, "") {
        Ok(said) => said,
        Err(said) => panic!("kubectl {arguments:?}: {said}"),
    }
}
