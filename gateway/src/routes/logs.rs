//! Routes of logs: pages, or an event stream that follows.

use crate::{
    Error,
    caller::Caller,
    error::Result,
    extract::{PathParams, QueryParams, text},
    state::App,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response, sse::Event},
};
use fabric_api::log::{LogOrder, LogQuery};
use fabric_index::LogFilter;
use fabric_types::{
    id::{InvocationId, JobId},
    rest::{Page, invocation::LogLine},
};
use futures::{StreamExt as _, stream};
use http::HeaderMap;

const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

/// Streams lines as they are written. The id of an event is the number of its line.
async fn follow(app: &App, caller: &Caller, filter: LogFilter, after: Option<i64>) -> Result<Response> {
    let (start, lines) = app.services.index.follow(&caller.tenant, filter, after).await?;
    // An id alone is not an event, but a reader that is disconnected before its first line continues from it.
    let begin = Event::default().id(start.to_string());
    let lines = lines.filter_map(|item| async move {
        match item {
            Ok((number, line)) => Event::default().event("log").id(number.to_string()).json_data(&line).ok(),
            Err(error) => {
                tracing::warn!(%error, "log stream failed");
                None
            }
        }
    });
    super::streams::sse(app, caller, stream::iter([begin]).chain(lines))
}

async fn answer(app: &App, caller: &Caller, headers: &HeaderMap, ask: LogQuery) -> Result<Response> {
    let after = text(headers, "last-event-id").and_then(|t| t.parse().ok());
    if ask.level.as_deref().is_some_and(|level| !LEVELS.contains(&level)) {
        return Err(Error::bad(format!("`level` is one of {}", LEVELS.join(", "))));
    }
    if ask.cursor.as_deref().is_some_and(|c| c.parse::<i64>().is_err()) {
        return Err(Error::invalid_cursor());
    }
    if ask.id_prefix.as_deref().is_some_and(|p| p.len() < 4 || !p.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return Err(Error::bad("`id_prefix` is the beginning of an id, 4 characters or more"));
    }
    let limit = ask.items();
    let filter = LogFilter {
        function: ask.function,
        invocation: ask.invocation.or_else(|| ask.job.map(|j| j.as_invocation())),
        id_prefix: ask.id_prefix.map(|prefix| prefix.to_ascii_uppercase()),
        task: ask.task,
        since_ms: ask.since_ms,
        q: ask.q,
        level: ask.level,
        newest_first: ask.order == Some(LogOrder::Newest),
    };
    if ask.follow == Some(true) {
        return follow(app, caller, filter, after).await;
    }
    let (index, tenant, searches) = (app.services.index.clone(), caller.tenant.clone(), filter.is_search());
    let page = async move { index.logs(&tenant, &filter, ask.cursor.as_deref(), limit).await };
    let page = if searches { app.searches.drive(&caller.tenant, page).await?? } else { page.await? };
    Ok(Json(page).into_response())
}

/// Lists log lines of the tenant.
#[utoipa::path(get, path = "/logs", tag = "logs", params(LogQuery, ("Last-Event-ID" = Option<i64>, Header)), responses((status = 200, body = Page<LogLine>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    QueryParams(ask): QueryParams<LogQuery>,
) -> Result<Response> {
    answer(&app, &caller, &headers, ask).await
}

/// Lists log lines of an invocation.
#[utoipa::path(get, path = "/invocations/{id}/logs", tag = "logs", params(("id" = String, Path), LogQuery, ("Last-Event-ID" = Option<i64>, Header)), responses((status = 200, body = Page<LogLine>)))]
pub async fn of_invocation(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<InvocationId>,
    headers: HeaderMap,
    QueryParams(ask): QueryParams<LogQuery>,
) -> Result<Response> {
    caller.may_see(&id)?;
    answer(&app, &caller, &headers, LogQuery { invocation: Some(id), job: None, ..ask }).await
}

/// Lists log lines of a job.
#[utoipa::path(get, path = "/jobs/{id}/logs", tag = "logs", params(("id" = String, Path), LogQuery, ("Last-Event-ID" = Option<i64>, Header)), responses((status = 200, body = Page<LogLine>)))]
pub async fn of_job(
    State(app): State<App>,
    caller: Caller,
    PathParams(id): PathParams<JobId>,
    headers: HeaderMap,
    QueryParams(ask): QueryParams<LogQuery>,
) -> Result<Response> {
    if app.driver()?.job(&caller.tenant, &id).await?.is_none() {
        return Err(Error::not_found("job", id));
    }
    answer(&app, &caller, &headers, LogQuery { invocation: Some(id.as_invocation()), job: None, ..ask }).await
}
