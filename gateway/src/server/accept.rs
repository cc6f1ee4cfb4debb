//! Connections: their number, their time limits, TLS, and their end.
//!
//! Every wait for the peer has a limit: for its first bytes, TLS, the head of a request, the next request, and the
//! reading of responses ([`super::guarded_io`], [`super::stream_watch`]). The server never waits for room
//! ([`super::connections`]).

use super::{
    Options,
    connections::{Activity, ConnectionSlot, Connections, IdleLimits, TableLimits, TimeoutKind},
    flushes::{FlushCountingIo, Flushes},
    guarded_io::GuardedIo,
    stream_watch::{SentBody, StreamExecutor},
};
use crate::hosts::Endpoint;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use prometheus_client::metrics::gauge::Gauge;
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The first bytes of an HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pause of the accept loop if the process has no file handles and no idle connection to close.
const NO_HANDLES: Duration = Duration::from_millis(100);
/// Pause of the accept loop while an idle connection is being closed.
const CLOSING: Duration = Duration::from_millis(2);
/// Time for an HTTP/2 connection to end after its graceful shutdown began.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request body that an HTTP/2 stream may send ahead of its reader.
const STREAM_WINDOW: u32 = 256 << 10;
/// The same for all streams of a connection together.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes of a response that may wait in an HTTP/2 stream.
const SEND_BUFFER: usize = 128 << 10;

/// The response to a peer that is refused because there is no room.
const FULL: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n",
    "cache-control: no-store\r\nconnection: close\r\ncontent-length: 226\r\n\r\n",
    r#"{"type":"urn:fabric:error:unavailable","title":"unavailable","status":503,"code":"unavailable","#,
    r#""detail":"the server has its maximum number of connections","#,
    r#""hint":"try again in a moment; use fewer connections from one address"}"#,
);

/// Facts about the connection of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionInfo {
    /// The remote address.
    pub(super) peer: SocketAddr,
    /// Facts that complete the URIs of its requests.
    pub(super) endpoint: Endpoint,
    /// `true` if it was accepted beyond the limits, to serve operators only.
    pub(super) in_reserve: bool,
}

/// The handler of the requests of all connections.
pub(super) trait RequestHandler: Clone + Send + 'static {
    /// Answers one request.
    fn handle(self, connection: ConnectionInfo, request: Request<Incoming>) -> impl Future<Output = Response> + Send;
}

/// The signals that end a server's connections, and the counters of connections.
#[derive(Clone)]
pub(super) struct Lifecycle {
    /// Set when the server begins to stop.
    pub stopping: CancellationToken,
    /// Set when the grace period has ended.
    pub aborting: CancellationToken,
    /// Connections, and the work that outlives them.
    pub tasks: TaskTracker,
    /// Open connections.
    pub connections: Gauge,
}

/// Settings for serving connections.
struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<StreamExecutor>,
    /// Time limit for the first bytes.
    first: Duration,
    /// Time limit for the TLS handshake.
    handshake: Duration,
    limits: IdleLimits,
    stall: Duration,
}

impl Protocols {
    fn new(options: &Options, tasks: &TaskTracker) -> Self {
        let mut http1 = http1::Builder::new();
        // The watchdog times the head, because it can distinguish an idle connection from a slow one.
        http1.timer(TokioTimer::new()).header_read_timeout(None).max_headers(128);
        let streams = StreamExecutor { tasks: tasks.clone(), stall: options.write_stall_timeout };
        let mut http2 = http2::Builder::new(streams);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(256)
            .max_header_list_size(64 * 1024)
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(256)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(Duration::from_secs(30));
        Self {
            http1,
            http2,
            first: options.first_byte_timeout,
            handshake: options.header_timeout,
            limits: IdleLimits { head: options.header_timeout, idle: options.idle_timeout },
            stall: options.write_stall_timeout,
        }
    }
}

/// Refuses a connection at once. A peer that expects TLS could not read the response, so its connection is reset.
fn refuse(stream: TcpStream, tls: bool) {
    if tls {
        let _ = stream.set_zero_linger();
    } else {
        let _ = stream.try_write(FULL.as_bytes());
    }
}

/// Serves until `life.stopping`, then ends running requests within the grace period.
pub(super) async fn run(listener: TcpListener, options: &Options, life: Lifecycle, handler: impl RequestHandler) {
    let table = Connections::new(TableLimits {
        most: options.max_connections,
        of_address: options.connections_per_address.unwrap_or(options.max_connections.div_ceil(4)),
        reserve: options.reserved_connections,
    });
    let protocols = Arc::new(Protocols::new(options, &life.tasks));
    let tls = options.tls.clone().map(tokio_rustls::TlsAcceptor::from);
    while let Some(accepted) = life.stopping.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually too many open files.
                tracing::warn!(%error, "could not accept a connection");
                let wait = if table.close_one() { CLOSING } else { NO_HANDLES };
                tokio::time::sleep(wait).await;
                continue;
            }
        };
        let Some(slot) = table.admit(peer.ip()) else {
            refuse(stream, tls.is_some());
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (protocols, handler, tls) = (protocols.clone(), handler.clone(), tls.clone());
        let (gauge, aborting) = (life.connections.clone(), life.aborting.clone());
        life.tasks.spawn(async move {
            gauge.inc();
            aborting.run_until_cancelled(serve(stream, peer, tls, &protocols, &slot, handler)).await;
            gauge.dec();
            drop(slot);
        });
    }
    drop(listener);
    table.stop();
    life.tasks.close();
    if tokio::time::timeout(options.grace, life.tasks.wait()).await.is_err() {
        tracing::warn!("some requests did not end within the grace period and are cut off");
        life.aborting.cancel();
        life.tasks.wait().await;
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<tokio_rustls::TlsAcceptor>,
    protocols: &Protocols,
    slot: &ConnectionSlot,
    handler: impl RequestHandler,
) {
    let activity = &slot.activity;
    let Ok(local) = stream.local_addr() else { return };
    let endpoint = Endpoint { local, tls: tls.is_some() };
    let info = ConnectionInfo { peer, endpoint, in_reserve: activity.in_reserve };
    match tls {
        None => serve_one(stream, None, info, protocols, activity, handler).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(protocols.handshake, tls.accept(stream));
            let Some(Ok(Ok(stream))) = unless_evicted(activity, handshake).await else { return };
            activity.restart();
            let version = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Some(Version::Http2),
                Some(b"http/1.1") => Some(Version::Http1),
                _ => None,
            };
            serve_one(stream, version, info, protocols, activity, handler).await;
        }
    }
}

/// Runs `work` unless the connection is evicted or the server stops first.
async fn unless_evicted<F: Future>(activity: &Activity, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    std::future::poll_fn(|cx| {
        activity.register(cx.waker());
        if activity.is_evicted() || activity.is_stopping() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

enum Version {
    Http1,
    Http2,
}

/// Reads until the first bytes determine the peer's protocol.
async fn detect<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<(Version, Bytes)> {
    let mut first = [0; PREFACE.len()];
    let mut len = 0;
    while len < first.len() {
        let n = stream.read(first.get_mut(len..).unwrap_or_default()).await?;
        len += n;
        let read = first.get(..len).unwrap_or_default();
        if n == 0 || !PREFACE.starts_with(read) {
            return Ok((Version::Http1, Bytes::copy_from_slice(read)));
        }
    }
    Ok((Version::Http2, Bytes::copy_from_slice(&first)))
}

async fn serve_one<S>(
    mut stream: S,
    version: Option<Version>,
    info: ConnectionInfo,
    protocols: &Protocols,
    activity: &Arc<Activity>,
    handler: impl RequestHandler,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (version, first) = match version {
        Some(version) => (version, Bytes::new()),
        None => {
            let detected = tokio::time::timeout(protocols.first, detect(&mut stream));
            let Some(Ok(Ok(detected))) = unless_evicted(activity, detected).await else { return };
            detected
        }
    };
    let flushes = Arc::<Flushes>::default();
    let service = hyper::service::service_fn({
        let (activity, flushes) = (activity.clone(), flushes.clone());
        move |request| {
            let (handler, request_began, flushes) = (handler.clone(), activity.begin(), flushes.clone());
            async move {
                let response = match request_began {
                    // The connection is being closed to make room, so this response is not read.
                    None => Response::default().map(|body| SentBody::new(body, flushes, None)),
                    some => handler.handle(info, request).await.map(|body| SentBody::new(body, flushes, some)),
                };
                Ok::<_, Infallible>(response)
            }
        }
    });
    let one_at_a_time = matches!(version, Version::Http1);
    let guarded = GuardedIo::new(stream, first, activity.clone(), one_at_a_time, protocols.stall);
    let io = TokioIo::new(FlushCountingIo::new(guarded, flushes));
    match version {
        Version::Http1 => drive(protocols.http1.serve_connection(io, service), activity, protocols.limits).await,
        Version::Http2 => drive(protocols.http2.serve_connection(io, service), activity, protocols.limits).await,
    }
}

/// Drives a connection until its peer, an error, the watchdog or the server ends it.
async fn drive<C>(connection: C, activity: &Activity, limits: IdleLimits)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    let mut watchdog = Watchdog::new(limits);
    let mut ending = false;
    let ended = std::future::poll_fn(|cx| {
        activity.register(cx.waker());
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if activity.is_evicted() {
                return Poll::Ready(Ok(()));
            }
            if activity.is_stopping() && !ending {
                ending = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            return match ready!(watchdog.poll(activity, cx)) {
                TimeoutKind::Idle if !ending => {
                    ending = true;
                    watchdog.limits.idle = SHUTDOWN_TIMEOUT;
                    activity.restart();
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                _ => Poll::Ready(Ok(())),
            };
        }
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// A timer of a connection. It is moved only when it fires or an earlier deadline appears, so requests in quick
/// succession do not touch it.
struct Watchdog {
    limits: IdleLimits,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watchdog {
    fn new(limits: IdleLimits) -> Self {
        Self { limits, timer: None }
    }

    fn poll(&mut self, activity: &Activity, cx: &mut Context<'_>) -> Poll<TimeoutKind> {
        loop {
            let due = activity.due(&self.limits);
            // While the connection is busy, a check after the idle time is enough.
            let wanted = due.map_or_else(|| Instant::now() + self.limits.idle, |(at, _)| Instant::from_std(at));
            let timer = match &mut self.timer {
                Some(timer) => {
                    if timer.deadline() <= wanted && !timer.is_elapsed() {
                        return Poll::Pending;
                    }
                    timer.as_mut().reset(wanted);
                    timer
                }
                None => self.timer.insert(Box::pin(tokio::time::sleep_until(wanted))),
            };
            ready!(timer.as_mut().poll(cx));
            if let Some((at, why)) = activity.due(&self.limits)
                && Instant::from_std(at) <= Instant::now()
            {
                return Poll::Ready(why);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_a_whole_answer() {
        let (head, body) = FULL.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let problem: fabric_api::Problem = serde_json::from_str(body).unwrap();
        assert_eq!((problem.status, problem.code), (503, fabric_types::Code::Unavailable));
    }

    #[tokio::test]
    async fn the_first_bytes_say_which_protocol_it_is() {
        for (sent, http2) in [
            (&b"GET / HTTP/1.1\r\n"[..], false),
            (b"PRI * HTTP/1.1\r\n", false),
            (b"P", false),
            (b"", false),
            (PREFACE, true),
        ] {
            let mut stream = sent;
            let (version, first) = detect(&mut stream).await.unwrap();
            assert_eq!(matches!(version, Version::Http2), http2, "{sent:?}");
            assert!(sent.starts_with(&first));
        }
    }
}
