//! The processing of every request before and after its handler: id, span, metrics, panics, problem details. Requests
//! to http functions branch off here, before the router, and so do requests that only the owner of the jobs can answer
//! if that is another process.

use super::{
    accept::{Answer, ConnectionInfo},
    idle::{BodyLimits, IdleBody},
    read_on::{OnDrop, ReadOn},
};
use crate::{
    Error, access,
    access_log::Exchange,
    caller::{Peer, Route},
    clock,
    error::rescue,
    extract::check_transfer_coding,
    headers::{self, REQUEST_ID},
    hosts::{self, FunctionsDomain, Site},
    metrics::RequestOrigin,
    paths::{FUNCTIONS_PREFIX, FUNCTIONS_ROUTE, is_invoke},
    peers::Passed,
    routes::{self, http_functions, invoke},
    state::App,
};
use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use fabric_types::{Code, rest::token::Role};
use futures::FutureExt as _;
use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use std::{panic::AssertUnwindSafe, time::Instant};
use tower::Service as _;
use tracing::Instrument as _;

/// The service that receives all requests. Cloning is cheap.
#[derive(Clone)]
pub(super) struct RootService {
    app: App,
    router: axum::Router,
    body: BodyLimits,
    /// The domain below which functions have their own hosts.
    domain: Option<FunctionsDomain>,
}

impl RootService {
    pub(super) fn new(app: App, body: BodyLimits, domain: Option<FunctionsDomain>) -> Self {
        let router = routes::router(&app);
        Self { app, router, body, domain }
    }
}

/// The route label of requests without a matching route.
const UNMATCHED: &str = "unmatched";

/// Returns `true` for requests that a process answers without owning the jobs: its own state, and calls, which run on
/// any node with room.
fn answers_itself<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    matches!(path, "/healthz" | "/readyz" | "/metrics" | "/openapi.json")
        || (is_invoke(path) && !invoke::is_for_later(request.uri()))
}

/// Returns `true` for requests that a connection beyond the limits serves: the state of the server, and requests of
/// admins.
async fn is_for_operators<B>(app: &App, request: &Request<B>) -> bool {
    matches!(request.uri().path(), "/healthz" | "/readyz" | "/metrics")
        || access::identify(app, request.headers()).await.is_ok_and(|caller| caller.role == Role::Admin)
}

fn no_room() -> Error {
    Error::new(Code::Unavailable, "the server has its maximum number of connections; this one serves admins only")
        .hint("try again in a moment; use fewer connections from one address")
}

/// Makes an error end its HTTP/1 connection.
fn ends_connection(error: Error) -> Error {
    error.header(header::CONNECTION, HeaderValue::from_static("close"))
}

async fn relay(app: &App, request: Request<Body>) -> Response {
    let asked = match &app.services.peers {
        Some(peers) => peers.ask_owner(request).await,
        None => app.driver().map(|_| Response::default()),
    };
    asked.unwrap_or_else(Error::into_response)
}

impl Answer for RootService {
    async fn answer(mut self, connection: ConnectionInfo, request: Request<Incoming>) -> Response {
        let started = Instant::now();
        let _in_flight = self.app.http.begin();
        let id = clock::invocation_id();
        let method = request.method().clone();
        let span = tracing::info_span!(
            "request", request_id = %id, %method, route = tracing::field::Empty, tenant = tracing::field::Empty,
            invocation_id = tracing::field::Empty
        );
        let from =
            if request.headers().contains_key(&headers::RELAYED) { RequestOrigin::Peer } else { RequestOrigin::Client };
        let changed = (!method.is_safe()).then(|| request.uri().path().chars().take(200).collect::<String>());
        let wants_http1_end = request.version() < Version::HTTP_2;
        let mut request = request.map(|body| {
            let rest = if wants_http1_end { OnDrop::Leave } else { OnDrop::ReadOn };
            IdleBody::new(ReadOn::new(body, rest), self.body)
        });
        let settled = check_transfer_coding(request.headers());
        let settled = settled.and_then(|()| hosts::settle(&mut request, connection.endpoint));
        let site = self.domain.as_ref().map_or(Site::Main, |domain| domain.site(hosts::host(request.headers())));
        let answered = if let Err(error) = settled {
            Ok(if wants_http1_end { ends_connection(error) } else { error }.into_response())
        } else if connection.in_reserve && !is_for_operators(&self.app, &request).await {
            Ok(if wants_http1_end { ends_connection(no_room()) } else { no_room() }.into_response())
        } else if site != Site::Main || request.uri().path().starts_with(FUNCTIONS_PREFIX) {
            let call = http_functions::call(&self.app, &id, site, request);
            AssertUnwindSafe(call).catch_unwind().instrument(span).await.map(|r| {
                let mut response = r.unwrap_or_else(Error::into_response);
                response.extensions_mut().insert(Route(FUNCTIONS_ROUTE));
                response
            })
        } else if !self.app.owns() && !answers_itself(&request) {
            let route = access::route_of(request.uri().path()).unwrap_or(UNMATCHED);
            let asked = relay(&self.app, request.map(Body::new));
            AssertUnwindSafe(asked).catch_unwind().instrument(span).await.map(|mut response| {
                response.extensions_mut().insert(Route(route));
                response
            })
        } else {
            request.extensions_mut().insert(Peer(connection.peer));
            let call = self.router.call(request.map(Body::new));
            AssertUnwindSafe(call).catch_unwind().instrument(span).await.map(|r| r.unwrap_or_else(|e| match e {}))
        };
        let mut response = rescue(answered.unwrap_or_else(|_| {
            tracing::error!(request_id = %id, "a handler panicked");
            Error::new(Code::Internal, "the server failed to answer").into_response()
        }));
        let route = response.extensions().get::<Route>().map_or(UNMATCHED, |r| r.0);
        if response.extensions().get::<Passed>().is_none()
            && let Ok(value) = HeaderValue::from_str(id.as_str())
        {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        if wants_http1_end && self.app.leaving.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let asked_as = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or(id.as_str());
        let exchange =
            Exchange { method: &method, route, path: changed.as_deref(), peer: connection.peer, id: asked_as };
        self.app.access_log.note(&exchange, &response);
        self.app.http.end(&method, route, from, response.status().as_u16(), started.elapsed());
        response
    }
}
