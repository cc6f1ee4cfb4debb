//! Options for opening a fleet.

use object_store::{ObjectStore, path::Path};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// Credentials of this process for NATS.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// None, or those in the URL (`nats://user:password@host`). The default.
    #[default]
    None,
    /// A user and a password.
    User {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
    /// The seed of an nkey, as in `SUAB…`.
    Nkey(String),
    /// A `.creds` file, as written by `nsc`.
    Credentials(PathBuf),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets are never shown.
        match self {
            Self::None => f.write_str("None"),
            Self::User { user, .. } => write!(f, "User({user})"),
            Self::Token(_) => f.write_str("Token"),
            Self::Nkey(_) => f.write_str("Nkey"),
            Self::Credentials(path) => write!(f, "Credentials({})", path.display()),
        }
    }
}

/// TLS to NATS. The process must have installed a rustls provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Requires TLS even if the URL begins with `nats://`. Default: `false`.
    pub required: bool,
    /// A PEM file of certificate authorities to trust in addition to the system's. Default: none.
    pub ca: Option<PathBuf>,
    /// PEM files of this process's certificate and its key. Default: none.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Time limits and intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Limit of one request to the object store. Each request is attempted four times. Default: 10 s.
    pub store_request: Duration,
    /// Limit of one message to NATS and its answer. Default: 2 s.
    pub nats_request: Duration,
    /// Limit of connecting to one NATS server. Default: 5 s.
    pub nats_connect: Duration,
    /// Interval of pings to NATS. After two unanswered pings the connection counts as lost. Default: 2 s.
    pub nats_ping: Duration,
    /// Time that a send waits for a lane that does not exist. Servers of a cluster learn of a new lane at slightly
    /// different times. Default: 300 ms.
    pub lane_grace: Duration,
    /// Polling interval of watchers and followers, which bounds their delay after a lost notice. Default: 10 s.
    pub poll_interval: Duration,
    /// Time after the loss of NATS during which no node counts as absent, since announcements cannot arrive. Default:
    /// 15 s.
    pub outage_grace: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            store_request: Duration::from_secs(10),
            nats_request: Duration::from_secs(2),
            nats_connect: Duration::from_secs(5),
            nats_ping: Duration::from_secs(2),
            lane_grace: Duration::from_millis(300),
            poll_interval: Duration::from_secs(10),
            outage_grace: Duration::from_secs(15),
        }
    }
}

/// Options of a fleet. Created with [`FleetOptions::new`]; fields that differ are set afterwards.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// The name of the fabric: the first part of every NATS subject and a folder in the store, so that several fabrics
    /// can share servers. Lower-case letters, digits and hyphens. Default: `fabric`.
    pub name: String,
    /// The name of this process in the list of NATS connections. Default: `fabric`.
    pub client: String,
    /// The store for durable data. It must return entity tags and honour conditional writes.
    pub store: Arc<dyn ObjectStore>,
    /// Prefix of all objects in the store. The state of a fabric is below it, under `state/{name}/`.
    pub root: Path,
    /// NATS servers, as `nats://host:4222` or `tls://…`. Other servers of their cluster are discovered.
    pub nats: Vec<String>,
    /// The login.
    pub login: Login,
    /// TLS to NATS.
    pub tls: Tls,
    /// Time limits.
    pub times: Times,
}

impl FleetOptions {
    /// Returns the default options for a store and NATS servers.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, root: Path, nats: Vec<String>) -> Self {
        Self {
            name: "fabric".to_owned(),
            client: "fabric".to_owned(),
            store,
            root,
            nats,
            login: Login::None,
            tls: Tls::default(),
            times: Times::default(),
        }
    }
}
