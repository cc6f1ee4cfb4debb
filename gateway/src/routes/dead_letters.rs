//! Dead letters: tasks that were given up.

use super::cursor::foreign;
use crate::{access::Caller, error::Result, extract::QueryParams, state::App};
use axum::{Json, extract::State};
use fabric_index::LetterCursor;
use fabric_types::{
    id::JobId,
    rest::{Page, job::DeadLetter},
};

/// The query of a list of dead letters.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListDeadLetters {
    /// Only dead letters of this job.
    #[param(value_type = Option<String>)]
    job: Option<JobId>,
    /// `next` of the previous page.
    cursor: Option<String>,
    /// Dead letters per page, 1 to 1000. Default 100.
    limit: Option<usize>,
}

/// Lists the tasks that were given up, those of the newest job first.
#[utoipa::path(get, path = "/dead-letters", tag = "jobs", params(ListDeadLetters), responses((status = 200, body = Page<DeadLetter>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    QueryParams(ask): QueryParams<ListDeadLetters>,
) -> Result<Json<Page<DeadLetter>>> {
    let cursor = ask.cursor.as_deref().map(|c| LetterCursor::parse(c).ok_or_else(foreign)).transpose()?;
    let limit = ask.limit.unwrap_or(100).clamp(1, 1000);
    Ok(Json(app.services.index.dead_letters(&caller.tenant, ask.job.as_ref(), cursor.as_ref(), limit).await?))
}
