//! Routes of aliases.

use super::cursor::page;
use crate::{
    caller::Caller,
    error::Result,
    extract::{JsonBody, PathParams, QueryParams},
    state::App,
};
use axum::{Json, extract::State};
use fabric_api::{
    PageOptions,
    function::{Alias, SetAlias},
};
use fabric_types::{
    id::{AliasName, FunctionName},
    rest::Page,
};
use http::StatusCode;

/// Lists the aliases of a function.
#[utoipa::path(get, path = "/functions/{f}/aliases", tag = "functions", params(("f" = String, Path), PageOptions), responses((status = 200, body = Page<Alias>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    PathParams(f): PathParams<FunctionName>,
    QueryParams(paging): QueryParams<PageOptions>,
) -> Result<Json<Page<Alias>>> {
    let all = app.functions.aliases(&caller.tenant, &f).await?;
    page(all, paging.cursor.as_deref(), paging.items()).map(Json)
}

/// Sets an alias.
#[utoipa::path(put, path = "/functions/{f}/aliases/{a}", tag = "functions", params(("f" = String, Path), ("a" = String, Path)), request_body = SetAlias, responses((status = 200, body = Alias)))]
pub async fn set(
    State(app): State<App>,
    caller: Caller,
    PathParams((f, a)): PathParams<(FunctionName, AliasName)>,
    JsonBody(new): JsonBody<SetAlias>,
) -> Result<Json<Alias>> {
    app.functions.set_alias(&caller.tenant, &f, &a, new.targets).await.map(Json)
}

/// Deletes an alias.
#[utoipa::path(delete, path = "/functions/{f}/aliases/{a}", tag = "functions", params(("f" = String, Path), ("a" = String, Path)), responses((status = 204)))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    PathParams((f, a)): PathParams<(FunctionName, AliasName)>,
) -> Result<StatusCode> {
    app.functions.delete_alias(&caller.tenant, &f, &a).await?;
    Ok(StatusCode::NO_CONTENT)
}
