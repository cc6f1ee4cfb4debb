//! The flags of `fabric serve`. What they mean together with the file and the environment is in `serve_config`.

use crate::connection_config::ConnectionArgs;
use crate::shutdown_config::ShutdownArgs;
use crate::worker_config::WorkerArgs;
use clap::{Args, ValueEnum};
use fabric_gateway::jupyterhub::Rule;
use fabric_types::{function::EntryKind, label, units::ByteSize};
use serde::Deserialize;
use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// Flags of `fabric serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Where to listen [env: FABRIC_LISTEN; default: 127.0.0.1:8080; port 0 takes a free one]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where everything is kept [env: FABRIC_DATA; default: the user's data folder, ~/.local/share/fabric]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A configuration file, TOML: each flag of this command is a key of the same name [env: FABRIC_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What this process does: all, or some of gateway, scheduler, node [env: FABRIC_ROLE; default: all]
    #[arg(long, value_name = "ROLE,…", value_delimiter = ',')]
    pub role: Vec<Role>,
    /// Where objects are kept: file:///DIR, memory:///, s3://BUCKET/PREFIX [env: FABRIC_STORE; default: the data folder]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Join a fleet: its NATS servers, as nats://HOST:4222, separated by commas. The store must be one that all processes
    /// share [env: FABRIC_NATS; default: no fleet]
    #[arg(long, value_name = "URL,…")]
    pub nats: Option<String>,
    /// A credentials file for NATS, as `nsc` writes it [env: FABRIC_NATS_CREDS; default: what the URL says]
    #[arg(long, value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
    /// Certificates to trust for NATS besides the system's, in PEM; insists on TLS [env: FABRIC_NATS_CA]
    #[arg(long, value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// A file with the seed of this process's nkey for NATS [env: FABRIC_NATS_NKEY; default: what the URL says]
    #[arg(long, value_name = "FILE", conflicts_with = "nats_creds")]
    pub nats_nkey: Option<PathBuf>,
    /// This process's certificate for NATS, in PEM [env: FABRIC_NATS_CERT]
    #[arg(long, value_name = "FILE")]
    pub nats_cert: Option<PathBuf>,
    /// That certificate's private key, in PEM [env: FABRIC_NATS_KEY]
    #[arg(long, value_name = "FILE")]
    pub nats_key: Option<PathBuf>,
    /// The authority that signed the other processes' certificates, in PEM [env: FABRIC_PEER_CA; default: the system's]
    #[arg(long, value_name = "FILE")]
    pub peer_ca: Option<PathBuf>,
    /// How long the owner of the jobs may be silent before another process takes over; the same for all
    /// [env: FABRIC_JOB_LEASE; default: 9]
    #[arg(long, value_name = "SECONDS")]
    pub job_lease: Option<u64>,
    /// This process's name in the fleet [env: FABRIC_NAME; default: made once and kept in the data folder]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where other processes of the fleet reach this one [env: FABRIC_ADVERTISE; default: the address it listens on]
    #[arg(long, value_name = "URL")]
    pub advertise: Option<String>,
    /// The certificate chain to serve TLS with, in PEM [env: FABRIC_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM [env: FABRIC_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Listen beyond loopback without TLS: tokens and data cross the network readable by anyone on it
    /// [env: FABRIC_INSECURE_LISTEN; default: false]
    #[arg(long)]
    pub insecure_listen: bool,
    /// Let the users of a JupyterHub in with their Hub tokens: the Hub's API, such as https://hub.example.org/hub/api
    /// [env: FABRIC_JUPYTERHUB; default: none]
    #[arg(long, value_name = "URL")]
    pub jupyterhub: Option<String>,
    /// The name under which the Hub knows this fabric; a token needs the scope access:services!service=NAME
    /// [env: FABRIC_JUPYTERHUB_SERVICE; default: fabric]
    #[arg(long, value_name = "NAME")]
    pub jupyterhub_service: Option<String>,
    /// Which tenant and role a user of the Hub gets: WHO=TENANT/ROLE, where WHO is user:NAME, group:NAME, admins or everyone
    /// and {user} in TENANT is the user's name; may be repeated, the first that fits wins
    /// [env: FABRIC_JUPYTERHUB_MAP; default: everyone=hub-{user}/developer]
    #[arg(long, value_name = "RULE")]
    pub jupyterhub_map: Vec<Rule>,
    /// How long the Hub's word about a token is believed; so long a revoked one still works
    /// [env: FABRIC_JUPYTERHUB_CACHE; default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub jupyterhub_cache: Option<u64>,
    /// Guests to run at once [env: FABRIC_SLOTS; default: one per CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub slots: Option<u32>,
    /// Labels of this node, for functions that ask for them; may be repeated [env: FABRIC_LABELS; default: none]
    #[arg(long, value_name = "KEY=VALUE,…", value_delimiter = ',', value_parser = label::parse)]
    pub labels: Vec<(String, String)>,
    /// Memory for guests, request bodies, results and caches together, such as 16GiB; what finds none is refused. Placement counts
    /// with it too [env: FABRIC_MEMORY; default: 80 % of the machine's or the control group's]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// The most of that memory that one tenant may have, in per cent [env: FABRIC_TENANT_MEMORY_SHARE; default: 75]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub tenant_memory_share: Option<u32>,
    /// Speed of one CPU relative to a usual one, 0.01 to 100 [env: FABRIC_SPEED; default: measured at the start]
    #[arg(long, value_name = "FACTOR")]
    pub speed: Option<f64>,
    /// GPUs to offer [env: FABRIC_GPUS; default: those of NVIDIA's driver]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub gpus: Option<u32>,
    /// Which GPU guests use through fabric:gpu: off; auto, a GPU, or for functions that only prefer one a software driver
    /// whose long loops run to their end; any, a software driver for all, as tests need it [env: FABRIC_GPU; default: auto]
    #[arg(long, value_name = "WHICH")]
    pub gpu: Option<GpuChoice>,
    /// A part of the adapter's name, in any case [env: FABRIC_GPU_ADAPTER; default: the best one, a GPU before software]
    #[arg(long, value_name = "NAME")]
    pub gpu_adapter: Option<String>,
    /// Memory of the GPU for all calls together, such as 16GiB [env: FABRIC_GPU_MEMORY; default: 512MiB]
    #[arg(long, value_name = "SIZE")]
    pub gpu_memory: Option<ByteSize>,
    /// Limits of compilations, and the user of workers.
    #[command(flatten)]
    pub workers: WorkerArgs,
    /// Kinds of modules to run: task, http, command [env: FABRIC_ACCEPT; default: all]
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    pub accept: Vec<EntryKind>,
    /// Map tasks that one job may have, 1 to 10000000; planning refuses more [env: FABRIC_MAX_TASKS; default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub max_tasks: Option<u32>,
    /// How the server's own log is written to standard error [env: FABRIC_LOG_FORMAT; default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Write the log to this file instead of standard error. When it is full it is renamed to FILE.1 and begun anew
    /// [env: FABRIC_LOG_FILE; default: none]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Bytes of that file at which the next is begun, looked at every five seconds [env: FABRIC_LOG_FILE_SIZE; default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub log_file_size: Option<ByteSize>,
    /// How many such files are kept, the one that is written to included [env: FABRIC_LOG_FILES; default: 5]
    #[arg(long, value_name = "N")]
    pub log_files: Option<usize>,
    /// Where to send spans: an OTLP/HTTP collector [env: FABRIC_OTLP_ENDPOINT; default: nowhere]
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// An orderly end.
    #[command(flatten)]
    pub shutdown: ShutdownArgs,
    /// Connections.
    #[command(flatten)]
    pub connections: ConnectionArgs,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    All,
    /// Answers clients.
    Gateway,
    /// Owns jobs.
    Scheduler,
    /// Runs guests.
    Node,
}

/// Which GPU guests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuChoice {
    /// None.
    Off,
    /// A GPU, or for functions that only prefer one a software driver whose long loops run to their end.
    Auto,
    /// A software driver too, for all functions.
    Any,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

macro_rules! by_value_enum {
    ($name:ident) => {
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                <Self as ValueEnum>::from_str(text, false)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.to_possible_value().as_ref().map_or("", |v| v.get_name()))
            }
        }
    };
}
by_value_enum!(Role);
by_value_enum!(LogFormat);
by_value_enum!(GpuChoice);
