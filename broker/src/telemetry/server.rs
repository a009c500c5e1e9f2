//! HTTP on `monitoring.address`: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::health::{NotReady, Readiness};
use super::metrics::Metrics;

/// Says whether the process lives, or what is stuck.
pub type Liveness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the monitoring server shows.
#[derive(Clone)]
pub struct Monitoring {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub readiness: Readiness,
    /// For `/healthz`.
    pub liveness: Liveness,
}

#[derive(serde::Serialize)]
struct Ready {
    ready: bool,
    reasons: Vec<NotReady>,
}

/// Serves until `shutdown`.
///
/// # Errors
/// When the socket fails for good.
pub async fn run(
    listener: tokio::net::TcpListener,
    monitoring: Monitoring,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(monitoring);
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
}

async fn healthz(State(monitoring): State<Monitoring>) -> Response {
    match (monitoring.liveness)() {
        Ok(()) => "ok\n".into_response(),
        Err(stuck) => (StatusCode::SERVICE_UNAVAILABLE, format!("{stuck}\n")).into_response(),
    }
}

async fn readyz(State(monitoring): State<Monitoring>) -> Response {
    let reasons = monitoring.readiness.reasons();
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    match serde_json::to_string(&Ready { ready, reasons }) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn metrics(State(monitoring): State<Monitoring>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match monitoring.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_readiness_and_metrics_are_served() {
        let readiness = Readiness::new(&["kafka"]);
        let alive = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let asked = alive.clone();
        let liveness: Liveness = Arc::new(move || {
            let alive = asked.load(std::sync::atomic::Ordering::Relaxed);
            if alive {
                Ok(())
            } else {
                Err("shard 1 is stuck".to_owned())
            }
        });
        let monitoring = Monitoring {
            metrics: Arc::new(Metrics::new()),
            readiness: readiness.clone(),
            liveness,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(run(listener, monitoring, async {
            let _ = stopped.await;
        }));

        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        alive.store(false, std::sync::atomic::Ordering::Relaxed);
        let sick = fetch(address, "/healthz").await;
        assert!(
            sick.starts_with("HTTP/1.1 503") && sick.contains("shard 1 is stuck"),
            "{sick}"
        );
        let starting = fetch(address, "/readyz").await;
        assert!(starting.starts_with("HTTP/1.1 503"), "{starting}");
        let body = r#"{"ready":false,"reasons":[{"condition":"kafka","reason":"starting"}]}"#;
        assert!(starting.ends_with(body), "{starting}");
        readiness.set_ready("kafka");
        assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let metrics = fetch(address, "/metrics").await;
        assert!(metrics.contains("isthmus_connections 0\n"), "{metrics}");
        assert!(fetch(address, "/").await.starts_with("HTTP/1.1 404"));
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }
}
