//! Routes that call a function, synchronously or asynchronously.

use crate::{
    Error, body,
    caller::Caller,
    charged,
    error::Result,
    extract::{PathParams, QueryParams, text},
    functions::ResolvedVersion,
    headers, hosts,
    peers::call_routing::{self, Offered},
    state::App,
};
use axum::{
    Json,
    extract::{OriginalUri, Query, Request, State},
    response::{IntoResponse as _, Response},
};
use fabric_api::invocation::InvokeParams;
use fabric_driver::{Submission, Work};
use fabric_node::Invoke;
use fabric_types::{
    Code,
    function::EntryKind,
    parse_error,
    rest::invocation::{Invocation, InvocationState},
};
use http::{HeaderValue, StatusCode, header, uri::PathAndQuery};
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};

/// Returns `true` if a call's query requests an asynchronous invocation.
pub fn is_for_later(uri: &http::Uri) -> bool {
    Query::<InvokeParams>::try_from_uri(uri).is_ok_and(|how| how.mode.as_deref() == Some("async"))
}

fn params(given: Option<&str>) -> Result<Map<String, Value>> {
    match given {
        None | Some("") => Ok(Map::new()),
        Some(text) => {
            body::check_names(text.as_bytes())?;
            serde_json::from_str(text).map_err(|e| {
                Error::new(
                    Code::InvalidParams,
                    format!("the parameters are not a JSON object: {}", parse_error::plain(&e.to_string())),
                )
            })
        }
    }
}

/// Calls a function. The request body is its input, the response body its output.
#[utoipa::path(post, path = "/functions/{f}/invoke", tag = "invocations",
    params(("f" = String, Path, description = "NAME, NAME@VERSION or NAME:ALIAS"), InvokeParams),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, description = "The result", body = Vec<u8>, content_type = "application/octet-stream"), (status = 202, body = Invocation)))]
pub async fn invoke(
    State(app): State<App>,
    caller: Caller,
    OriginalUri(whole): OriginalUri,
    PathParams(f): PathParams<String>,
    QueryParams(how): QueryParams<InvokeParams>,
    mut request: Request,
) -> Result<Response> {
    let later = match how.mode.as_deref() {
        None | Some("sync") => false,
        Some("async") => true,
        Some(_) => return Err(Error::bad("`mode` is `sync` or `async`")),
    };
    let version = app.functions.resolve_text(&format!("{}/{f}", caller.tenant)).await?;
    let given = how.params.as_deref().or_else(|| text(request.headers(), "fabric-params"));
    let params = params(given)?;
    app.functions.check_params(&version, &params).await?;
    let request = if later {
        request
    } else {
        // Another process needs the prefix `/v1`, which the router removed.
        *request.uri_mut() = whole;
        match call_routing::offer(&app.services.node, app.services.peers.as_deref(), &version, request).await? {
            Offered::Answered(response) => return Ok(response),
            Offered::NotTaken(request) => request,
        }
    };
    let (parts, body) = request.into_parts();
    let limits = app.services.node.policies().of(&caller.tenant).limits(&version.deployment)?;
    let body = charged::collect(body, limits.body_bytes.as_usize(), &charged::payer(&parts.extensions)).await?;
    let content_type = text(&parts.headers, "content-type").map(str::to_owned);
    if version.deployment.entry.kind == EntryKind::Http {
        if later || !params.is_empty() {
            return Err(Error::bad(
                "an http function takes no parameters and answers at once: it is sent `POST /` with the body",
            )
            .hint("send any other request to /f/TENANT/FUNCTION/…"));
        }
        return post(&app, &caller, &version, parts, body).await;
    }
    if later {
        return submit(&app, &caller, &version, Work::Invoke { body, content_type, params }).await;
    }
    let id = caller.invocation_id();
    tracing::Span::current().record("invocation_id", id.as_str());
    let call = Invoke { id: id.clone(), body, content_type, params, fresh: false };
    let done =
        app.services.node.invoke(&version.deployment, call).await.map_err(|f| Error::from(f).about(id.clone()))?;
    let mut response = Response::new(done.body.into());
    let headers = response.headers_mut();
    let kind = done.content_type.as_deref().and_then(|t| HeaderValue::from_str(t).ok());
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(headers::INVOCATION_ID, id);
    }
    headers.insert("fabric-fuel", HeaderValue::from(done.cost.fuel));
    if done.cost.gpu_us > 0 {
        headers.insert("fabric-gpu-us", HeaderValue::from(done.cost.gpu_us));
    }
    headers.insert("fabric-version", version.number.clone());
    headers.insert("fabric-cached", HeaderValue::from_static(if done.cached { "true" } else { "false" }));
    super::objects::harden(headers);
    Ok(response)
}

/// Sends `POST /` with the body to an http function.
async fn post(
    app: &App,
    caller: &Caller,
    version: &ResolvedVersion,
    given: http::request::Parts,
    body: bytes::Bytes,
) -> Result<Response> {
    let id = caller.invocation_id();
    tracing::Span::current().record("invocation_id", id.as_str());
    let mut request = Request::new(http_body_util::Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = hosts::with_path(given.uri, PathAndQuery::from_static("/"))?;
    for name in [header::HOST, header::CONTENT_TYPE, header::ACCEPT] {
        if let Some(value) = given.headers.get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    let mut response = super::http_functions::answer(app, &id, version, request).await?;
    let headers = response.headers_mut();
    headers.insert("fabric-version", version.number.clone());
    // The guest's answer is served from the API's own origin here.
    super::confine::confine(headers, super::confine::HeaderScope::Nothing);
    super::objects::harden(headers);
    Ok(response)
}

async fn submit(app: &App, caller: &Caller, version: &Arc<ResolvedVersion>, work: Work) -> Result<Response> {
    let id = caller.invocation_id().as_job();
    let submission = Submission {
        id: id.clone(),
        tenant: caller.tenant.clone(),
        submitter: caller.name.clone(),
        deployment: Arc::clone(&version.deployment),
        work,
    };
    let job = app.driver()?.submit(submission).await?;
    let id = id.as_invocation();
    let found = app.driver()?.invocation(&caller.tenant, &id, Duration::ZERO).await?;
    let invocation = found.unwrap_or_else(|| Invocation {
        id: id.clone(),
        function: job.function.clone(),
        version: job.version,
        state: InvocationState::Queued,
        created_ms: job.created_ms,
        ended_ms: None,
        fuel: 0,
        gpu_us: 0,
        cached: false,
        result_bytes: None,
        content_type: None,
        result_url: Some(format!("/v1/invocations/{id}/result")),
        error: None,
    });
    let mut response = (StatusCode::ACCEPTED, Json(invocation)).into_response();
    if let Ok(at) = HeaderValue::try_from(format!("/v1/invocations/{id}")) {
        response.headers_mut().insert(header::LOCATION, at);
    }
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(headers::INVOCATION_ID, id);
    }
    Ok(response)
}
