//! Tenants and their quotas.

use super::cursor::page;
use crate::{
    Error,
    access::Caller,
    error::Result,
    extract::{Ask, At, Input, Paging},
    state::App,
};
use axum::{Json, extract::State};
use fabric_types::{
    Code,
    id::TenantId,
    quota::Quota,
    rest::{Page, tenant::Tenant, token::Role},
};
use http::StatusCode;

/// Lists tenants that have a quota, keep something on disk, or had jobs since the owner of the jobs began.
#[utoipa::path(get, path = "/tenants", tag = "tenants", params(Paging), responses((status = 200, body = Page<Tenant>)))]
pub async fn list(State(app): State<App>, Ask(paging): Ask<Paging>) -> Result<Json<Page<Tenant>>> {
    page(app.driver()?.tenants().await?, paging.cursor.as_deref(), paging.limit()).map(Json)
}

/// What a tenant may use, and what its attempts take now.
#[utoipa::path(get, path = "/tenants/{t}/quota", tag = "tenants", params(("t" = String, Path)), responses((status = 200, body = Tenant)))]
pub async fn get(State(app): State<App>, caller: Caller, At(tenant): At<TenantId>) -> Result<Json<Tenant>> {
    if caller.role != Role::Admin && caller.tenant != tenant {
        return Err(Error::new(Code::Denied, "only an admin token may look at another tenant's quota"));
    }
    Ok(Json(app.driver()?.tenant(&tenant).await?))
}

/// Sets what a tenant may use; it is in force at once.
#[utoipa::path(put, path = "/tenants/{t}/quota", tag = "tenants", params(("t" = String, Path)), request_body = Quota, responses((status = 200, body = Tenant)))]
pub async fn set(State(app): State<App>, At(tenant): At<TenantId>, Input(quota): Input<Quota>) -> Result<Json<Tenant>> {
    let tenant_now = app.driver()?.set_quota(&tenant, quota).await?;
    // Here at once; elsewhere when the registry's notice comes.
    app.services.node.policies().fresh(&tenant).await?;
    Ok(Json(tenant_now))
}

/// Deletes what was set for a tenant: the server's defaults are in force at once.
#[utoipa::path(delete, path = "/tenants/{t}/quota", tag = "tenants", params(("t" = String, Path)), responses((status = 204)))]
pub async fn delete(State(app): State<App>, At(tenant): At<TenantId>) -> Result<StatusCode> {
    app.driver()?.delete_quota(&tenant).await?;
    app.services.node.policies().fresh(&tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}
