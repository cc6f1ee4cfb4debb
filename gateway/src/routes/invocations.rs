//! Routes of invocations: list, wait, result, cancel.

use crate::{
    Error,
    caller::Caller,
    error::Result,
    extract::{PathParams, QueryParams},
    state::App,
};
use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use fabric_api::invocation::{InvocationQuery, WaitParams};
use fabric_index::InvocationFilter;
use fabric_types::{
    Code,
    id::InvocationId,
    rest::{
        Page,
        invocation::{Invocation, InvocationState},
    },
};
use std::time::Duration;

/// Maximum wait of a long poll, in seconds.
const MAX_WAIT_S: u64 = 60;

/// Returns the requested wait, within its bounds.
pub(super) fn poll_duration(wait: Option<u64>) -> Duration {
    Duration::from_secs(wait.unwrap_or(0).min(MAX_WAIT_S))
}

/// Lists invocations, newest first.
#[utoipa::path(get, path = "/invocations", tag = "invocations", params(InvocationQuery), responses((status = 200, body = Page<Invocation>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    QueryParams(ask): QueryParams<InvocationQuery>,
) -> Result<Json<Page<Invocation>>> {
    let limit = ask.items();
    let filter = InvocationFilter {
        states: ask.state.into_iter().collect(),
        function: ask.function,
        since_ms: ask.since_ms,
        until_ms: None,
    };
    if ask.cursor.as_deref().is_some_and(|c| InvocationId::new(c).is_err()) {
        return Err(Error::invalid_cursor());
    }
    Ok(Json(app.services.index.invocations(&caller.tenant, &filter, ask.cursor.as_deref(), limit).await?))
}

async fn find(app: &App, caller: &Caller, id: &InvocationId, wait: Duration) -> Result<Invocation> {
    caller.may_see(id)?;
    if let Some(mut found) = app.driver()?.invocation(&caller.tenant, id, wait).await? {
        // The record of the result has its content type; the job does not.
        if found.state == InvocationState::Succeeded
            && let Some(output) = app.driver()?.outputs(&caller.tenant, &id.as_job()).await?.first()
        {
            let record = app.services.results.find(&caller.tenant, &[output.key]).await?.into_iter().flatten().next();
            found.content_type = record.and_then(|(_, record)| record.content_type);
        }
        return Ok(found);
    }
    // A synchronous call is not a job: only the index has a record of it.
    let found = app.services.index.invocation(&caller.tenant, id).await?;
    found.ok_or_else(|| Error::not_found("invocation", id))
}

/// Returns one invocation. With `wait`, waits for its end.
#[utoipa::path(get, path = "/invocations/{id}", tag = "invocations", params(("id" = String, Path), WaitParams), responses((status = 200, body = Invocation)))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<InvocationId>,
    QueryParams(ask): QueryParams<WaitParams>,
) -> Result<Json<Invocation>> {
    find(&app, &caller, &id, poll_duration(ask.wait)).await.map(Json)
}

/// Returns the result of an asynchronous invocation.
#[utoipa::path(get, path = "/invocations/{id}/result", tag = "invocations", params(("id" = String, Path)), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub async fn result(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<InvocationId>,
    request: Request,
) -> Result<Response> {
    let invocation = find(&app, &caller, &id, Duration::ZERO).await?;
    match (invocation.state, invocation.error) {
        (InvocationState::Succeeded, _) => {}
        (InvocationState::Failed, Some(fault)) => return Err(Error::from(fault).about(id)),
        (InvocationState::Cancelled, _) => {
            return Err(Error::new(Code::Cancelled, "the invocation was cancelled").about(id));
        }
        _ => {
            return Err(
                Error::not_found("result yet of invocation", &id).hint("wait with `GET /v1/invocations/{id}?wait=60`")
            );
        }
    }
    let outputs = match app.driver()?.outputs(&caller.tenant, &id.as_job()).await {
        Err(fault) if fault.code == Code::NotFound => {
            return Err(Error::not_found("stored result of invocation", &id)
                .hint("the caller of a synchronous call received it; call with `mode=async` to have it stored"));
        }
        outputs => outputs?,
    };
    let output = outputs.first().ok_or_else(|| Error::not_found("result of invocation", &id))?;
    super::results::send(&app, &caller.tenant, output, request.headers()).await
}

/// Cancels an invocation.
#[utoipa::path(post, path = "/invocations/{id}/cancel", tag = "invocations", params(("id" = String, Path)), responses((status = 200, body = Invocation)))]
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<InvocationId>,
) -> Result<Json<Invocation>> {
    caller.may_see(&id)?;
    let cancelled = app.driver()?.cancel(&caller.tenant, &id.as_job()).await;
    let found = find(&app, &caller, &id, Duration::ZERO).await?;
    match cancelled {
        // A synchronous call is no job. Its record is written at its end.
        Err(fault) if fault.code == Code::NotFound => {
            Err(Error::new(Code::Conflict, format!("invocation {id} has ended: {}", found.state)))
        }
        cancelled => cancelled.map(|_| Json(found)).map_err(Into::into),
    }
}
