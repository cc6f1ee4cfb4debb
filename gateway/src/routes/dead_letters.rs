//! Dead letters: tasks that were given up on.

use super::cursor::foreign;
use crate::{access::Caller, error::Result, extract::Ask, state::App};
use axum::{Json, extract::State};
use fabric_index::LetterCursor;
use fabric_types::{
    id::JobId,
    rest::{Page, job::DeadLetter},
};

/// Which dead letters.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only of this job.
    #[param(value_type = Option<String>)]
    job: Option<JobId>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Letters on a page, 1 to 1000. Default 100.
    limit: Option<usize>,
}

/// Lists the tasks that were given up on, those of the newest job first.
#[utoipa::path(get, path = "/dead-letters", tag = "jobs", params(Wanted), responses((status = 200, body = Page<DeadLetter>)))]
pub async fn list(State(app): State<App>, caller: Caller, Ask(ask): Ask<Wanted>) -> Result<Json<Page<DeadLetter>>> {
    let cursor = ask.cursor.as_deref().map(|c| LetterCursor::parse(c).ok_or_else(foreign)).transpose()?;
    let limit = ask.limit.unwrap_or(100).clamp(1, 1000);
    Ok(Json(app.services.index.dead_letters(&caller.tenant, ask.job.as_ref(), cursor.as_ref(), limit).await?))
}
