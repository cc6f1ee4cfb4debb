//! Routes of a function's versions.

use crate::{
    caller::Caller,
    error::Result,
    extract::{PathParams, QueryParams},
    state::App,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use fabric_api::PageOptions;
use fabric_types::{function::Deployment, id::FunctionName, rest::Page};
use http::{StatusCode, header};

/// Lists versions, oldest first.
#[utoipa::path(get, path = "/functions/{f}/versions", tag = "functions", params(("f" = String, Path), PageOptions), responses((status = 200, body = Page<Deployment>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    PathParams(f): PathParams<FunctionName>,
    QueryParams(paging): QueryParams<PageOptions>,
) -> Result<Json<Page<Deployment>>> {
    app.functions.versions(&caller.tenant, &f, paging.cursor.as_deref(), paging.items()).await.map(Json)
}

/// Returns one version.
#[utoipa::path(get, path = "/functions/{f}/versions/{v}", tag = "functions", params(("f" = String, Path), ("v" = u32, Path)), responses((status = 200, body = Deployment)))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    PathParams((f, v)): PathParams<(FunctionName, u32)>,
) -> Result<Json<Deployment>> {
    app.functions.version(&caller.tenant, &f, v).await.map(Json)
}

/// Deletes a version that no alias points at. Its number is not assigned again.
#[utoipa::path(delete, path = "/functions/{f}/versions/{v}", tag = "functions", params(("f" = String, Path), ("v" = u32, Path)), responses((status = 204)))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    PathParams((f, v)): PathParams<(FunctionName, u32)>,
) -> Result<StatusCode> {
    app.functions.delete_version(&caller.tenant, &f, v).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns a version's module, as it was uploaded.
#[utoipa::path(get, path = "/functions/{f}/versions/{v}/module", tag = "functions", params(("f" = String, Path), ("v" = u32, Path)), responses((status = 200, content_type = "application/wasm", body = Vec<u8>)))]
pub async fn module(
    State(app): State<App>,
    caller: Caller,
    PathParams((f, v)): PathParams<(FunctionName, u32)>,
) -> Result<Response> {
    let deployment = app.functions.version(&caller.tenant, &f, v).await?;
    let bytes = app.services.store.modules(&caller.tenant).get(&deployment.module, deployment.module_bytes).await?;
    let mut response = ([(header::CONTENT_TYPE, "application/wasm")], bytes).into_response();
    super::objects::harden(response.headers_mut());
    Ok(response)
}
