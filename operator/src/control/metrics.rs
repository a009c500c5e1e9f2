//! The operator's figures. Every request to the API server is counted, so that an idle operator can
//! be seen to ask nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::task::{Context, Poll};

use kube::client::Body;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tower::{Layer, Service};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciled {
    kind: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Written {
    kind: String,
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    verb: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Changed {
    what: &'static str,
}

/// The figures.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Reconciled, Counter>,
    seconds: Histogram,
    writes: Family<Written, Counter>,
    requests: Family<Asked, Counter>,
    kafka: Family<Changed, Counter>,
    leader: Gauge<i64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("isthmus_operator");
        let reconciles = Family::default();
        let help = "Reconciles, by kind and how they ended";
        registry.register("reconciles", help, Family::clone(&reconciles));
        let seconds = Histogram::new([0.001, 0.01, 0.1, 1.0, 10.0]);
        registry.register("reconcile_seconds", "How long they took", seconds.clone());
        let writes = Family::default();
        let help = "Objects written to the API server";
        registry.register("kubernetes_writes", help, Family::clone(&writes));
        let requests = Family::default();
        let help = "Requests to the API server; a watch is one";
        registry.register("kubernetes_requests", help, Family::clone(&requests));
        let kafka = Family::default();
        let help = "Changes made in Kafka";
        registry.register("kafka_changes", help, Family::clone(&kafka));
        let leader = Gauge::<i64, AtomicI64>::default();
        registry.register(
            "leader",
            "1: this operator is the one at work",
            leader.clone(),
        );
        Self {
            registry,
            reconciles,
            seconds,
            writes,
            requests,
            kafka,
            leader,
        }
    }
}

impl Metrics {
    /// A reconcile has ended.
    pub fn reconciled(&self, kind: &str, well: bool, seconds: f64) {
        let result = if well { "ok" } else { "error" };
        let kind = kind.to_owned();
        self.reconciles
            .get_or_create(&Reconciled { kind, result })
            .inc();
        self.seconds.observe(seconds);
    }

    /// An object was written.
    pub fn written(&self, kind: &str, what: &'static str) {
        let kind = kind.to_owned();
        self.writes.get_or_create(&Written { kind, what }).inc();
    }

    /// So many things were changed in Kafka.
    pub fn kafka_changed(&self, what: &'static str, count: u64) {
        self.kafka.get_or_create(&Changed { what }).inc_by(count);
    }

    /// This operator is at work from now on, or no longer.
    pub fn set_leader(&self, leader: bool) {
        self.leader.set(leader.into());
    }

    /// In the text format of OpenMetrics.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

/// Counts a client's requests.
#[derive(Clone)]
pub struct Counting(pub Arc<Metrics>);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        let metrics = Arc::clone(&self.0);
        Counted { inner, metrics }
    }
}

/// See [`Counting`].
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S: Service<http::Request<Body>>> Service<http::Request<Body>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> S::Future {
        let verb = request.method().to_string();
        self.metrics.requests.get_or_create(&Asked { verb }).inc();
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.reconciled("ParentTopic", true, 0.1);
        metrics.written("ParentTopic", "status");
        metrics.kafka_changed("topic", 2);
        metrics.set_leader(true);
        let text = metrics.text();
        for line in [
            "isthmus_operator_reconciles_total{kind=\"ParentTopic\",result=\"ok\"} 1",
            "isthmus_operator_kubernetes_writes_total{kind=\"ParentTopic\",what=\"status\"} 1",
            "isthmus_operator_kafka_changes_total{what=\"topic\"} 2",
            "isthmus_operator_leader 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
