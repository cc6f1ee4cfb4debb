//! Invocations: list, wait, result, cancel.

use crate::{
    Error,
    access::Caller,
    error::Result,
    extract::{Ask, At},
    state::App,
};
use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use fabric_index::InvocationFilter;
use fabric_types::{
    Code,
    id::{FunctionName, InvocationId},
    rest::{
        Page,
        invocation::{Invocation, InvocationState},
    },
};
use std::time::Duration;

/// Longest wait of a long poll, seconds.
const MAX_WAIT_S: u64 = 60;

/// The wait that a caller asks for, in its bounds.
pub(super) fn patience(wait: Option<u64>) -> Duration {
    Duration::from_secs(wait.unwrap_or(0).min(MAX_WAIT_S))
}

/// What invocations to list.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The function.
    #[param(value_type = Option<String>)]
    function: Option<FunctionName>,
    /// Where they stand.
    state: Option<InvocationState>,
    /// Accepted at or after this, milliseconds since 1970.
    since_ms: Option<u64>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Things on a page, 1 to 1000. Default 100.
    limit: Option<usize>,
}

/// How long to wait.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Seconds to wait for the end, at most 60. Default 0.
    pub wait: Option<u64>,
}

/// Lists invocations, newest first.
#[utoipa::path(get, path = "/invocations", tag = "invocations", params(Wanted), responses((status = 200, body = Page<Invocation>)))]
pub async fn list(State(app): State<App>, caller: Caller, Ask(ask): Ask<Wanted>) -> Result<Json<Page<Invocation>>> {
    let filter = InvocationFilter {
        states: ask.state.into_iter().collect(),
        function: ask.function,
        since_ms: ask.since_ms,
        until_ms: None,
    };
    let limit = ask.limit.unwrap_or(100).clamp(1, 1000);
    if ask.cursor.as_deref().is_some_and(|c| InvocationId::new(c).is_err()) {
        return Err(super::cursor::foreign());
    }
    Ok(Json(app.services.index.invocations(&caller.tenant, &filter, ask.cursor.as_deref(), limit).await?))
}

async fn find(app: &App, caller: &Caller, id: &InvocationId, wait: Duration) -> Result<Invocation> {
    caller.may_see(id)?;
    if let Some(mut found) = app.driver()?.invocation(&caller.tenant, id, wait).await? {
        // The result's record knows its type; the job does not.
        if found.state == InvocationState::Succeeded
            && let Some(output) = app.driver()?.outputs(&caller.tenant, &id.as_job()).await?.first()
        {
            let record = app.services.results.find(&caller.tenant, &[output.key]).await?.into_iter().flatten().next();
            found.content_type = record.and_then(|(_, record)| record.content_type);
        }
        return Ok(found);
    }
    // A synchronous call is no job: the index alone remembers it.
    let found = app.services.index.invocation(&caller.tenant, id).await?;
    found.ok_or_else(|| Error::not_found("invocation", id))
}

/// One invocation; with `wait`, once it has ended.
#[utoipa::path(get, path = "/invocations/{id}", tag = "invocations", params(("id" = String, Path), Wait), responses((status = 200, body = Invocation)))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    At(id): At<InvocationId>,
    Ask(ask): Ask<Wait>,
) -> Result<Json<Invocation>> {
    find(&app, &caller, &id, patience(ask.wait)).await.map(Json)
}

/// The result of an asynchronous invocation.
#[utoipa::path(get, path = "/invocations/{id}/result", tag = "invocations", params(("id" = String, Path)), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub async fn result(
    State(app): State<App>,
    caller: Caller,
    At(id): At<InvocationId>,
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
    let outputs = app.driver()?.outputs(&caller.tenant, &id.as_job()).await?;
    let output = outputs.first().ok_or_else(|| Error::not_found("result of invocation", &id))?;
    super::results::send(&app, &caller.tenant, output, request.headers()).await
}

/// Stops an invocation.
#[utoipa::path(post, path = "/invocations/{id}/cancel", tag = "invocations", params(("id" = String, Path)), responses((status = 200, body = Invocation)))]
pub async fn cancel(State(app): State<App>, caller: Caller, At(id): At<InvocationId>) -> Result<Json<Invocation>> {
    caller.may_see(&id)?;
    app.driver()?.cancel(&caller.tenant, &id.as_job()).await?;
    find(&app, &caller, &id, Duration::ZERO).await.map(Json)
}
