//! Whether the server lives and is ready, and its metrics.

use crate::{Error, error::Result, metrics::plain::plain, state::App};
use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use fabric_types::Code;
use http::{HeaderMap, header};
use std::time::Duration;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// The server takes work: it is not stopping, its node is ready, its registry and store answer.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn readyz(State(app): State<App>) -> Result<&'static str> {
    let not = |what: &str| Error::new(Code::Unavailable, format!("not ready: {what}"));
    if app.stopping.is_cancelled() {
        return Err(not("the server is stopping"));
    }
    if !app.services.node.is_ready() {
        return Err(not("the node is starting"));
    }
    if app.services.node.is_leaving() {
        return Err(not("the node is leaving; what is under way ends here"));
    }
    let checks = async {
        app.services.engine.registry.get("sys/ready").await.map_err(|_| not("the registry does not answer"))?;
        app.services.store.check().await.map_err(|_| not("the object store does not answer"))
    };
    tokio::time::timeout(Duration::from_secs(2), checks)
        .await
        .map_err(|_| not("the registry or the object store is slow"))??;
    Ok("ready\n")
}

/// Metrics as Prometheus reads them. Loopback or an admin token.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response> {
    app.services.node.refresh_metrics();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &app.services.metrics.lock())
        .map_err(|e| Error::new(Code::Internal, format!("metrics: {e}")))?;
    let open = crate::extract::text(&headers, "accept").is_some_and(|a| a.contains("application/openmetrics-text"));
    let (kind, text) = if open { (OPEN_METRICS, text) } else { (PROMETHEUS, plain(&text)) };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
