//! What is built is what Kubernetes takes, and a pod is replaced for a reason only.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::{CONFIG_HASH, Kind, Object, Surroundings, build};
use crate::instance::{MqttInstance, ValidInstance, validate};

fn instance(fields: &Value) -> ValidInstance {
    let mut spec = json!({"kafka": {"bootstrapServers": "kafka:9092"}});
    for (key, value) in fields.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let resource: MqttInstance = serde_json::from_value(json!({
        "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttInstance",
        "metadata": {"name": "plant", "namespace": "iot"}, "spec": spec,
    }))
    .unwrap();
    validate(&resource, None).unwrap()
}

#[allow(clippy::needless_pass_by_value, reason = "called with json!")]
fn built(fields: Value) -> Vec<Object> {
    let around = Surroundings {
        image: "isthmus-broker:1".to_owned(),
        owner: json!({
            "apiVersion": "mqtt.isthmus.dev/v1alpha1", "kind": "MqttInstance", "name": "plant",
            "uid": "u", "controller": true,
        }),
        authority: None,
        access: None,
    };
    build(&instance(&fields), &around)
}

fn one(objects: &[Object], kind: Kind, name: &str) -> Value {
    let found = objects.iter().find(|o| o.kind == kind && o.name == name);
    found
        .unwrap_or_else(|| panic!("no {name} among {objects:?}"))
        .body
        .clone()
}

fn pods(objects: &[Object]) -> StatefulSet {
    serde_json::from_value(one(objects, Kind::StatefulSet, "plant")).unwrap()
}

#[test]
fn pods_are_restricted_and_have_no_volume_of_their_own() {
    let set = pods(&built(json!({}))).spec.unwrap();
    assert_eq!(set.volume_claim_templates, None);
    let pod = set.template.spec.unwrap();
    assert_eq!(pod.automount_service_account_token, Some(false));
    let context = pod.security_context.unwrap();
    assert_eq!(context.run_as_non_root, Some(true));
    assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
    let context = pod.containers[0].security_context.clone().unwrap();
    assert_eq!(context.read_only_root_filesystem, Some(true));
    assert_eq!(context.allow_privilege_escalation, Some(false));
    assert_eq!(context.capabilities.unwrap().drop.unwrap(), ["ALL"]);
}

#[test]
fn every_object_is_owned_and_labelled() {
    for object in built(json!({"networkPolicy": {"enabled": true}})) {
        let metadata = &object.body["metadata"];
        assert_eq!(metadata["ownerReferences"][0]["uid"], "u", "{object:?}");
        let labels = &metadata["labels"];
        assert_eq!(labels["app.kubernetes.io/managed-by"], "isthmus-operator");
        assert_eq!(metadata["namespace"], "iot");
    }
}

#[test]
fn only_what_a_broker_reads_at_its_start_replaces_pods() {
    let template = |fields| pods(&built(fields)).spec.unwrap().template;
    let plain = template(json!({}));
    for same in [
        json!({"replicas": 5}),
        json!({"listeners": {"mqtt": {"service": {"type": "NodePort"}}}}),
        json!({"podDisruptionBudget": {"enabled": false}}),
        json!({"deletionPolicy": "Delete"}),
    ] {
        assert_eq!(template(same.clone()), plain, "{same}");
    }
    let hash =
        |fields| template(fields).metadata.unwrap().annotations.unwrap()[CONFIG_HASH].clone();
    let other = hash(json!({"session": {"expiry": "1h"}}));
    assert_ne!(other, hash(json!({})));
}

#[test]
fn each_listener_has_a_service_of_its_own() {
    let objects = built(json!({"listeners": {
        "mqtt": {"service": {"type": "LoadBalancer", "annotations": {"a": "b"},
            "loadBalancerSourceRanges": ["10.0.0.0/8"], "externalTrafficPolicy": "Local"}},
        "ws": {"enabled": true, "port": 80},
    }}));
    let mqtt: Service = serde_json::from_value(one(&objects, Kind::Service, "plant-mqtt")).unwrap();
    assert_eq!(mqtt.metadata.annotations.unwrap()["a"], "b");
    let spec = mqtt.spec.unwrap();
    assert_eq!(spec.type_.as_deref(), Some("LoadBalancer"));
    assert_eq!(spec.external_traffic_policy.as_deref(), Some("Local"));
    let ws: Service = serde_json::from_value(one(&objects, Kind::Service, "plant-ws")).unwrap();
    assert_eq!(ws.spec.unwrap().ports.unwrap()[0].port, 80);
    let brokers = one(&objects, Kind::Service, "plant-brokers");
    assert_eq!(brokers["spec"]["publishNotReadyAddresses"], true);
}

#[test]
fn what_brokers_need_for_kafka_is_in_files_and_not_in_the_configuration() {
    let objects = built(json!({"kafka": {
        "bootstrapServers": "kafka:9093",
        "tls": {"caSecretRef": {"name": "ca", "key": "root.pem"}, "certSecretRef": {"name": "us"}},
        "sasl": {
            "mechanism": "SCRAM-SHA-256", "username": "isthmus",
            "passwordSecretRef": {"name": "login", "key": "word"},
        },
    }}));
    let config = one(&objects, Kind::ConfigMap, "plant-config");
    let config = config["data"]["broker.json"].as_str().unwrap();
    let config: isthmus_config::BrokerConfig = serde_json::from_str(config).unwrap();
    let (tls, sasl) = (config.kafka.tls.unwrap(), config.kafka.sasl.unwrap());
    let pod = pods(&objects).spec.unwrap().template.spec.unwrap();
    let mounts = pod.containers[0].volume_mounts.clone().unwrap();
    let volumes = pod.volumes.unwrap();
    for (path, secret, key) in [
        (tls.ca_file.unwrap(), "ca", "root.pem"),
        (tls.certificate_file.unwrap(), "us", "tls.crt"),
        (tls.key_file.unwrap(), "us", "tls.key"),
        (sasl.password_file, "login", "word"),
    ] {
        let folder = path.parent().unwrap().to_str().unwrap();
        let mount = mounts.iter().find(|m| m.mount_path == folder).unwrap();
        let volume = volumes.iter().find(|v| v.name == mount.name).unwrap();
        let source = volume.secret.clone().unwrap();
        assert_eq!(source.secret_name.as_deref(), Some(secret));
        let file = path.file_name().unwrap().to_str().unwrap();
        let items = source.items.unwrap();
        assert!(
            items.iter().any(|i| i.key == key && i.path == file),
            "{path:?}"
        );
    }
    assert_eq!(sasl.username, "isthmus");
}

#[test]
fn another_password_replaces_pods() {
    let template = |access: Option<&str>| {
        let around = Surroundings {
            image: String::new(),
            owner: json!({}),
            authority: None,
            access: access.map(str::to_owned),
        };
        pods(&build(&instance(&json!({})), &around))
            .spec
            .unwrap()
            .template
    };
    assert_eq!(template(Some("a")), template(Some("a")));
    assert_ne!(template(Some("a")), template(Some("b")));
}

#[test]
fn a_single_broker_has_no_budget() {
    let has = |fields| {
        built(fields)
            .iter()
            .any(|object| object.kind == Kind::PodDisruptionBudget)
    };
    assert!(has(json!({})));
    assert!(!has(json!({"replicas": 1})));
    assert!(!has(json!({"podDisruptionBudget": {"enabled": false}})));
}

#[test]
fn the_configuration_is_one_that_a_broker_reads() {
    let config = one(&built(json!({})), Kind::ConfigMap, "plant-config");
    let text = config["data"]["broker.json"].as_str().unwrap();
    let config: isthmus_config::BrokerConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config.listeners.mqtt.unwrap().address, "0.0.0.0:1883");
}

#[test]
fn prometheus_is_told_where_and_when_only_if_asked() {
    let kinds = |objects: &[Object]| -> Vec<Kind> { objects.iter().map(|o| o.kind).collect() };
    let plain = kinds(&built(json!({})));
    assert!(Kind::OPTIONAL.iter().all(|kind| !plain.contains(kind)));
    let objects = built(json!({
        "limits": {"maxConnections": 1000},
        "monitoring": {
            "podMonitor": {"enabled": true, "interval": "1m", "labels": {"release": "p"}},
            "prometheusRule": {"enabled": true, "thresholdPercent": 80},
        },
    }));
    let monitor = one(&objects, Kind::PodMonitor, "plant");
    assert_eq!(monitor["metadata"]["labels"]["release"], "p");
    assert_eq!(
        monitor["metadata"]["labels"]["app.kubernetes.io/instance"],
        "plant"
    );
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["interval"], "1m");
    let rule = one(&objects, Kind::PrometheusRule, "plant");
    let rules = rule["spec"]["groups"][0]["rules"].as_array().unwrap();
    let expr = |alert: &str| {
        let rule = rules.iter().find(|r| r["alert"] == alert).unwrap();
        rule["expr"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        expr("IsthmusConnections"),
        "isthmus_connections{namespace=\"iot\",pod=~\"plant-[0-9]+\"} > 800"
    );
    assert_eq!(
        expr("IsthmusDeadLetter"),
        "rate(isthmus_downlink_records_total{namespace=\"iot\",pod=~\"plant-[0-9]+\",outcome=\"dead\"}[5m]) > 0"
    );
    let set = one(&objects, Kind::StatefulSet, "plant");
    assert_eq!(
        set["metadata"]["annotations"][super::HAS],
        "PodMonitor,PrometheusRule"
    );
}
