//! The server: connections, their limits, TLS, and graceful shutdown.

mod accept;
mod connections;
mod drain;
mod flushes;
mod guarded_io;
mod idle;
pub mod listen;
mod stack;
mod stream_watch;
pub mod tls;

pub use listen::check_listen;

use crate::{
    hosts::FunctionsDomain,
    idempotency::Idempotency,
    state::{App, Services},
    tokens::Tokens,
};
use accept::Lifecycle;
use fabric_store::SweepMode;
use idle::BodyLimits;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Settings of the server.
#[derive(Clone)]
pub struct Options {
    /// TLS; `None`, the default, is plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Maximum connections. Beyond them the one that has been idle for the longest is closed. Default 4096.
    pub max_connections: usize,
    /// Maximum connections of one address, with an IPv6 /64 network counted as one; 0 for no limit. Default: a quarter
    /// of all.
    pub connections_per_address: Option<usize>,
    /// Connections beyond either limit while none is idle, on which only health, metrics and admins are served. Default
    /// 32.
    pub reserved_connections: usize,
    /// Time for a connection's first bytes. Default 10 s.
    pub first_byte_timeout: Duration,
    /// Time for a connection's first request, for a request's head once it has begun, and for a TLS handshake.
    /// Default 15 s.
    pub header_timeout: Duration,
    /// Time between requests. Default 60 s.
    pub idle_timeout: Duration,
    /// Time in which a peer has to read at least 4 KiB of the pending data. Default 30 s.
    pub write_stall_timeout: Duration,
    /// Time between two pieces of a request's body. Default 30 s.
    pub body_idle_timeout: Duration,
    /// Minimum bytes per second of a request's body, on average over the time that its reader waits, once that is
    /// longer than `body_idle_timeout`; 0 for no limit. Default 256.
    pub min_body_rate: u64,
    /// The domain below which each http function has its own host, `FUNCTION.TENANT.DOMAIN`. Default: none.
    pub functions_domain: Option<FunctionsDomain>,
    /// Time for running requests when the server stops. Default 20 s.
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

/// A handle to a running gateway. Dropping it starts the same shutdown as [`Handle::stop`], which then continues in the
/// background: nothing waits for it, and it needs the runtime to stay alive.
pub struct Handle {
    /// The address that it listens on.
    pub addr: SocketAddr,
    /// Its tokens, for the admin token and for tests.
    pub tokens: Tokens,
    app: App,
    stopping: CancellationToken,
    _stop: tokio_util::sync::DropGuard,
    serving: tokio::task::JoinHandle<()>,
}

impl Handle {
    /// Stops the gateway: there are no new connections, and running requests may end within the grace period before
    /// they are cut off. Nothing of the gateway runs after this returns.
    pub async fn stop(self) {
        self.stopping.cancel();
        let _ = self.serving.await;
    }

    /// Makes `/readyz` report that the server leaves, while it still accepts connections and answers all requests.
    /// Answers over HTTP/1 end their connections, so that clients reconnect through the load balancer in front.
    pub fn leave(&self) {
        self.app.leaving.cancel();
    }

    /// Makes this process the owner of the jobs, which answers requests about jobs itself.
    pub fn own(&self, driver: fabric_driver::Driver) {
        self.app.own(driver);
    }

    /// Returns the token that stops the server when it is cancelled.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }
}

impl Gateway {
    /// Creates a gateway over the services.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self { app: App::new(services, CancellationToken::new()) }
    }

    /// Returns the tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.app.tokens
    }

    /// Returns the function registry.
    #[must_use]
    pub fn functions(&self) -> &crate::functions::Functions {
        &self.app.functions
    }

    /// Serves until the handle is stopped or dropped.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn serve(self, options: Options, listener: TcpListener) -> std::io::Result<Handle> {
        let addr = listener.local_addr()?;
        let (tokens, stopping) = (self.app.tokens.clone(), self.app.stopping.clone());
        let app = self.app.clone();
        let serving = tokio::spawn(run(self.app, options, listener));
        Ok(Handle { addr, tokens, app, _stop: stopping.clone().drop_guard(), stopping, serving })
    }
}

/// Keeps the caches in step with the registry, and removes expired records.
fn spawn_maintenance(app: &App) {
    let stopping = app.stopping.clone();
    let (tokens, functions, idempotency) = (app.tokens.clone(), app.functions.clone(), app.idempotency.clone());
    let following = app.clone();
    app.tasks.spawn(async move {
        let peers = async {
            if let Some(peers) = &following.services.peers {
                peers.follow(&following.services.backend).await;
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

/// Removes expired idempotency records at the start and periodically, until it is dropped.
async fn sweep(idempotency: Idempotency, every: Duration) {
    let mut tick = tokio::time::interval(every);
    loop {
        tick.tick().await;
        if let Err(error) = idempotency.sweep().await {
            tracing::warn!(%error, "could not remove expired idempotency records");
        }
    }
}

/// Periodically removes tokens that expired long ago, if this process owns the jobs, until it is dropped.
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
    spawn_maintenance(&app);
    let body = BodyLimits { idle: options.body_idle_timeout, min_rate: options.min_body_rate };
    let service = stack::build(&app, body, options.functions_domain.clone());
    let lifecycle = Lifecycle {
        stopping: app.stopping.clone(),
        aborting: app.aborting.clone(),
        tasks: app.tasks.clone(),
        connections: app.http.connections.clone(),
    };
    accept::run(listener, &options, lifecycle, service).await;
}
