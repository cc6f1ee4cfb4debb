//! How a client is set up.

use std::{fmt, time::Duration};

/// What a [`crate::Client`] needs to know. Defaults: no token, the token's own tenant, 5 s to connect, 30 s for an
/// ordinary answer, 60 s of silence in a stream, 4 attempts.
#[derive(Clone)]
pub struct Options {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) ca_pem: Option<Vec<u8>>,
    pub(crate) connect_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) attempts: u32,
    pub(crate) reconnect_for: Duration,
}

impl Options {
    /// A client of the server at `url`, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            tenant: None,
            ca_pem: None,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            attempts: 4,
            reconnect_for: Duration::from_secs(60),
        }
    }

    /// The secret to send as a bearer token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The tenant to act in; only an admin's token may name another than its own.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Certificates to trust besides the system's, in PEM.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// How long an ordinary request may take. Invocations, uploads and downloads have no such limit. Default 30 s.
    #[must_use]
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// How long a stream may be silent before it counts as broken. Default 60 s.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How often a request that may safely be repeated is sent. Default 4; 1 means never again.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.clamp(1, 20);
        self
    }

    /// How long the followers of events and logs try to reach a server that went away. Default 60 s.
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
