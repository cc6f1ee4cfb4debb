//! The route of the Python runner.

use crate::{Error, error::Result, state::App};
use axum::{Json, extract::State};
use fabric_api::function::InstalledRunner;

/// Returns the digest of the server's Python runner. A client deploys it by this digest instead of uploading a runner.
#[utoipa::path(get, path = "/python-runner", tag = "functions", responses((status = 200, body = InstalledRunner), (status = 404, description = "The server has none")))]
pub async fn get(State(app): State<App>) -> Result<Json<InstalledRunner>> {
    let runner = app.services.python_runner.as_ref().ok_or_else(|| {
        Error::not_found("module", "python-runner").hint("the operator names it: fabric serve --python-runner FILE")
    })?;
    Ok(Json(InstalledRunner { module: runner.digest(), module_bytes: runner.size(), compiled: runner.is_compiled() }))
}
