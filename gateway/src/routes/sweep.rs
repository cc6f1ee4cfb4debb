//! The sweep on demand: data past its retention is removed now, or counted.

use crate::{error::Result, extract::QueryParams, state::App};
use axum::{Json, extract::State};
use fabric_store::SweepMode;
use fabric_types::rest::sweep::Sweep;

/// The query of a sweep.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SweepParams {
    /// Count what would be removed, without removing it. Default false.
    #[serde(default)]
    dry_run: bool,
}

/// Removes data past its retention, as the server does periodically.
#[utoipa::path(post, path = "/sweep", tag = "tenants", params(SweepParams), responses((status = 200, body = Sweep)))]
pub async fn sweep(State(app): State<App>, QueryParams(how): QueryParams<SweepParams>) -> Result<Json<Sweep>> {
    let mode = if how.dry_run { SweepMode::Count } else { SweepMode::Remove };
    let mut swept = app.driver()?.sweep(mode).await?;
    swept.tokens = app.sweep_tokens(mode).await?;
    Ok(Json(swept))
}
