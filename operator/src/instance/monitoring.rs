//! `spec.monitoring`: health, metrics, and who collects them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::values::Duration;

/// Health and metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Monitoring {
    /// The port of `/healthz`, `/readyz` and `/metrics`.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Prometheus collects the metrics, by its operator.
    pub pod_monitor: PodMonitor,
    /// Prometheus warns, by its operator.
    pub prometheus_rule: PrometheusRule,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self {
            port: 9090,
            pod_monitor: PodMonitor::default(),
            prometheus_rule: PrometheusRule::default(),
        }
    }
}

/// A `PodMonitor`, made where the cluster knows this kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodMonitor {
    /// Whether it is made.
    pub enabled: bool,
    /// How often metrics are collected.
    pub interval: Duration,
    /// Labels by which Prometheus finds it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub labels: BTreeMap<String, String>,
}

impl Default for PodMonitor {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: "30s".into(),
            labels: BTreeMap::new(),
        }
    }
}

/// A `PrometheusRule`, made where the cluster knows this kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PrometheusRule {
    /// Whether it is made.
    pub enabled: bool,
    /// Warn when so much of a limit is used, percent.
    #[schemars(range(min = 1, max = 100))]
    pub threshold_percent: u8,
    /// Labels by which Prometheus finds it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub labels: BTreeMap<String, String>,
}

impl Default for PrometheusRule {
    fn default() -> Self {
        Self {
            enabled: false,
            threshold_percent: 70,
            labels: BTreeMap::new(),
        }
    }
}
