//! The layers between a connection and the routes. A layer sees each request before the layers inside it, and each
//! response after them.

use super::{
    accept::{ConnectionInfo, RequestHandler},
    drain::{DrainOnDrop, OnDrop},
    idle::{BodyLimits, IdleBody},
};
use crate::{
    Error, access,
    access_log::Exchange,
    caller::{Peer, Route},
    clock,
    error::rescue,
    extract::check_transfer_coding,
    headers::{self, REQUEST_ID},
    hosts::{self, FunctionsDomain, HostTarget},
    metrics::RequestOrigin,
    paths::{self, FUNCTIONS_PREFIX, FUNCTIONS_ROUTE, is_invoke},
    peers::Forwarded,
    routes::{self, http_functions, invoke},
    state::App,
};
use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use fabric_types::{Code, id::InvocationId, rest::token::Role};
use futures::FutureExt as _;
use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};
use tower::Service as _;
use tracing::Instrument as _;

/// Builds the service that receives all requests, from the routes outward.
pub(super) fn build(app: &App, limits: BodyLimits, domain: Option<FunctionsDomain>) -> impl RequestHandler {
    let app = || app.clone();
    // The routes of the API, each behind its access rule.
    let service = Routes { router: routes::router(&app()) };
    // Requests that only the owner of the jobs can answer go there, before this process checks their token.
    let service = ForwardToOwner { app: app(), inner: service };
    // Requests to http functions bypass the router, and need no owner of the jobs.
    let service = HttpFunctions { app: app(), domain, inner: service };
    // Log lines of all of the above carry the request's id.
    let service = Traced { inner: service };
    // A panic of a handler ends its request only. Outside the span, so that its own log line has the id once.
    let service = CatchPanics { inner: service };
    // A connection beyond the limits serves operators only. Inside NormalizeTarget, so that an invalid target is
    // refused as such first.
    let service = ReservedConnections { app: app(), inner: service };
    // Everything inside relies on an absolute target and on one `Host` header.
    let service = NormalizeTarget { inner: service };
    // Bodies have a pace from the first byte on, and their unread rest is drained even after a refusal.
    let service = LimitBody { limits, inner: service };
    // Errors of the framework become problem details, whichever layer let them through.
    let service = Rescue { inner: service };
    // Every response has an id, refusals included.
    let service = ResponseHeaders { app: app(), inner: service };
    // Counts and logs what the client receives, so it is the outermost layer.
    let service = Observe { app: app(), inner: service };
    Entry { inner: Arc::new(service) }
}

/// The body of a request inside [`LimitBody`].
type LimitedBody = IdleBody<DrainOnDrop<Incoming>>;

/// A request on its way through the layers.
struct Inbound<B> {
    request: Request<B>,
    connection: ConnectionInfo,
    /// Identifies the request. A request to an http function is its own invocation, under this id.
    id: InvocationId,
    /// `true` for HTTP/1, where a response can end its connection.
    is_http1: bool,
}

/// A layer with everything inside it.
trait Layered<B>: Send + Sync + 'static {
    fn call(&self, inbound: Inbound<B>) -> impl Future<Output = Response> + Send;
}

/// The outer end of the layers. Cloning is cheap.
struct Entry<S> {
    inner: Arc<S>,
}

impl<S> Clone for Entry<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S: Layered<Incoming>> RequestHandler for Entry<S> {
    async fn handle(self, connection: ConnectionInfo, request: Request<Incoming>) -> Response {
        let is_http1 = request.version() < Version::HTTP_2;
        self.inner.call(Inbound { request, connection, id: clock::invocation_id(), is_http1 }).await
    }
}

/// The route label of requests without a matching route.
const UNMATCHED: &str = "unmatched";

/// Updates the request metrics and writes the access log.
struct Observe<S> {
    app: App,
    inner: S,
}

impl<B: Send + 'static, S: Layered<B>> Layered<B> for Observe<S> {
    async fn call(&self, inbound: Inbound<B>) -> Response {
        let started = Instant::now();
        let _in_flight = self.app.http.begin();
        let Inbound { request, connection, id, .. } = &inbound;
        let (peer, id, method) = (connection.peer, id.clone(), request.method().clone());
        let forwarded = headers::is_forwarded(request.headers());
        let origin = if forwarded { RequestOrigin::Peer } else { RequestOrigin::Client };
        let changed = (!method.is_safe()).then(|| request.uri().path().chars().take(200).collect::<String>());
        let response = self.inner.call(inbound).await;
        let route = response.extensions().get::<Route>().map_or(UNMATCHED, |r| r.0);
        let id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or(id.as_str());
        let exchange = Exchange { method: &method, route, path: changed.as_deref(), peer, id };
        self.app.access_log.note(&exchange, &response);
        self.app.http.end(&method, route, origin, response.status().as_u16(), started.elapsed());
        response
    }
}

/// Sets the headers that every response has.
struct ResponseHeaders<S> {
    app: App,
    inner: S,
}

impl<B: Send + 'static, S: Layered<B>> Layered<B> for ResponseHeaders<S> {
    async fn call(&self, inbound: Inbound<B>) -> Response {
        let (id, is_http1) = (inbound.id.clone(), inbound.is_http1);
        let mut response = self.inner.call(inbound).await;
        // The response of another process has that process's id.
        if response.extensions().get::<Forwarded>().is_none()
            && let Ok(value) = HeaderValue::from_str(id.as_str())
        {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        if is_http1 && self.app.leaving.is_cancelled() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Converts error responses of the framework into problem details.
struct Rescue<S> {
    inner: S,
}

impl<B: Send + 'static, S: Layered<B>> Layered<B> for Rescue<S> {
    async fn call(&self, inbound: Inbound<B>) -> Response {
        rescue(self.inner.call(inbound).await)
    }
}

/// Limits the pace of request bodies, and drains what no layer reads.
struct LimitBody<S> {
    limits: BodyLimits,
    inner: S,
}

impl<S: Layered<LimitedBody>> Layered<Incoming> for LimitBody<S> {
    async fn call(&self, inbound: Inbound<Incoming>) -> Response {
        let Inbound { request, connection, id, is_http1 } = inbound;
        let on_drop = if is_http1 { OnDrop::Leave } else { OnDrop::Drain };
        let request = request.map(|body| IdleBody::new(DrainOnDrop::new(body, on_drop), self.limits));
        self.inner.call(Inbound { request, connection, id, is_http1 }).await
    }
}

/// Returns the response for a request that no layer inside sees. It ends an HTTP/1 connection.
fn refused(error: Error, is_http1: bool) -> Response {
    let error = if is_http1 { error.header(header::CONNECTION, HeaderValue::from_static("close")) } else { error };
    error.into_response()
}

/// Refuses transfer codings that are not decoded, and completes the target of a request.
struct NormalizeTarget<S> {
    inner: S,
}

impl<B: Send + 'static, S: Layered<B>> Layered<B> for NormalizeTarget<S> {
    async fn call(&self, mut inbound: Inbound<B>) -> Response {
        let checked = check_transfer_coding(inbound.request.headers())
            .and_then(|()| hosts::normalize_target(&mut inbound.request, inbound.connection.endpoint));
        match checked {
            Ok(()) => self.inner.call(inbound).await,
            Err(error) => refused(error, inbound.is_http1),
        }
    }
}

/// Serves only operators on connections beyond the limits.
struct ReservedConnections<S> {
    app: App,
    inner: S,
}

impl<S> ReservedConnections<S> {
    /// Returns `true` for requests that a connection beyond the limits serves: the state of the server, and requests of
    /// admins.
    async fn serves(&self, path: &str, headers: &http::HeaderMap) -> bool {
        paths::is_status(path)
            || access::identify(&self.app, headers).await.is_ok_and(|caller| caller.role == Role::Admin)
    }
}

impl<B: Send + 'static, S: Layered<B>> Layered<B> for ReservedConnections<S> {
    async fn call(&self, inbound: Inbound<B>) -> Response {
        if inbound.connection.in_reserve {
            let (parts, body) = inbound.request.into_parts();
            if !self.serves(parts.uri.path(), &parts.headers).await {
                let full = "the server has its maximum number of connections; this one serves admins only";
                let error = Error::new(Code::Unavailable, full)
                    .hint("try again in a moment; use fewer connections from one address");
                return refused(error, inbound.is_http1);
            }
            return self.inner.call(Inbound { request: Request::from_parts(parts, body), ..inbound }).await;
        }
        self.inner.call(inbound).await
    }
}

/// Turns a panic into an error response.
struct CatchPanics<S> {
    inner: S,
}

impl<B: Send + 'static, S: Layered<B>> Layered<B> for CatchPanics<S> {
    async fn call(&self, inbound: Inbound<B>) -> Response {
        let id = inbound.id.clone();
        AssertUnwindSafe(self.inner.call(inbound)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(request_id = %id, "a handler panicked");
            Error::new(Code::Internal, "the server failed to answer").into_response()
        })
    }
}

/// Runs the layers inside it in a span of the request.
struct Traced<S> {
    inner: S,
}

impl<B: Send + 'static, S: Layered<B>> Layered<B> for Traced<S> {
    async fn call(&self, inbound: Inbound<B>) -> Response {
        let span = tracing::info_span!(
            "request", request_id = %inbound.id, method = %inbound.request.method(), route = tracing::field::Empty,
            tenant = tracing::field::Empty, invocation_id = tracing::field::Empty
        );
        self.inner.call(inbound).instrument(span).await
    }
}

/// Calls http functions, at their own hosts and below `/f/`.
struct HttpFunctions<S> {
    app: App,
    /// The domain below which functions have their own hosts.
    domain: Option<FunctionsDomain>,
    inner: S,
}

impl<S: Layered<LimitedBody>> Layered<LimitedBody> for HttpFunctions<S> {
    async fn call(&self, inbound: Inbound<LimitedBody>) -> Response {
        let request = &inbound.request;
        let target =
            self.domain.as_ref().map_or(HostTarget::Main, |domain| domain.target(hosts::host(request.headers())));
        if target == HostTarget::Main && !request.uri().path().starts_with(FUNCTIONS_PREFIX) {
            return self.inner.call(inbound).await;
        }
        let answered = http_functions::call(&self.app, &inbound.id, target, inbound.request).await;
        let mut response = answered.unwrap_or_else(Error::into_response);
        response.extensions_mut().insert(Route(FUNCTIONS_ROUTE));
        response
    }
}

/// Returns `true` for requests that a process answers without owning the jobs: its own state, and calls, which run on
/// any node with room.
fn is_local<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    paths::is_status(path) || path == "/openapi.json" || (is_invoke(path) && !invoke::is_for_later(request.uri()))
}

/// Forwards requests to the owner of the jobs, if that is another process.
struct ForwardToOwner<S> {
    app: App,
    inner: S,
}

impl<S: Layered<LimitedBody>> Layered<LimitedBody> for ForwardToOwner<S> {
    async fn call(&self, inbound: Inbound<LimitedBody>) -> Response {
        if self.app.owns() || is_local(&inbound.request) {
            return self.inner.call(inbound).await;
        }
        let route = access::route_of(inbound.request.uri().path()).unwrap_or(UNMATCHED);
        let answered = match &self.app.services.peers {
            Some(peers) => peers.forward_to_owner(inbound.request.map(Body::new)).await,
            None => self.app.driver().map(|_| Response::default()),
        };
        let mut response = answered.unwrap_or_else(Error::into_response);
        response.extensions_mut().insert(Route(route));
        response
    }
}

/// The routes of the API.
struct Routes {
    router: axum::Router,
}

impl Layered<LimitedBody> for Routes {
    async fn call(&self, inbound: Inbound<LimitedBody>) -> Response {
        let mut request = inbound.request.map(Body::new);
        request.extensions_mut().insert(Peer(inbound.connection.peer));
        self.router.clone().call(request).await.unwrap_or_else(|e| match e {})
    }
}
