//! A Kubernetes cluster as a test sees it: by kubectl and Helm, from where pods and Services answer.
//!
//! `hack/e2e` starts the cluster (or takes that of `KUBECONFIG`) and runs the tests inside it. Each test
//! has a namespace of its own; those that disturb everybody have the cluster for themselves.

mod tools;

use std::io::BufReader;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use serde_json::Value;

use crate::Kafka;
use tools::command;
pub use tools::{helm, install, kubectl, try_kubectl};

/// How long anything may take.
pub const SOON: Duration = Duration::from_secs(120);
/// Where the operator is.
pub const OPERATOR: &str = "isthmus";

static CLUSTER: OnceLock<RwLock<()>> = OnceLock::new();

/// The Kafka that all tests share.
#[must_use]
pub fn kafka() -> &'static Kafka {
    crate::kafka::shared()
}

/// A namespace of a test; gone with it.
pub struct Space {
    /// Its name.
    pub name: String,
    _shared: Option<RwLockReadGuard<'static, ()>>,
    _alone: Option<RwLockWriteGuard<'static, ()>>,
}

fn lock() -> &'static RwLock<()> {
    CLUSTER.get_or_init(|| {
        install(&[]);
        RwLock::default()
    })
}

impl Space {
    /// A namespace under the strictest of Kubernetes' rules for pods.
    #[must_use]
    pub fn new(stem: &str) -> Self {
        let shared = lock().read().unwrap_or_else(PoisonError::into_inner);
        let space = Self {
            name: crate::unique(stem).to_lowercase(),
            _shared: Some(shared),
            _alone: None,
        };
        space.make();
        space
    }

    /// The same, while no other test runs.
    #[must_use]
    pub fn alone(stem: &str) -> Self {
        let alone = lock().write().unwrap_or_else(PoisonError::into_inner);
        let space = Self {
            name: crate::unique(stem).to_lowercase(),
            _shared: None,
            _alone: Some(alone),
        };
        space.make();
        space
    }

    fn make(&self) {
        kubectl(&["create", "namespace", &self.name]);
        let rule = "pod-security.kubernetes.io/enforce=restricted";
        kubectl(&["label", "namespace", &self.name, rule]);
    }

    /// An instance whose topics have the namespace's name in front, and of one small broker or as `spec` says.
    #[must_use]
    pub fn instance(&self, name: &str, spec: &str) -> String {
        let servers = kafka().bootstrap();
        self.instance_at(name, &servers, spec)
    }

    /// The same with another Kafka.
    #[must_use]
    pub fn instance_at(&self, name: &str, servers: &str, spec: &str) -> String {
        let replicas = if spec.contains("replicas:") {
            ""
        } else {
            "replicas: 1, "
        };
        let spec = if spec.is_empty() {
            String::new()
        } else {
            format!(", {spec}")
        };
        format!(
            "apiVersion: mqtt.isthmus.dev/v1alpha1\nkind: MqttInstance\nmetadata: {{name: {name}}}\n\
             spec: {{{replicas}slots: 4, kafka: {{bootstrapServers: \"{servers}\", topicPrefix: \"{}.\"}}{spec}}}\n",
            self.name
        )
    }

    /// A stopped instance that is ready: enough for parent topics and users.
    pub fn stopped(&self, name: &str) {
        self.apply(&self.instance(name, "replicas: 0"));
        self.ready("mqtti", name);
    }

    /// One of the other two kinds for instance `plant`.
    #[must_use]
    pub fn of_plant(kind: &str, name: &str, spec: &str) -> String {
        let spec = if spec.is_empty() {
            String::new()
        } else {
            format!(", {spec}")
        };
        format!(
            "apiVersion: mqtt.isthmus.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n\
             spec: {{instanceRef: {{name: plant}}{spec}}}\n"
        )
    }

    /// Applies and expects it to be taken.
    #[track_caller]
    pub fn apply(&self, yaml: &str) {
        if let Err(said) = self.try_apply(yaml) {
            panic!("{said}\n{yaml}");
        }
    }

    /// Applies.
    ///
    /// # Errors
    /// What the API server says.
    pub fn try_apply(&self, yaml: &str) -> Result<String, String> {
        try_kubectl(
            &["apply", "--namespace", &self.name, "--filename", "-"],
            yaml,
        )
    }

    /// kubectl in this namespace.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["--namespace", &*self.name], arguments].concat())
    }

    /// An object as it is.
    #[track_caller]
    #[must_use]
    pub fn get(&self, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["get", kind, name, "--output", "json"]);
        serde_json::from_str(&text).expect("JSON")
    }

    /// Waits until an object is as wanted, by its changes.
    #[track_caller]
    pub fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let selector = format!("metadata.name={name}");
        let mut child = command(&[
            "--namespace",
            &self.name,
            "get",
            kind,
            "--field-selector",
            &selector,
            "--watch",
            "--output",
            "json",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl");
        let output = child.stdout.take().expect("a pipe");
        let stop = Arc::new(AtomicBool::new(false));
        let watch = end_after(child, SOON, Arc::clone(&stop));
        let objects = serde_json::Deserializer::from_reader(BufReader::new(output));
        let mut last = Value::Null;
        for object in objects.into_iter::<Value>() {
            let Ok(object) = object else { break };
            last = object;
            if wanted(&last) {
                stop.store(true, Ordering::Release);
                let _ = watch.join();
                return last;
            }
        }
        stop.store(true, Ordering::Release);
        let _ = watch.join();
        let events = self.kubectl(&["get", "events"]);
        panic!(
            "{kind} {name} is not {what} within {SOON:?}: {last:#}\n{events}\n{}",
            operator_log()
        );
    }

    /// Waits until `Ready` is true for the present generation.
    #[track_caller]
    pub fn ready(&self, kind: &str, name: &str) -> Value {
        self.until(kind, name, "ready", |object| {
            let seen = object.pointer("/status/observedGeneration");
            condition(object, "Ready", "status") == "True"
                && seen == object.pointer("/metadata/generation")
        })
    }

    /// Waits until `Ready` is false, or unknown, for this reason; its message.
    #[track_caller]
    pub fn refused(&self, kind: &str, name: &str, reason: &str) -> String {
        let object = self.until(kind, name, reason, |object| {
            condition(object, "Ready", "reason") == reason
        });
        assert_ne!(condition(&object, "Ready", "status"), "True");
        condition(&object, "Ready", "message")
    }

    /// Where the devices of an instance connect.
    #[must_use]
    pub fn address(&self, instance: &str) -> String {
        let service = self.get("service", &format!("{instance}-mqtt"));
        let ip = service["spec"]["clusterIP"].as_str().expect("an address");
        format!("{ip}:1883")
    }

    /// A key of a Secret.
    #[must_use]
    pub fn secret(&self, name: &str, key: &str) -> String {
        let path = format!("go-template={{{{index .data \"{key}\" | base64decode}}}}");
        self.kubectl(&["get", "secret", name, "--output", &path])
    }

    /// The Kafka topic of a parent.
    #[must_use]
    pub fn topic(&self, parent: &str) -> String {
        format!("{}.{parent}", self.name)
    }

    /// Waits for an event of this reason; its note.
    #[track_caller]
    pub fn event(&self, reason: &str) -> String {
        crate::eventually(&format!("an event {reason}"), SOON, || {
            let path = "jsonpath={.items[*].message}";
            let select = format!("reason={reason}");
            let said = self.kubectl(&[
                "get",
                "events",
                "--field-selector",
                &select,
                "--output",
                path,
            ]);
            (!said.is_empty()).then_some(said)
        })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let kinds = "mqttu,mqttpt,mqtti";
        let _ = try_kubectl(
            &[
                "--namespace",
                &self.name,
                "delete",
                kinds,
                "--all",
                "--wait=false",
            ],
            "",
        );
        let _ = try_kubectl(&["delete", "namespace", &self.name, "--wait=false"], "");
    }
}

/// Ends a child after a while, or when it is not needed any more.
fn end_after(
    mut child: Child,
    after: Duration,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let deadline = std::time::Instant::now() + after;
        while std::time::Instant::now() < deadline && !stop.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    })
}

/// A field of a condition; empty where there is none.
#[must_use]
pub fn condition(object: &Value, kind: &str, field: &str) -> String {
    let conditions = object
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|c| c["type"] == kind);
    found
        .and_then(|found| found[field].as_str())
        .unwrap_or_default()
        .to_owned()
}

/// The end of the operator's log.
#[must_use]
pub fn operator_log() -> String {
    let select = "app.kubernetes.io/name=isthmus-operator";
    try_kubectl(
        &[
            "--namespace",
            OPERATOR,
            "logs",
            "--selector",
            select,
            "--tail",
            "40",
            "--prefix",
        ],
        "",
    )
    .unwrap_or_else(|said| said)
}

/// A figure of the operator that is at work, summed over its series.
#[track_caller]
#[must_use]
pub fn figure(name: &str) -> u64 {
    let text = operator_figures();
    text.lines()
        .filter(|line| line.starts_with(name) && !line.starts_with('#'))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .map(|value| value as u64)
        .sum()
}

/// The figures of the operator that is at work.
#[track_caller]
#[must_use]
pub fn operator_figures() -> String {
    let path =
        format!("/api/v1/namespaces/{OPERATOR}/services/isthmus-metrics:monitoring/proxy/metrics");
    crate::eventually("the operator at work answers", SOON, || {
        // Between two leaders the Service may have nobody behind it.
        let figures = try_kubectl(&["get", "--raw", &path], "").ok()?;
        figures
            .contains("isthmus_operator_leader 1")
            .then_some(figures)
    })
}
