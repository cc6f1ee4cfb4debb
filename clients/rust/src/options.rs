//! Options of a client.

use std::{fmt, time::Duration};

/// The options of a [`crate::Client`]. Defaults: no token, the token's own tenant, 5 s to connect, 30 s for an ordinary
/// response, 60 s of silence in a stream, 4 attempts, 60 s for reconnecting.
#[derive(Clone)]
pub struct Options {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) ca_pem: Option<Vec<u8>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) attempts: u32,
    pub(crate) reconnect_for: Duration,
}

impl Options {
    /// Creates options for the server at `url`, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            tenant: None,
            ca_pem: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            attempts: 4,
            reconnect_for: Duration::from_secs(60),
        }
    }

    /// Sets the secret that is sent as a bearer token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets the tenant to act in. Only an admin's token may name a tenant other than its own.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Adds certificates to trust, in PEM, in addition to the system's.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Sets the timeout of an ordinary request. Invocations, uploads and downloads have none. Default 30 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the silence after which a stream counts as broken. Default 60 s.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets the number of attempts for a request that is safe to repeat, 1 to 20. Default 4; 1 means no retry.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.clamp(1, 20);
        self
    }

    /// Sets the duration for which streams of events and logs try to reconnect to a lost server. Default 60 s.
    #[must_use]
    pub fn reconnect_for(mut self, patience: Duration) -> Self {
        self.reconnect_for = patience;
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.url)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}
