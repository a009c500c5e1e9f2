//! How the pods are reached, and by whom; how many may be evicted.

use serde_json::{Value, json};

use super::{Kind, Maker, Object, put, service_type};
use crate::instance::build::PEERS_PORT;
use crate::instance::deployment::{ListenerService, ServiceType, TrafficPolicy};

pub(super) fn objects(maker: &Maker<'_>) -> Vec<Object> {
    let instance = maker.instance;
    let mut objects = vec![maker.object(
        Kind::Service,
        &format!("{}-brokers", instance.name),
        json!({"spec": {
            "clusterIP": "None",
            // Brokers link to each other before they are ready.
            "publishNotReadyAddresses": true,
            "selector": maker.selector(),
            "ports": [
                {"name": "peers", "port": PEERS_PORT, "targetPort": PEERS_PORT, "protocol": "TCP"},
                {"name": "monitoring", "port": instance.monitoring, "targetPort": "monitoring", "protocol": "TCP"},
            ],
        }}),
    )];
    for (name, port, service) in maker.listeners() {
        let body = listener(maker, name, port, service);
        let name = format!("{}-{name}", instance.name);
        objects.push(maker.object(Kind::Service, &name, body));
    }
    if instance.deployment.network_policy {
        let policy = json!({"spec": network_policy(maker)});
        objects.push(maker.object(Kind::NetworkPolicy, &instance.name, policy));
    }
    // One broker alone could never be evicted.
    if instance.deployment.disruption_budget && instance.replicas > 1 {
        let budget = json!({"spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": maker.selector()},
        }});
        objects.push(maker.object(Kind::PodDisruptionBudget, &instance.name, budget));
    }
    objects
}

fn listener(maker: &Maker<'_>, name: &str, port: u16, service: &ListenerService) -> Value {
    let mut entry = json!({"name": name, "port": port, "targetPort": name, "protocol": "TCP"});
    if let Some(node_port) = service.node_port {
        put(&mut entry, "nodePort", json!(node_port));
    }
    let mut spec = json!({
        "type": service_type(service),
        "selector": maker.selector(),
        "ports": [entry],
    });
    if service.kind != ServiceType::ClusterIP {
        let policy = match service.external_traffic_policy {
            TrafficPolicy::Cluster => "Cluster",
            TrafficPolicy::Local => "Local",
        };
        put(&mut spec, "externalTrafficPolicy", json!(policy));
    }
    if service.kind == ServiceType::LoadBalancer {
        if let Some(class) = &service.load_balancer_class {
            put(&mut spec, "loadBalancerClass", json!(class));
        }
        if !service.load_balancer_source_ranges.is_empty() {
            let ranges = json!(service.load_balancer_source_ranges);
            put(&mut spec, "loadBalancerSourceRanges", ranges);
        }
    }
    json!({"metadata": {"annotations": service.annotations}, "spec": spec})
}

fn network_policy(maker: &Maker<'_>) -> Value {
    let instance = maker.instance;
    let mut open: Vec<Value> = maker
        .listeners()
        .iter()
        .map(|(_, port, _)| json!({"port": port, "protocol": "TCP"}))
        .collect();
    open.push(json!({"port": instance.monitoring, "protocol": "TCP"}));
    json!({
        "podSelector": {"matchLabels": maker.selector()},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": open},
            {
                "from": [{"podSelector": {"matchLabels": maker.selector()}}],
                "ports": [{"port": PEERS_PORT, "protocol": "TCP"}],
            },
        ],
    })
}
