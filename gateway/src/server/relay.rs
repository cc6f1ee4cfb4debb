//! A gateway that does not own the jobs: it passes every request on to the one that does, bodies streaming both ways.

use super::{
    Options,
    accept::{self, Answer, Life},
    idle::IdleBody,
};
use crate::{Error, routes::http_functions::strip};
use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use fabric_types::Code;
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a connection to the owner may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// Marks a request that was passed on once. An address can be out of date and lead to another relay, or back to this one:
/// such a request is refused rather than passed round in a circle.
const RELAYED: HeaderName = HeaderName::from_static("fabric-relayed");

/// Where the owner of the jobs answers, as `http://HOST:PORT`; none while there is no owner.
pub type Owner = watch::Receiver<Option<String>>;

/// A relay that serves.
pub struct Relay {
    stopping: CancellationToken,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Forward {
    client: reqwest::Client,
    owner: Owner,
    idle: Duration,
}

impl Relay {
    /// Serves until it is stopped.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn serve(options: Options, listener: TcpListener, owner: Owner) -> Result<Self, reqwest::Error> {
        // What the owner answers is the client's to follow and to unpack, and no proxy of this machine's is meant.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .build()?;
        let forward = Forward { client, owner, idle: options.body_idle_timeout };
        let stopping = CancellationToken::new();
        let life = Life {
            stopping: stopping.clone(),
            aborting: CancellationToken::new(),
            tasks: TaskTracker::new(),
            connections: Gauge::default(),
        };
        let serving = tokio::spawn(async move { accept::run(listener, &options, life, forward).await });
        Ok(Self { stopping, serving })
    }

    /// Stops: requests under way may end within the grace period.
    pub async fn stop(self) {
        self.stopping.cancel();
        let _ = self.serving.await;
    }
}

fn no_owner(why: impl std::fmt::Display) -> Error {
    Error::new(Code::Unavailable, format!("no scheduler answers: {why}"))
        .hint("another one takes over within half a minute; try again")
        .header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

impl Forward {
    async fn forward(self, request: Request<Incoming>) -> Result<Response, Error> {
        let mut owners = self.owner.clone();
        let owner = owners.borrow_and_update().clone().ok_or_else(|| no_owner("there is none"))?;
        let (mut parts, body) = request.into_parts();
        if parts.headers.contains_key(&RELAYED) {
            return Err(no_owner("the process that was asked does not own the jobs any more"));
        }
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        strip(&mut parts.headers);
        parts.headers.insert(RELAYED, HeaderValue::from_static("1"));
        let body = IdleBody::new(body, self.idle).into_data_stream();
        let send = self
            .client
            .request(parts.method, format!("{owner}{path}"))
            .headers(parts.headers)
            .body(reqwest::Body::wrap_stream(body))
            .send();
        let sent = tokio::select! {
            sent = send => sent.map_err(|e| no_owner(e.without_url()))?,
            // A frozen owner would keep its callers for as long as it is frozen.
            Ok(()) = owners.changed() => return Err(no_owner("another one took over before it answered")),
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = sent.status();
        *response.headers_mut() = sent.headers().clone();
        strip(response.headers_mut());
        *response.body_mut() = Body::from_stream(sent.bytes_stream().map(|piece| piece.map_err(axum::BoxError::from)));
        Ok(response)
    }
}

impl Answer for Forward {
    async fn answer(self, _: SocketAddr, request: Request<Incoming>) -> Response {
        match request.uri().path() {
            "/healthz" => StatusCode::OK.into_response(),
            // The owner shows its metrics to its own machine without a token: that must not be everybody who reaches a relay.
            "/metrics" => crate::error::rescue(
                Error::new(Code::NotFound, "a process that passes requests on has no metrics of its own yet")
                    .hint("ask the process that owns the jobs")
                    .into_response(),
            ),
            _ => self.forward(request).await.unwrap_or_else(|e| crate::error::rescue(e.into_response())),
        }
    }
}
