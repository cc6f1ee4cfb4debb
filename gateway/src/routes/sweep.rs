//! The sweep on demand: what was kept long enough is removed now, or counted.

use crate::{error::Result, extract::Ask, state::App};
use axum::{Json, extract::State};
use fabric_store::SweepMode;
use fabric_types::rest::sweep::Sweep;

/// How to sweep.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct How {
    /// Count what would be removed and remove nothing. Default false.
    #[serde(default)]
    dry_run: bool,
}

/// Removes what was kept long enough, as the server does by itself from time to time.
#[utoipa::path(post, path = "/sweep", tag = "tenants", params(How), responses((status = 200, body = Sweep)))]
pub async fn sweep(State(app): State<App>, Ask(how): Ask<How>) -> Result<Json<Sweep>> {
    let mode = if how.dry_run { SweepMode::Count } else { SweepMode::Remove };
    let mut swept = app.driver()?.sweep(mode).await?;
    swept.tokens = app.sweep_tokens(mode).await?;
    Ok(Json(swept))
}
