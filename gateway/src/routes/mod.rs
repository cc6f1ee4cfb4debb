//! The routes. Each file holds the handlers of one kind of resource. Every handler carries the annotation from which
//! the OpenAPI document is generated.

pub mod aliases;
mod confine;
mod cursor;
pub mod dead_letters;
mod estimate;
pub mod functions;
pub mod health;
pub mod http_functions;
pub mod invocations;
pub mod invoke;
pub mod jobs;
pub mod logs;
pub mod nodes;
pub mod objects;
pub mod openapi;
pub mod python_runner;
pub mod results;
pub mod schemas;
pub mod streams;
pub mod sweep;
pub mod tenants;
pub mod tokens;
pub mod usage;
pub mod versions;

use crate::state::App;
use axum::extract::DefaultBodyLimit;
use openapi::Base;
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Maximum bytes of an upload: a module of 64 MiB with its manifest.
const MAX_UPLOAD: usize = 66 << 20;

/// Returns every route with its description.
pub fn all() -> OpenApiRouter<App> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(tokens::whoami))
        .routes(routes!(functions::deploy, functions::list))
        .routes(routes!(functions::get, functions::delete))
        .routes(routes!(functions::rollback))
        .routes(routes!(python_runner::get))
        .routes(routes!(versions::list))
        .routes(routes!(versions::get, versions::delete))
        .routes(routes!(versions::module))
        .routes(routes!(aliases::list))
        .routes(routes!(aliases::set, aliases::delete))
        .routes(routes!(invoke::invoke))
        .routes(routes!(invocations::list))
        .routes(routes!(invocations::get))
        .routes(routes!(invocations::result))
        .routes(routes!(invocations::cancel))
        .routes(routes!(logs::of_invocation))
        .routes(routes!(logs::list))
        .routes(routes!(jobs::submit, jobs::list, jobs::delete_all))
        .routes(routes!(jobs::get, jobs::delete))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::restore))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::audit))
        .routes(routes!(jobs::events))
        .routes(routes!(jobs::tasks))
        .routes(routes!(dead_letters::list))
        .routes(routes!(results::all))
        .routes(routes!(results::one))
        .routes(routes!(results::list))
        .routes(routes!(results::of_task))
        .routes(routes!(logs::of_job))
        .routes(routes!(objects::list))
        .routes(routes!(objects::put, objects::get, objects::delete))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::cordon))
        .routes(routes!(nodes::drain))
        .routes(routes!(nodes::uncordon))
        .routes(routes!(nodes::explain))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::get, tenants::set, tenants::delete))
        .routes(routes!(usage::usage))
        .routes(routes!(sweep::sweep))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(schemas::job))
        .routes(routes!(schemas::manifest));
    OpenApiRouter::with_openapi(Base::openapi())
        .nest("/v1", v1)
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(schemas::openapi))
        .layer(DefaultBodyLimit::max(MAX_UPLOAD))
}

/// Returns the router that is served, with the access rules applied.
pub fn router(app: &App) -> axum::Router {
    let guard = axum::middleware::from_fn_with_state(app.clone(), crate::access::guard);
    let (router, _) = all().route_layer(guard).with_state(app.clone()).split_for_parts();
    router
}
