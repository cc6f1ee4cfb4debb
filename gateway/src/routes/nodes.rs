//! Nodes and placement.

use super::cursor::page;
use crate::{
    access::Caller,
    error::Result,
    extract::{Ask, Input, Paging},
    state::App,
};
use axum::{Json, extract::State};
use fabric_types::rest::{
    Page,
    node::{ExplainRequest, Explanation, Node},
};

/// Lists the nodes.
#[utoipa::path(get, path = "/nodes", tag = "nodes", params(Paging), responses((status = 200, body = Page<Node>)))]
pub async fn list(State(app): State<App>, _: Caller, Ask(paging): Ask<Paging>) -> Result<Json<Page<Node>>> {
    page(app.driver()?.nodes().await?, paging.cursor.as_deref(), paging.limit()).map(Json)
}

/// Where a call of a function would run, and why.
#[utoipa::path(post, path = "/placements/explain", tag = "nodes", request_body = ExplainRequest, responses((status = 200, body = Explanation)))]
pub async fn explain(
    State(app): State<App>,
    caller: Caller,
    Input(ask): Input<ExplainRequest>,
) -> Result<Json<Explanation>> {
    let version = app.functions.resolve(&caller.tenant, &ask.function.parse()?).await?;
    Ok(Json(app.driver()?.explain(&version.deployment).await?))
}
