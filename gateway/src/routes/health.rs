//! Routes of liveness, readiness and metrics.

use crate::{
    Error,
    error::{Result, Verbatim},
    metrics::plain::plain,
    readiness,
    state::App,
};
use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse as _, Response},
};
use fabric_types::Code;
use http::{HeaderMap, StatusCode, header};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Reports that the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// The query of readiness.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query to OpenAPI")]
pub struct ReadyzParams {
    /// List every check with `ok`, `degraded` or `failed` and the reason.
    verbose: Option<String>,
}

/// Reports that the server is ready: it is not ending, its node receives work, and the registry, the store, the disk
/// and, in a fleet, NATS and the nodes are available. A 503 names the problem; `?verbose` lists every check, with the
/// same status.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), params(ReadyzParams), responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn readyz(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response> {
    let asked = |pair: &str| pair.split('=').next() == Some("verbose");
    let verbose = query.is_some_and(|query| query.split('&').any(asked));
    // Known at once, however long the checks take.
    let ending = readiness::ending_reason(&app).map(ToOwned::to_owned);
    if !verbose && let Some(why) = ending {
        return Err(Error::new(Code::Unavailable, format!("not ready: {why}")));
    }
    let report = readiness::report(&app).await;
    let problem = report.problem().or(ending);
    if verbose {
        let status = if problem.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let last = problem.as_deref().map_or("ready", |_| "not ready");
        let mut response = (status, format!("{}{last}\n", report.text())).into_response();
        // A list for people, also with an error status.
        response.extensions_mut().insert(Verbatim);
        return Ok(response);
    }
    match problem {
        Some(why) => {
            Err(Error::new(Code::Unavailable, format!("not ready: {why}"))
                .hint("GET /readyz?verbose lists every check"))
        }
        None => Ok("ready\n".into_response()),
    }
}

/// Returns the metrics in a format of Prometheus. Requires loopback or an admin token.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response> {
    app.services.node.refresh_metrics();
    readiness::refresh_metrics(&app).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &app.services.metrics.lock())
        .map_err(|e| Error::new(Code::Internal, format!("metrics: {e}")))?;
    let open = crate::extract::text(&headers, "accept").is_some_and(|a| a.contains("application/openmetrics-text"));
    let (kind, text) = if open { (OPEN_METRICS, text) } else { (PROMETHEUS, plain(&text)) };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
