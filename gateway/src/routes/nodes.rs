//! Routes of nodes and placement.

use super::{
    cursor::page,
    jobs::{is_quick, planned},
};
use crate::{
    Error,
    body::{self, LARGE_JSON},
    caller::Caller,
    charged,
    error::Result,
    extract::{self, PathParams, QueryParams},
    state::App,
};
use axum::{
    Json,
    extract::{Request, State},
};
use fabric_api::{
    PageOptions,
    node::{DrainParams, ExplainRequest},
};
use fabric_driver::NodeMode;
use fabric_types::{
    function::FunctionRef,
    id::NodeId,
    job::JobSpec,
    rest::{
        Page,
        node::{Explanation, Node},
        token::Role,
    },
};
use std::time::Duration;

/// Lists the nodes.
#[utoipa::path(get, path = "/nodes", tag = "nodes", params(PageOptions), responses((status = 200, body = Page<Node>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    QueryParams(paging): QueryParams<PageOptions>,
) -> Result<Json<Page<Node>>> {
    let mut nodes = app.driver()?.nodes().await?;
    if caller.role < Role::Admin {
        // The modules of other tenants are not shown to the caller.
        nodes.iter_mut().for_each(|node| node.facts.warm.clear());
    }
    page(nodes, paging.cursor.as_deref(), paging.items()).map(Json)
}

async fn set_mode(app: &App, node: &NodeId, mode: NodeMode) -> Result<Json<Node>> {
    Ok(Json(app.driver()?.set_node_mode(node, mode, None).await?))
}

/// Maximum deadline of a drain: a week, like the maximum deadline of a call.
const LONGEST_DRAIN_S: u64 = 7 * 86_400;

/// Closes a node for new work. Running work continues.
#[utoipa::path(post, path = "/nodes/{n}/cordon", tag = "nodes", params(("n" = String, Path)), responses((status = 200, body = Node)))]
pub async fn cordon(State(app): State<App>, PathParams(node): PathParams<NodeId>) -> Result<Json<Node>> {
    set_mode(&app, &node, NodeMode::Cordoned).await
}

/// Closes a node for new work before it leaves. The node is `drained` once nothing runs on it. The drain ends when
/// another process joins under the node's name.
#[utoipa::path(post, path = "/nodes/{n}/drain", tag = "nodes", params(("n" = String, Path), DrainParams), responses((status = 200, body = Node)))]
pub async fn drain(
    State(app): State<App>,
    PathParams(node): PathParams<NodeId>,
    QueryParams(how): QueryParams<DrainParams>,
) -> Result<Json<Node>> {
    if how.deadline_s.is_some_and(|seconds| seconds > LONGEST_DRAIN_S) {
        return Err(Error::bad(format!("deadline_s is at most {LONGEST_DRAIN_S}")));
    }
    let deadline = how.deadline_s.map(Duration::from_secs);
    Ok(Json(app.driver()?.set_node_mode(&node, NodeMode::Draining, deadline).await?))
}

/// Opens a node for work again.
#[utoipa::path(post, path = "/nodes/{n}/uncordon", tag = "nodes", params(("n" = String, Path)), responses((status = 200, body = Node)))]
pub async fn uncordon(State(app): State<App>, PathParams(node): PathParams<NodeId>) -> Result<Json<Node>> {
    set_mode(&app, &node, NodeMode::Open).await
}

/// Explains the placement of an attempt of a function at this moment. With an input, also returns the size of the job.
#[utoipa::path(post, path = "/placements/explain", tag = "nodes", request_body = ExplainRequest, responses((status = 200, body = Explanation)))]
pub async fn explain(State(app): State<App>, caller: Caller, request: Request) -> Result<Json<Explanation>> {
    if !extract::is_json(request.headers()) {
        return Err(Error::unsupported_media_type("application/json"));
    }
    let payer = charged::payer(request.extensions());
    let body = charged::collect(request.into_body(), LARGE_JSON, &payer).await?;
    let ask: ExplainRequest = body::read(&app.checks, &caller.tenant, body, body::json).await?;
    let function: FunctionRef = ask.function.parse()?;
    let version = app.functions.resolve(&caller.tenant, &function).await?;
    let spec = JobSpec { params: ask.params, node_selector: ask.node_selector, ..JobSpec::new(function) };
    if ask.input.is_some() || !spec.params.is_empty() {
        app.functions.check_params(&version, &spec.params).await?;
    }
    let driver = app.driver()?.clone();
    let Some(input) = ask.input else {
        return Ok(Json(driver.explain(&version.deployment, &spec, false).await?));
    };
    let (quick, spec) = (is_quick(&input), JobSpec { input, ..spec });
    let explain = async move { driver.explain(&version.deployment, &spec, true).await };
    planned(&app, &caller.tenant, quick, explain).await.map(Json)
}
