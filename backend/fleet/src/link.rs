//! The connection of this process to NATS: opening it, its state, and counters of invalid messages. Other modules
//! define the messages.

use crate::{
    Error,
    handshake::Handshakes,
    options::{FleetOptions, Login},
    seal::Seal,
};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, Subscriber};
use bytes::Bytes;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// Messages that a subscription buffers. Later ones are lost, and the loss counts as a gap, after which listeners poll.
const WAITING: usize = 8192;
/// Maximum time that a write waits to publish its notice.
const NOTICE_TIMEOUT: Duration = Duration::from_millis(50);
/// Maximum delay between two attempts to reconnect.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) ignored: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    pub(crate) overflows: AtomicU64,
    pub(crate) store_races: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The state of the connection, and the number of times that messages may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionState {
    pub(crate) connected: bool,
    /// Grows with every reconnect and every overflow. Listeners poll after a change.
    pub(crate) gaps: u64,
}

/// The connection.
#[derive(Clone)]
pub(crate) struct Link {
    client: Client,
    connection: watch::Receiver<ConnectionState>,
    pub(crate) counters: Arc<Counters>,
    /// Random number that distinguishes this process's messages from those of others.
    pub(crate) origin: u64,
    pub(crate) seal: Arc<Seal>,
    pub(crate) handshakes: Arc<Handshakes>,
    prefix: Arc<str>,
    timeout: Duration,
}

fn nats(
    context: impl Into<String>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    retryable: bool,
) -> Error {
    Error::Backend { backend: "nats", context: context.into(), source: source.into(), retryable }
}

/// Creates an error for an unusable setting.
fn setting(context: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Setting { backend: "nats", context: context.into(), source: source.into() }
}

/// Returns a URL without its credentials.
fn shown(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            let (head, tail) = (url.get(..scheme + 3).unwrap_or_default(), url.get(at + 1..).unwrap_or_default());
            format!("{head}…@{tail}")
        }
        (None, Some(at)) => format!("…@{}", url.get(at + 1..).unwrap_or_default()),
        _ => url.to_owned(),
    }
}

/// Decodes `%XX`.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *byte == b'%') {
            Some(decoded) => {
                out.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns the login in the URLs, which the client itself ignores.
fn login_in(servers: &[ServerAddr]) -> Option<Login> {
    servers.iter().find_map(|server| {
        let user = percent_decoded(server.username()?);
        Some(match server.password() {
            Some(password) => Login::User { user, password: percent_decoded(password) },
            None => Login::Token(user),
        })
    })
}

/// Returns `true` if TLS failed. The client reports such failures as I/O errors.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<async_nats::rustls::Error>() || inner.is_some_and(|inner| inner.is::<async_nats::rustls::Error>())
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn servers(urls: &[String]) -> Result<Vec<ServerAddr>, Error> {
    if urls.is_empty() {
        return Err(setting("no NATS server is configured", "hint: give --nats nats://HOST:4222"));
    }
    urls.iter()
        .map(|url| {
            url.parse().map_err(|e: std::io::Error| {
                let hint = format!("{e}; hint: write it as nats://HOST:4222 or tls://HOST:4222");
                setting(format!("`{}` is not the address of a NATS server", shown(url)), hint)
            })
        })
        .collect()
}

/// Converts the error of the first connection, with a hint.
fn refused(urls: &[String], error: async_nats::ConnectError) -> Error {
    let list = urls.iter().map(|url| shown(url)).collect::<Vec<_>>().join(", ");
    let kind = if is_tls(&error) { ConnectErrorKind::Tls } else { error.kind() };
    let (what, hint) = match kind {
        ConnectErrorKind::ServerParse => ("the address is wrong", "write it as nats://HOST:4222"),
        ConnectErrorKind::Dns => ("no such host", "check the host's name"),
        ConnectErrorKind::Authentication => ("the credentials are unusable", "check the nkey seed or the creds file"),
        ConnectErrorKind::AuthorizationViolation => {
            ("the login was refused", "check user and password, token, nkey or creds file")
        }
        ConnectErrorKind::Tls => {
            ("TLS failed", "check the CA and the client's certificate, and that the server's name matches")
        }
        ConnectErrorKind::TimedOut => ("no answer in time", "check the address, the port and the firewall"),
        _ => ("can't connect", "check that nats-server runs there and the port is its client port"),
    };
    let context = format!("NATS at {list}: {what}; hint: {hint}");
    // The client's error may be shown: errors of these kinds do not contain a URL with a password.
    match kind {
        ConnectErrorKind::AuthorizationViolation => {
            Error::Refused { backend: "nats", context, source: Box::new(error) }
        }
        ConnectErrorKind::ServerParse | ConnectErrorKind::Authentication | ConnectErrorKind::Tls => {
            setting(context, error)
        }
        _ => nats(context, error, true),
    }
}

async fn connect_options(options: &FleetOptions, servers: &[ServerAddr]) -> Result<ConnectOptions, Error> {
    let connect = ConnectOptions::new();
    let in_url = if options.login == Login::None { login_in(servers) } else { None };
    let connect = match in_url.as_ref().unwrap_or(&options.login) {
        Login::None => connect,
        Login::User { user, password } => connect.user_and_password(user.clone(), password.clone()),
        Login::Token(token) => connect.token(token.clone()),
        Login::Nkey(seed) => connect.nkey(seed.trim().to_owned()),
        Login::Credentials(path) => connect.credentials_file(path).await.map_err(|e| {
            setting(
                format!("read the credentials in `{}`; hint: it must be a file created by `nsc`", path.display()),
                e,
            )
        })?,
    };
    let tls = &options.tls;
    let readable = |path: &std::path::Path| {
        std::fs::File::open(path).map(drop).map_err(|e| setting(format!("read `{}`", path.display()), e))
    };
    let mut connect = connect.require_tls(tls.required || tls.ca.is_some() || tls.client.is_some());
    if let Some(ca) = &tls.ca {
        readable(ca)?;
        connect = connect.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &tls.client {
        readable(certificate)?;
        readable(key)?;
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    let times = options.times;
    Ok(connect
        .name(&options.client)
        .connection_timeout(times.nats_connect)
        .ping_interval(times.nats_ping)
        .request_timeout(Some(times.nats_request))
        .subscription_capacity(WAITING)
        .max_reconnects(None)
        .reconnect_delay_callback(|tries| {
            // The first attempt is immediate, since other servers may be up if one of several was lost.
            let steps = u32::try_from(tries.saturating_sub(1).min(7)).unwrap_or(7);
            let pause = (Duration::from_millis(50) * 2u32.pow(steps)).min(LONGEST_PAUSE);
            if tries <= 1 { Duration::ZERO } else { pause.mul_f64(0.5 + rand::random::<f64>() / 2.0) }
        }))
}

impl Link {
    /// Connects. The receiver yields the handshake messages to send to other processes, see [`crate::handshake::listen`].
    pub(crate) async fn open(
        options: &FleetOptions,
        key: [u8; 32],
    ) -> Result<(Self, mpsc::Receiver<(u64, Bytes)>), Error> {
        let servers = servers(&options.nats)?;
        let counters = Arc::new(Counters::default());
        let (sender, connection) = watch::channel(ConnectionState { connected: true, gaps: 0 });
        let (told, sender) = (Arc::clone(&counters), Arc::new(sender));
        let connect = connect_options(options, &servers).await?.event_callback(move |event| {
            let (told, sender) = (Arc::clone(&told), Arc::clone(&sender));
            async move { on_event(&event, &told, &sender) }
        });
        // One timeout per server, and one for the handshake with the last one.
        let limit = options.times.nats_connect * (u32::try_from(servers.len()).unwrap_or(u32::MAX).saturating_add(1));
        let client = match tokio::time::timeout(limit, connect.connect(servers)).await {
            Ok(client) => client.map_err(|e| refused(&options.nats, e))?,
            Err(late) => {
                let list = options.nats.iter().map(|url| shown(url)).collect::<Vec<_>>().join(", ");
                return Err(nats(format!("NATS at {list}: no answer in time"), late, true));
            }
        };
        let origin = rand::random();
        let (handshakes, sending) = Handshakes::new();
        let link = Self {
            client,
            connection,
            counters,
            origin,
            seal: Arc::new(Seal::new(key, origin)),
            handshakes: Arc::new(handshakes),
            prefix: options.name.as_str().into(),
            timeout: options.times.nats_request,
        };
        Ok((link, sending))
    }

    /// Returns the full subject.
    pub(crate) fn subject(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.borrow().connected
    }

    pub(crate) fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.clone()
    }

    /// Returns the error of a call without a connection. Messages are not queued, since they would be stale later.
    pub(crate) fn disconnected_error(context: &str) -> Error {
        nats(context, "not connected to NATS, reconnecting", true)
    }

    /// Counts and drops a message that no process of this fleet would send.
    pub(crate) fn ignore(&self, subject: &str, why: &str) {
        Counters::count(&self.counters.ignored);
        tracing::debug!(subject, why, "message ignored");
    }

    /// Counts and drops a message that no process of this fleet sealed, or that was received before.
    pub(crate) fn refuse(&self, subject: &str, why: &str) {
        Counters::count(&self.counters.refused);
        tracing::debug!(subject, why, "message refused");
    }

    /// Seals and publishes a message.
    pub(crate) async fn publish(&self, context: &'static str, subject: String, payload: Bytes) -> Result<(), Error> {
        let (_, sealed) = self.seal.seal(&subject, &payload);
        self.publish_raw(context, subject, sealed).await
    }

    /// Publishes a message that is already sealed.
    pub(crate) async fn publish_raw(
        &self,
        context: &'static str,
        subject: String,
        payload: Bytes,
    ) -> Result<(), Error> {
        if !self.is_connected() {
            return Err(Self::disconnected_error(context));
        }
        match tokio::time::timeout(self.timeout, self.client.publish(subject, payload)).await {
            Ok(sent) => sent.map_err(|e| nats(context, e, true)),
            Err(late) => Err(nats(context, late, true)),
        }
    }

    /// Publishes a notice that receivers could also find by polling. Bounded in time, so that it does not delay the
    /// write it reports.
    pub(crate) async fn publish_notice(&self, context: &'static str, subject: String, payload: Bytes) {
        match tokio::time::timeout(NOTICE_TIMEOUT, self.publish(context, subject, payload)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "failed to publish a notice"),
            Err(_) => tracing::debug!(context, "publishing a notice timed out"),
        }
    }

    /// Subscribes without verification of messages. Returns after the server has registered the subscription.
    pub(crate) async fn subscribe_raw(&self, context: &'static str, subject: String) -> Result<Subscriber, Error> {
        let listen = async {
            let subscriber = self.client.subscribe(subject).await.map_err(|e| nats(context, e, true))?;
            self.client.flush().await.map_err(|e| nats(context, e, true))?;
            Ok(subscriber)
        };
        match tokio::time::timeout(self.timeout, listen).await {
            Ok(subscriber) => subscriber,
            Err(late) => Err(nats(context, late, true)),
        }
    }

    /// Returns after the server has received all earlier messages.
    pub(crate) async fn flush(&self, context: &'static str) -> Result<(), Error> {
        match tokio::time::timeout(self.timeout, self.client.flush()).await {
            Ok(done) => done.map_err(|e| nats(context, e, true)),
            Err(late) => Err(nats(context, late, true)),
        }
    }
}

fn on_event(event: &Event, counters: &Counters, connection: &watch::Sender<ConnectionState>) {
    match event {
        Event::Connected => connection.send_modify(|connection| {
            if !connection.connected {
                Counters::count(&counters.reconnects);
                tracing::info!("reconnected to nats");
                *connection = ConnectionState { connected: true, gaps: connection.gaps + 1 };
            }
        }),
        Event::Disconnected | Event::Closed => connection.send_modify(|connection| {
            // Closed is the normal state after the backend was dropped.
            if connection.connected && matches!(event, Event::Disconnected) {
                tracing::warn!("lost the connection to nats");
            }
            connection.connected = false;
        }),
        Event::SlowConsumer(_) => {
            Counters::count(&counters.overflows);
            connection.send_modify(|connection| connection.gaps += 1);
        }
        Event::ServerError(error) => tracing::warn!(%error, "nats server error"),
        Event::ClientError(error) => tracing::debug!(%error, "nats client error"),
        Event::LameDuckMode | Event::Draining => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_read_from_urls_and_not_shown() {
        let login = |url: &str| login_in(&[url.parse().unwrap()]);
        let user = Login::User { user: "me@x".to_owned(), password: "a:b%c".to_owned() };
        assert_eq!(login("nats://me%40x:a%3Ab%25c@host"), Some(user));
        assert_eq!(login("nats://token@host"), Some(Login::Token("token".to_owned())));
        assert_eq!(login("nats://host"), None);
        assert_eq!(shown("nats://me:secret@host:1"), "nats://…@host:1");
        assert_eq!(shown("me:secret@host:1"), "…@host:1");
        assert_eq!(shown("nats://host:1"), "nats://host:1");
    }
}
