//! The sweep on demand: data past its retention is removed now, or counted.

use crate::{error::Result, extract::QueryParams, state::App};
use axum::{Json, extract::State};
use fabric_api::usage::SweepParams;
use fabric_store::SweepMode;
use fabric_types::rest::sweep::Sweep;

/// Removes data past its retention, as the server does periodically.
#[utoipa::path(post, path = "/sweep", tag = "tenants", params(SweepParams), responses((status = 200, body = Sweep)))]
pub async fn sweep(State(app): State<App>, QueryParams(how): QueryParams<SweepParams>) -> Result<Json<Sweep>> {
    let mode = if how.dry_run { SweepMode::Count } else { SweepMode::Remove };
    let mut swept = app.driver()?.sweep(mode).await?;
    swept.tokens = app.sweep_tokens(mode).await?;
    Ok(Json(swept))
}
