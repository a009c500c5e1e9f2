//! `/healthz`, `/readyz` and `/metrics` of the operator.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// What the probes are told.
#[derive(Debug, Default)]
pub struct Health {
    /// It watches, or waits to be the leader.
    pub ready: AtomicBool,
}

/// Serves for as long as the process lives.
///
/// # Errors
/// The port is taken.
pub async fn serve(port: u16, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener = TcpListener::bind(address).await?;
    let ready = move || {
        let ready = health.ready.load(Ordering::Acquire);
        async move {
            match ready {
                true => (StatusCode::OK, "ready\n"),
                false => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            }
        }
    };
    let figures = move || {
        let text = metrics.text();
        async move {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text)
        }
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "health and metrics are served no more");
        }
    });
    Ok(())
}
