//! How a fleet is opened.

use object_store::{ObjectStore, path::Path};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

/// How this process proves to NATS who it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Login {
    /// Not at all, or by what the URL says (`nats://user:password@host`). The default.
    #[default]
    None,
    /// A user and a password.
    User {
        /// Who.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token(String),
    /// The seed of an nkey, as in `SUAB…`.
    Nkey(String),
    /// A `.creds` file, as `nsc` writes it.
    Credentials(PathBuf),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the secrets.
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
    /// Whether TLS is insisted on, even where the URL says `nats://`. Default: no.
    pub required: bool,
    /// A PEM file of authorities to trust beside the system's. Default: none.
    pub ca: Option<PathBuf>,
    /// PEM files of this process's certificate and its key. Default: none.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Time limits and intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// One request to the object store. Each is tried four times. Default: 10 s.
    pub store_request: Duration,
    /// One message to NATS and its answer. Default: 2 s.
    pub nats_request: Duration,
    /// Connecting to one NATS server. Default: 5 s.
    pub nats_connect: Duration,
    /// How often NATS is pinged; after two pings without an answer the connection counts as lost. Default: 2 s.
    pub nats_ping: Duration,
    /// How long a send looks for a lane that is not there before it gives up; servers of a cluster learn of lanes a little
    /// later than each other. Default: 300 ms.
    pub lane_grace: Duration,
    /// How often watchers and followers look by themselves, which is how late they are when a notice is lost. Default: 10 s.
    pub look_every: Duration,
    /// How long nobody is called silent after NATS was lost: who can't hear doesn't know. Default: 15 s.
    pub deaf: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            store_request: Duration::from_secs(10),
            nats_request: Duration::from_secs(2),
            nats_connect: Duration::from_secs(5),
            nats_ping: Duration::from_secs(2),
            lane_grace: Duration::from_millis(300),
            look_every: Duration::from_secs(10),
            deaf: Duration::from_secs(15),
        }
    }
}

/// Everything a fleet needs to know. Make one with [`FleetOptions::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// The fabric's name: the first part of every NATS subject and a folder of the store, so that several fabrics can share
    /// servers. Lower-case letters, digits and hyphens. Default: `fabric`.
    pub name: String,
    /// What this process is called in the list of NATS connections. Default: `fabric`.
    pub client: String,
    /// The store for what must last. It must give entity tags and keep conditional writes.
    pub store: Arc<dyn ObjectStore>,
    /// Where in the store everything is put, below it in `engine/{name}`.
    pub root: Path,
    /// NATS servers, as `nats://host:4222` or `tls://…`; servers of their cluster are found by themselves.
    pub nats: Vec<String>,
    /// The login.
    pub login: Login,
    /// TLS to NATS.
    pub tls: Tls,
    /// Time limits.
    pub times: Times,
}

impl FleetOptions {
    /// The defaults over this store and these NATS servers.
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
