//! The server: connections, their limits, TLS, and a graceful end.

mod front;
mod idle;
pub mod listen;
pub mod tls;

pub use listen::check_listen;

use crate::{
    idempotency::Idempotency,
    state::{App, Services},
    tokens::Tokens,
};
use front::Front;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

/// How the server behaves.
#[derive(Clone)]
pub struct Options {
    /// TLS; `None`, the default, is plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Connections at once; more wait to be accepted. Default 4096.
    pub max_connections: usize,
    /// Time for a request's head, and for a TLS handshake. Default 15 s.
    pub header_timeout: Duration,
    /// Time between two pieces of a request's body. Default 30 s.
    pub body_idle_timeout: Duration,
    /// Time for requests under way when the server stops. Default 20 s.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 4096,
            header_timeout: Duration::from_secs(15),
            body_idle_timeout: Duration::from_secs(30),
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
        let serving = tokio::spawn(run(self.app, options, listener));
        Ok(Handle { addr, tokens, _stop: stopping.clone().drop_guard(), stopping, serving })
    }
}

/// Keeps the caches in step with the registry and the idempotency records short.
fn attend(app: &App) {
    let stopping = app.stopping.clone();
    let (tokens, functions, idempotency) = (app.tokens.clone(), app.functions.clone(), app.idempotency.clone());
    app.tasks.spawn(async move {
        let all = async { futures::join!(tokens.follow(), functions.follow(), sweep(idempotency)) };
        stopping.run_until_cancelled(all).await;
    });
}

/// Removes expired idempotency records at the start and every hour, until it is dropped.
async fn sweep(idempotency: Idempotency) {
    let mut tick = tokio::time::interval(Duration::from_secs(3600));
    loop {
        tick.tick().await;
        if let Err(error) = idempotency.sweep().await {
            tracing::warn!(%error, "could not remove expired idempotency records");
        }
    }
}

async fn run(app: App, options: Options, listener: TcpListener) {
    attend(&app);
    let room = Arc::new(Semaphore::new(options.max_connections));
    let front = Front::new(app.clone(), options.body_idle_timeout);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout).max_headers(128);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30));
    let builder = Arc::new(builder);
    let tls = options.tls.clone().map(tokio_rustls::TlsAcceptor::from);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = app
            .stopping
            .run_until_cancelled(async {
                let permit = Arc::clone(&room).acquire_owned().await.ok();
                (permit, listener.accept().await)
            })
            .await;
        let Some((permit, accepted)) = accepted else { break };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually too many open files: wait for some to close.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (builder, front, watcher) = (Arc::clone(&builder), front.clone(), graceful.watcher());
        let (tls, timeout, gauge) = (tls.clone(), options.header_timeout, app.http.connections.clone());
        let aborting = app.aborting.clone();
        app.tasks.spawn(async move {
            gauge.inc();
            let served = async {
                match tls {
                    None => serve_one(stream, peer, &builder, front, watcher).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = tokio::time::timeout(timeout, tls.accept(stream)).await {
                            serve_one(stream, peer, &builder, front, watcher).await;
                        }
                    }
                }
            };
            aborting.run_until_cancelled(served).await;
            gauge.dec();
            drop(permit);
        });
    }
    drop(listener);
    app.tasks.close();
    let ended = async {
        graceful.shutdown().await;
        app.tasks.wait().await;
    };
    if tokio::time::timeout(options.grace, ended).await.is_err() {
        tracing::warn!("some requests did not end within the grace period and are cut off");
        app.aborting.cancel();
        app.tasks.wait().await;
    }
}

async fn serve_one<S>(
    stream: S,
    peer: SocketAddr,
    builder: &Builder<TokioExecutor>,
    front: Front,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let front = front.clone();
        async move { Ok::<_, std::convert::Infallible>(front.handle(peer, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}
