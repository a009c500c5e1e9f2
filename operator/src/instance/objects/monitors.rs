//! What Prometheus's operator is told: where the metrics are, and when to warn.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Kind, Maker, Object, put};

pub(super) fn objects(maker: &Maker<'_>) -> Vec<Object> {
    let of = &maker.instance.deployment;
    let mut objects = Vec::new();
    if of.pod_monitor.enabled {
        let spec = json!({
            "selector": {"matchLabels": maker.selector()},
            "podMetricsEndpoints": [{
                "port": "monitoring", "path": "/metrics", "interval": of.pod_monitor.interval,
            }],
        });
        objects.push(labelled(
            maker,
            Kind::PodMonitor,
            &of.pod_monitor.labels,
            &spec,
        ));
    }
    if of.prometheus_rule.enabled {
        let name = format!(
            "isthmus-{}-{}",
            maker.instance.namespace, maker.instance.name
        );
        let spec = json!({"groups": [{"name": name, "rules": rules(maker)}]});
        let labels = &of.prometheus_rule.labels;
        objects.push(labelled(maker, Kind::PrometheusRule, labels, &spec));
    }
    objects
}

/// The kinds of these objects, as they are noted on the StatefulSet.
pub(super) fn noted(maker: &Maker<'_>) -> Option<String> {
    let kinds: Vec<&str> = objects(maker).iter().map(|o| o.kind.name()).collect();
    (!kinds.is_empty()).then(|| kinds.join(","))
}

/// With labels by which Prometheus finds it; those of the operator stay.
fn labelled(
    maker: &Maker<'_>,
    kind: Kind,
    labels: &BTreeMap<String, String>,
    spec: &Value,
) -> Object {
    let mut object = maker.object(kind, &maker.instance.name, json!({"spec": spec}));
    if let Some(own) = object.body.pointer_mut("/metadata/labels") {
        for (name, value) in labels {
            put(own, name, json!(value));
        }
    }
    object
}

fn rules(maker: &Maker<'_>) -> Vec<Value> {
    let instance = maker.instance;
    let (namespace, name) = (&instance.namespace, &instance.name);
    let pods = format!("namespace=\"{namespace}\",pod=~\"{name}-[0-9]+\"");
    let percent = u64::from(instance.deployment.prometheus_rule.threshold_percent);
    let limits = &instance.limits;
    let used = |alert: &str, metric: &str, limit: u64, field: &str| {
        json!({
            "alert": alert,
            "expr": format!("{metric}{{{pods}}} > {}", share(limit, percent)),
            "for": "5m",
            "labels": {"severity": "warning", "instance": name},
            "annotations": {"summary": format!(
                "{{{{ $labels.pod }}}} has used more than {percent} % of spec.limits.{field}"
            )},
        })
    };
    let counted = |alert: &str, metric: &str, label: &str, summary: &str| {
        let of = if label.is_empty() {
            pods.clone()
        } else {
            format!("{pods},{label}")
        };
        json!({
            "alert": alert,
            "expr": format!("rate({metric}{{{of}}}[5m]) > 0"),
            "for": "5m",
            "labels": {"severity": "warning", "instance": name},
            "annotations": {"summary": format!("{{{{ $labels.pod }}}} {summary}")},
        })
    };
    vec![
        json!({
            "alert": "IsthmusSlotsNotServed",
            "expr": format!("sum(isthmus_slots{{{pods},state=\"open\"}}) < {}", instance.slots),
            "for": "2m",
            "labels": {"severity": "critical", "instance": name},
            "annotations": {"summary": format!(
                "MqttInstance {namespace}/{name} does not serve all of its sessions: see its status"
            )},
        }),
        used(
            "IsthmusConnections",
            "isthmus_connections",
            limits.max_connections.into(),
            "maxConnections",
        ),
        used(
            "IsthmusKafkaBacklog",
            "isthmus_kafka_backlog_bytes",
            limits.max_kafka_backlog_bytes,
            "maxKafkaBacklogBytes",
        ),
        used(
            "IsthmusRetainedMessages",
            "isthmus_retained_messages",
            limits.max_retained_messages.into(),
            "maxRetainedMessages",
        ),
        used(
            "IsthmusRetainedBytes",
            "isthmus_retained_bytes",
            limits.max_retained_bytes,
            "maxRetainedBytes",
        ),
        counted(
            "IsthmusMessagesDropped",
            "isthmus_messages_dropped_total",
            "",
            "drops messages: the label reason says why",
        ),
        counted(
            "IsthmusDeadLetter",
            "isthmus_downlink_records_total",
            "outcome=\"dead\"",
            "puts records into the dead letter: their header error says why",
        ),
        counted(
            "IsthmusConnectionsRefused",
            "isthmus_connections_refused_total",
            "reason=~\"max_connections|accept_failed|busy\"",
            "refuses connections: it is full",
        ),
    ]
}

/// So many percent of a limit, at least nothing.
fn share(limit: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(limit) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}
