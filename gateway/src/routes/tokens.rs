//! Routes of tokens, and of the caller's identity.

use crate::{
    Error,
    caller::Caller,
    error::Result,
    extract::{JsonBody, PathParams, QueryParams},
    idempotency::Secret,
    state::App,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use fabric_api::{
    PageOptions,
    token::{CreatedToken, Identity, NewToken, Token},
};
use fabric_types::{
    Code,
    id::TenantId,
    rest::{Page, token::Role},
};
use http::{StatusCode, header};

/// Returns the caller's identity.
#[utoipa::path(get, path = "/whoami", tag = "tokens", responses((status = 200, body = Identity)))]
pub async fn whoami(caller: Caller) -> Json<Identity> {
    Json(Identity { name: caller.name, tenant: caller.tenant, role: caller.role })
}

/// Lists the tenant's tokens.
#[utoipa::path(get, path = "/tokens", tag = "tokens", params(PageOptions), responses((status = 200, body = Page<Token>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    QueryParams(paging): QueryParams<PageOptions>,
) -> Result<Json<Page<Token>>> {
    app.tokens.list(Some(&caller.tenant), paging.cursor.as_deref(), paging.items()).await.map(Json)
}

/// Creates a token. Its secret is in this answer only.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = NewToken, responses((status = 201, body = CreatedToken)))]
pub async fn create(State(app): State<App>, caller: Caller, JsonBody(new): JsonBody<NewToken>) -> Result<Response> {
    if new.role > caller.role {
        return Err(Error::new(Code::Denied, "a token cannot have a higher role than its creator"));
    }
    let tenant: TenantId = match &new.tenant {
        Some(other) if *other != caller.tenant && caller.role != Role::Admin => {
            return Err(Error::new(Code::Denied, "only an admin token may create tokens of another tenant"));
        }
        Some(named) => named.clone(),
        None => caller.tenant.clone(),
    };
    let created = app.tokens.create(new, tenant).await?;
    let mut response = (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(created)).into_response();
    response.extensions_mut().insert(Secret);
    Ok(response)
}

/// Revokes a token, which stops working at once.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path)), responses((status = 204)))]
pub async fn revoke(State(app): State<App>, caller: Caller, PathParams(id): PathParams<String>) -> Result<StatusCode> {
    let tenant = (caller.role != Role::Admin).then_some(&caller.tenant);
    app.tokens.revoke(tenant, caller.role, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
