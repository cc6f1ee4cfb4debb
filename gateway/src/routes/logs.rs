//! Logs: pages, or an event stream that follows.

use crate::{
    Error,
    access::Caller,
    error::Result,
    extract::{Ask, At},
    state::App,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response, sse::Event},
};
use fabric_index::LogFilter;
use fabric_types::{
    id::{FunctionName, InvocationId, JobId},
    rest::{Page, invocation::LogLine},
};
use futures::StreamExt as _;

/// What lines to give.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The function.
    #[param(value_type = Option<String>)]
    function: Option<FunctionName>,
    /// The invocation.
    #[param(value_type = Option<String>)]
    invocation: Option<InvocationId>,
    /// The job.
    #[param(value_type = Option<String>)]
    job: Option<JobId>,
    /// The task, as `stage/index`.
    task: Option<String>,
    /// Written at or after this, milliseconds since 1970.
    since_ms: Option<u64>,
    /// Words that all occur in the message.
    q: Option<String>,
    /// This level and above.
    level: Option<String>,
    /// Server-sent events of lines from now on.
    follow: Option<bool>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Lines on a page, 1 to 1000. Default 100.
    limit: Option<usize>,
}

const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

async fn answer(app: &App, caller: &Caller, ask: Wanted) -> Result<Response> {
    if ask.level.as_deref().is_some_and(|level| !LEVELS.contains(&level)) {
        return Err(Error::bad(format!("`level` is one of {}", LEVELS.join(", "))));
    }
    if ask.cursor.as_deref().is_some_and(|c| c.parse::<i64>().is_err()) {
        return Err(super::cursor::foreign());
    }
    let filter = LogFilter {
        function: ask.function,
        invocation: ask.invocation.or_else(|| ask.job.map(|j| j.as_invocation())),
        task: ask.task,
        since_ms: ask.since_ms,
        q: ask.q,
        level: ask.level,
        newest_first: false,
    };
    if ask.follow == Some(true) {
        let lines = app.services.index.follow(&caller.tenant, filter);
        let events = lines.filter_map(|line| async move { Event::default().event("log").json_data(&line).ok() });
        return super::streams::sse(app, events);
    }
    let limit = ask.limit.unwrap_or(100).clamp(1, 1000);
    let page = app.services.index.logs(&caller.tenant, &filter, ask.cursor.as_deref(), limit).await?;
    Ok(Json(page).into_response())
}

/// Log lines of the tenant.
#[utoipa::path(get, path = "/logs", tag = "logs", params(Wanted), responses((status = 200, body = Page<LogLine>)))]
pub async fn list(State(app): State<App>, caller: Caller, Ask(ask): Ask<Wanted>) -> Result<Response> {
    answer(&app, &caller, ask).await
}

/// Log lines of an invocation.
#[utoipa::path(get, path = "/invocations/{id}/logs", tag = "logs", params(("id" = String, Path), Wanted), responses((status = 200, body = Page<LogLine>)))]
pub async fn of_invocation(
    State(app): State<App>,
    caller: Caller,
    At(id): At<InvocationId>,
    Ask(ask): Ask<Wanted>,
) -> Result<Response> {
    caller.may_see(&id)?;
    answer(&app, &caller, Wanted { invocation: Some(id), job: None, ..ask }).await
}

/// Log lines of a job.
#[utoipa::path(get, path = "/jobs/{id}/logs", tag = "logs", params(("id" = String, Path), Wanted), responses((status = 200, body = Page<LogLine>)))]
pub async fn of_job(
    State(app): State<App>,
    caller: Caller,
    At(id): At<JobId>,
    Ask(ask): Ask<Wanted>,
) -> Result<Response> {
    if app.services.driver.job(&caller.tenant, &id).await?.is_none() {
        return Err(Error::not_found("job", id));
    }
    answer(&app, &caller, Wanted { invocation: Some(id.as_invocation()), job: None, ..ask }).await
}
