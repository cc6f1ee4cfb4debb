//! The server: connections, their limits, TLS, and a graceful end.

mod accept;
mod connections;
mod flushes;
mod front;
mod guarded_io;
mod idle;
pub mod listen;
mod read_on;
mod stream_watch;
pub mod tls;

pub use listen::check_listen;

use crate::{
    hosts::FunctionsDomain,
    idempotency::Idempotency,
    state::{App, Services},
    tokens::Tokens,
};
use accept::Life;
use fabric_store::SweepMode;
use front::Front;
use idle::BodyLimits;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How the server behaves.
#[derive(Clone)]
pub struct Options {
    /// TLS; `None`, the default, is plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Connections at once. Beyond them the one that has been idle for the longest is closed. Default 4096.
    pub max_connections: usize,
    /// Connections of one address, an IPv6 network of 64 bits counting as one; 0 for no bound. Default a quarter of all.
    pub connections_per_address: Option<usize>,
    /// Connections beyond either bound while none is idle, on which only health, metrics and admins are served.
    /// Default 32.
    pub reserved_connections: usize,
    /// Time for a connection's first bytes. Default 10 s.
    pub first_byte_timeout: Duration,
    /// Time for a connection's first request, for a request's head once it has begun, and for a TLS handshake.
    /// Default 15 s.
    pub header_timeout: Duration,
    /// Time between requests. Default 60 s.
    pub idle_timeout: Duration,
    /// Time that a peer may take to read at least 4 KiB of what waits for it. Default 30 s.
    pub write_stall_timeout: Duration,
    /// Time between two pieces of a request's body. Default 30 s.
    pub body_idle_timeout: Duration,
    /// Bytes a second of a request's body, on average over the time that its reader waits, once that is longer than
    /// `body_idle_timeout`; 0 for no bound. Default 256.
    pub min_body_rate: u64,
    /// The domain below which each http function has a host of its own, `FUNCTION.TENANT.DOMAIN`. Default none.
    pub functions_domain: Option<FunctionsDomain>,
    /// Time for requests under way when the server stops. Default 20 s.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 4096,
            connections_per_address: None,
            reserved_connections: 32,
            first_byte_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            write_stall_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(30),
            min_body_rate: 256,
            functions_domain: None,
            grace: Duration::from_secs(20),
        }
    }
}

/// A gateway that is ready to serve.
pub struct Gateway {
    app: App,
}

/// A gateway that serves. Dropping it begins the same stop as [`Handle::stop`], which then runs on by itself: nobody
/// waits for it, and it needs the runtime to stay alive.
pub struct Handle {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its tokens, for the admin token and for tests.
    pub tokens: Tokens,
    app: App,
    stopping: CancellationToken,
    _stop: tokio_util::sync::DropGuard,
    serving: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Stops: no new connection, requests under way may end within the grace period, then they are cut off. Once this
    /// returns, nothing of the gateway runs any more.
    pub async fn stop(self) {
        self.stopping.cancel();
        let _ = self.serving.await;
    }

    /// From now on `/readyz` says that the server leaves, while it still takes connections and answers everything. Answers
    /// over HTTP/1 end their connections, so that clients come back through whatever is in front.
    pub fn leave(&self) {
        self.app.leaving.cancel();
    }

    /// From now on this process owns the jobs, and answers for them itself.
    pub fn own(&self, driver: fabric_driver::Driver) {
        self.app.own(driver);
    }

    /// The server stops when this is cancelled, for the wiring.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }
}

impl Gateway {
    /// Over the services.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self { app: App::new(services, CancellationToken::new()) }
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.app.tokens
    }

    /// The function registry.
    #[must_use]
    pub fn functions(&self) -> &crate::functions::Functions {
        &self.app.functions
    }

    /// Serves until the handle is stopped or dropped.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn serve(self, options: Options, listener: TcpListener) -> std::io::Result<Handle> {
        let addr = listener.local_addr()?;
        let (tokens, stopping) = (self.app.tokens.clone(), self.app.stopping.clone());
        let app = self.app.clone();
        let serving = tokio::spawn(run(self.app, options, listener));
        Ok(Handle { addr, tokens, app, _stop: stopping.clone().drop_guard(), stopping, serving })
    }
}

/// Keeps the caches in step with the registry and the idempotency records short.
fn attend(app: &App) {
    let stopping = app.stopping.clone();
    let (tokens, functions, idempotency) = (app.tokens.clone(), app.functions.clone(), app.idempotency.clone());
    let following = app.clone();
    app.tasks.spawn(async move {
        let peers = async {
            if let Some(peers) = &following.services.peers {
                peers.follow(&following.services.engine).await;
            }
        };
        let all = async {
            futures::join!(
                tokens.follow(),
                functions.follow(),
                sweep(idempotency, following.services.sweep_every),
                sweep_tokens(&following),
                peers
            )
        };
        stopping.run_until_cancelled(all).await;
    });
}

/// Removes expired idempotency records at the start and from time to time, until it is dropped.
async fn sweep(idempotency: Idempotency, every: Duration) {
    let mut tick = tokio::time::interval(every);
    loop {
        tick.tick().await;
        if let Err(error) = idempotency.sweep().await {
            tracing::warn!(%error, "could not remove expired idempotency records");
        }
    }
}

/// Removes tokens that expired long ago from time to time, where this process owns the jobs, until it is dropped.
async fn sweep_tokens(app: &App) {
    let mut tick = tokio::time::interval(app.services.sweep_every);
    loop {
        tick.tick().await;
        if !app.owns() {
            continue;
        }
        match app.sweep_tokens(SweepMode::Remove).await {
            Ok(removed) if removed.count > 0 => tracing::info!(tokens = removed.count, "removed expired tokens"),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "could not remove expired tokens"),
        }
    }
}

async fn run(app: App, options: Options, listener: TcpListener) {
    attend(&app);
    let body = BodyLimits { idle: options.body_idle_timeout, min_rate: options.min_body_rate };
    let front = Front::new(app.clone(), body, options.functions_domain.clone());
    let life = Life {
        stopping: app.stopping.clone(),
        aborting: app.aborting.clone(),
        tasks: app.tasks.clone(),
        connections: app.http.connections.clone(),
    };
    accept::run(listener, &options, life, front).await;
}
