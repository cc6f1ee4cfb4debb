//! Routes of tenants and their quotas.

use super::cursor::page;
use crate::{
    Error,
    caller::Caller,
    error::Result,
    extract::{JsonBody, PathParams, QueryParams},
    state::App,
};
use axum::{Json, extract::State};
use fabric_api::PageOptions;
use fabric_types::{
    Code,
    id::TenantId,
    quota::Quota,
    rest::{Page, tenant::Tenant, token::Role},
};
use http::StatusCode;

/// Lists tenants that have a quota, stored data, or jobs since the owner of the jobs started.
#[utoipa::path(get, path = "/tenants", tag = "tenants", params(PageOptions), responses((status = 200, body = Page<Tenant>)))]
pub async fn list(State(app): State<App>, QueryParams(paging): QueryParams<PageOptions>) -> Result<Json<Page<Tenant>>> {
    page(app.driver()?.tenants().await?, paging.cursor.as_deref(), paging.items()).map(Json)
}

/// Returns a tenant's quota, and the current use of its attempts.
#[utoipa::path(get, path = "/tenants/{t}/quota", tag = "tenants", params(("t" = String, Path)), responses((status = 200, body = Tenant)))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    PathParams(tenant): PathParams<TenantId>,
) -> Result<Json<Tenant>> {
    if caller.role != Role::Admin && caller.tenant != tenant {
        return Err(Error::new(Code::Denied, "only an admin token may read another tenant's quota"));
    }
    Ok(Json(app.driver()?.tenant(&tenant).await?))
}

/// Sets a tenant's quota, which takes effect at once.
#[utoipa::path(put, path = "/tenants/{t}/quota", tag = "tenants", params(("t" = String, Path)), request_body = Quota, responses((status = 200, body = Tenant)))]
pub async fn set(
    State(app): State<App>,
    PathParams(tenant): PathParams<TenantId>,
    JsonBody(quota): JsonBody<Quota>,
) -> Result<Json<Tenant>> {
    let tenant_now = app.driver()?.set_quota(&tenant, quota).await?;
    // Takes effect at once in this process, and in others with the registry's notification.
    app.services.node.policies().fresh(&tenant).await?;
    Ok(Json(tenant_now))
}

/// Deletes a tenant's quota. The server's defaults take effect at once.
#[utoipa::path(delete, path = "/tenants/{t}/quota", tag = "tenants", params(("t" = String, Path)), responses((status = 204)))]
pub async fn delete(State(app): State<App>, PathParams(tenant): PathParams<TenantId>) -> Result<StatusCode> {
    app.driver()?.delete_quota(&tenant).await?;
    app.services.node.policies().fresh(&tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}
