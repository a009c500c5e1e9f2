//! The StatefulSet and its pods: no volume of their own, no rights, replaced one at a time.

use serde_json::{Value, json};

use super::{CONFIG, CONFIG_HASH, HAS, Kind, Maker, Object, PREFIX, SLOTS};
use super::{authority_secret, kafka, monitors, put};
use crate::instance::build::PEERS_PORT;
use crate::instance::deployment::PullPolicy;

/// The user that the image's files belong to.
const USER: i64 = 65532;

pub(super) fn stateful_set(maker: &Maker<'_>, config: &str) -> Object {
    let instance = maker.instance;
    let spec = json!({
        "replicas": instance.replicas,
        "serviceName": format!("{}-brokers", instance.name),
        // They wait for nobody at their start; updates take one at a time all the same.
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": maker.selector()},
        "template": template(maker, config),
    });
    let mut annotations = json!({
        SLOTS: instance.slots.to_string(),
        PREFIX: instance.topic_prefix,
    });
    if let Some(has) = monitors::noted(maker) {
        put(&mut annotations, HAS, json!(has));
    }
    let body = json!({"metadata": {"annotations": annotations}, "spec": spec});
    maker.object(Kind::StatefulSet, &instance.name, body)
}

fn template(maker: &Maker<'_>, config: &str) -> Value {
    let instance = maker.instance;
    let pod = &instance.deployment.pod;
    let mut labels = json!(pod.labels);
    for (name, value) in maker.labels() {
        put(&mut labels, name, json!(value));
    }
    let mut annotations = json!(pod.annotations);
    let read = match &maker.around.access {
        None => config.to_owned(),
        Some(access) => format!("{config}{access}"),
    };
    put(&mut annotations, CONFIG_HASH, json!(hash(&read)));
    let spread = json!({"podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100,
            "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": maker.selector()},
            },
        }],
    }});
    let (volumes, mounts) = kafka::volumes(instance);
    let account = pod.service_account_name.as_ref().unwrap_or(&instance.name);
    let mut spec = json!({
        "serviceAccountName": account,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": pod.termination_grace_period_seconds,
        "affinity": pod.affinity.clone().unwrap_or(spread),
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container(maker, mounts)],
        "volumes": [
            {"name": "config", "configMap": {"name": format!("{}-config", instance.name)}},
            {"name": "ca", "secret": {
                "secretName": authority_secret(&instance.name), "defaultMode": 0o440,
            }},
        ],
    });
    extend(&mut spec, "volumes", volumes);
    let optional = [
        ("nodeSelector", json!(pod.node_selector)),
        ("tolerations", json!(pod.tolerations)),
        (
            "topologySpreadConstraints",
            json!(pod.topology_spread_constraints),
        ),
        ("priorityClassName", json!(pod.priority_class_name)),
        ("imagePullSecrets", json!(instance.deployment.pull_secrets)),
    ];
    for (name, value) in optional {
        let empty = value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty);
        if !empty {
            put(&mut spec, name, value);
        }
    }
    json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
}

fn container(maker: &Maker<'_>, mounts: Vec<Value>) -> Value {
    let instance = maker.instance;
    let address = format!(
        "$(POD_NAME).{}-brokers.{}.svc:{PEERS_PORT}",
        instance.name, instance.namespace
    );
    let mut ports: Vec<Value> = maker
        .listeners()
        .iter()
        .map(|(name, port, _)| json!({"name": name, "containerPort": port, "protocol": "TCP"}))
        .collect();
    ports.push(json!({"name": "peers", "containerPort": PEERS_PORT, "protocol": "TCP"}));
    ports.push(
        json!({"name": "monitoring", "containerPort": instance.monitoring, "protocol": "TCP"}),
    );
    let probe = |path: &str, period: i32, failures: i32| {
        json!({
            "httpGet": {"path": path, "port": "monitoring"},
            "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 3,
        })
    };
    let pull = match instance.deployment.pull_policy {
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Always => "Always",
        PullPolicy::Never => "Never",
    };
    let mut container = json!({
        "name": "broker",
        "image": maker.image(),
        "imagePullPolicy": pull,
        "args": [
            "--config", format!("{CONFIG}/config/broker.json"),
            "--node", "$(POD_NAME)",
            "--advertised", address,
        ],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "ISTHMUS_LOG_FORMAT", "value": "json"},
        ],
        "ports": ports,
        // A broker without Kafka lives on: only one that does not answer at all is restarted.
        "livenessProbe": probe("/healthz", 10, 6),
        "readinessProbe": probe("/readyz", 2, 2),
        "startupProbe": probe("/healthz", 1, 60),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": format!("{CONFIG}/config"), "readOnly": true},
            {"name": "ca", "mountPath": format!("{CONFIG}/ca"), "readOnly": true},
        ],
    });
    extend(&mut container, "volumeMounts", mounts);
    if let Some(resources) = &instance.deployment.resources {
        put(&mut container, "resources", resources.clone());
    }
    container
}

fn extend(of: &mut Value, field: &str, more: Vec<Value>) {
    if let Some(Value::Array(list)) = of.get_mut(field) {
        list.extend(more);
    }
}

/// FNV-1a: equal texts have equal hashes, whatever the release of the operator.
fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}
