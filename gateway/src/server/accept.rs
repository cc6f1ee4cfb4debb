//! Connections: how many, how long they may take, TLS, and how they end.

use super::Options;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use prometheus_client::metrics::gauge::Gauge;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What answers the requests of all connections.
pub(super) trait Answer: Clone + Send + 'static {
    /// Answers one.
    fn answer(self, peer: SocketAddr, request: Request<Incoming>) -> impl Future<Output = Response> + Send;
}

/// What ends a server's connections, and what counts them.
#[derive(Clone)]
pub(super) struct Life {
    /// Set when the server begins to stop.
    pub stopping: CancellationToken,
    /// Set when the grace period is over.
    pub aborting: CancellationToken,
    /// Everything that outlives a connection.
    pub tasks: TaskTracker,
    /// Open connections.
    pub connections: Gauge,
}

fn builder(options: &Options) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout).max_headers(128);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}

/// Serves until `life.stopping`, then ends what is under way within the grace period.
pub(super) async fn run(listener: TcpListener, options: &Options, life: Life, answer: impl Answer) {
    let room = Arc::new(Semaphore::new(options.max_connections));
    let builder = Arc::new(builder(options));
    let tls = options.tls.clone().map(tokio_rustls::TlsAcceptor::from);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = life
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
        let (builder, answer, watcher) = (Arc::clone(&builder), answer.clone(), graceful.watcher());
        let (tls, timeout, gauge) = (tls.clone(), options.header_timeout, life.connections.clone());
        let aborting = life.aborting.clone();
        life.tasks.spawn(async move {
            gauge.inc();
            let served = async {
                match tls {
                    None => serve_one(stream, peer, &builder, answer, watcher).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = tokio::time::timeout(timeout, tls.accept(stream)).await {
                            serve_one(stream, peer, &builder, answer, watcher).await;
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
    life.tasks.close();
    let ended = async {
        graceful.shutdown().await;
        life.tasks.wait().await;
    };
    if tokio::time::timeout(options.grace, ended).await.is_err() {
        tracing::warn!("some requests did not end within the grace period and are cut off");
        life.aborting.cancel();
        life.tasks.wait().await;
    }
}

async fn serve_one<S>(
    stream: S,
    peer: SocketAddr,
    builder: &Builder<TokioExecutor>,
    answer: impl Answer,
    watcher: Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let answer = answer.clone();
        async move { Ok::<_, std::convert::Infallible>(answer.answer(peer, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}
