//! Dead letters: tasks that were given up.

use crate::{Error, caller::Caller, error::Result, extract::QueryParams, state::App};
use axum::{Json, extract::State};
use fabric_api::job::DeadLetterQuery;
use fabric_index::LetterCursor;
use fabric_types::rest::{Page, job::DeadLetter};

/// Lists the tasks that were given up, those of the newest job first.
#[utoipa::path(get, path = "/dead-letters", tag = "jobs", params(DeadLetterQuery), responses((status = 200, body = Page<DeadLetter>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    QueryParams(ask): QueryParams<DeadLetterQuery>,
) -> Result<Json<Page<DeadLetter>>> {
    let cursor = ask.cursor.as_deref().map(|c| LetterCursor::parse(c).ok_or_else(Error::invalid_cursor)).transpose()?;
    let limit = ask.items();
    Ok(Json(app.services.index.dead_letters(&caller.tenant, ask.job.as_ref(), cursor.as_ref(), limit).await?))
}
