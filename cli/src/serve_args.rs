//! The flags of `fabric serve`. `serve_config` resolves them with the configuration file and the environment.

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
    /// Address to listen on [env: FABRIC_LISTEN; default: 127.0.0.1:8080; port 0 takes a free one]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Data folder [env: FABRIC_DATA; default: the user's data folder, ~/.local/share/fabric]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file in TOML; each flag of this command is a key of the same name [env: FABRIC_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Roles of this process: all, or some of gateway, scheduler, node [env: FABRIC_ROLE; default: all]
    #[arg(long, value_name = "ROLE,…", value_delimiter = ',')]
    pub role: Vec<ServerRole>,
    /// Object store: file:///DIR, memory:///, s3://BUCKET/PREFIX [env: FABRIC_STORE; default: a folder below the data
    /// folder]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// NATS servers of the fleet to join, as nats://HOST:4222, separated by commas; all processes of a fleet need the
    /// same store [env: FABRIC_NATS; default: no fleet]
    #[arg(long, value_name = "URL,…")]
    pub nats: Option<String>,
    /// Credentials file for NATS, as written by `nsc` [env: FABRIC_NATS_CREDS; default: the login in the URL]
    #[arg(long, value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
    /// File of PEM certificates to trust for NATS in addition to the system's; requires TLS [env: FABRIC_NATS_CA]
    #[arg(long, value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// File with the seed of this process's nkey for NATS [env: FABRIC_NATS_NKEY; default: the login in the URL]
    #[arg(long, value_name = "FILE", conflicts_with = "nats_creds")]
    pub nats_nkey: Option<PathBuf>,
    /// This process's certificate for NATS, in PEM [env: FABRIC_NATS_CERT]
    #[arg(long, value_name = "FILE")]
    pub nats_cert: Option<PathBuf>,
    /// That certificate's private key, in PEM [env: FABRIC_NATS_KEY]
    #[arg(long, value_name = "FILE")]
    pub nats_key: Option<PathBuf>,
    /// CA certificate of the other processes, in PEM [env: FABRIC_PEER_CA; default: the system's]
    #[arg(long, value_name = "FILE")]
    pub peer_ca: Option<PathBuf>,
    /// Time without a renewal before another process takes over the jobs; must be the same for all processes [env:
    /// FABRIC_JOB_LEASE; default: 9]
    #[arg(long, value_name = "SECONDS")]
    pub job_lease: Option<u64>,
    /// This process's name in the fleet [env: FABRIC_NAME; default: a random one, stored in the data folder]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// URL at which other processes of the fleet reach this one [env: FABRIC_ADVERTISE; default: the address it listens
    /// on]
    #[arg(long, value_name = "URL")]
    pub advertise: Option<String>,
    /// The certificate chain to serve TLS with, in PEM [env: FABRIC_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM [env: FABRIC_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Listen beyond loopback without TLS: anyone on the network can read tokens and data [env: FABRIC_INSECURE_LISTEN;
    /// default: false]
    #[arg(long)]
    pub insecure_listen: bool,
    /// API of a JupyterHub whose users may log in with their Hub tokens, such as https://hub.example.org/hub/api [env:
    /// FABRIC_JUPYTERHUB; default: none]
    #[arg(long, value_name = "URL")]
    pub jupyterhub: Option<String>,
    /// Name of this fabric as a service of the Hub; a token needs the scope access:services!service=NAME [env:
    /// FABRIC_JUPYTERHUB_SERVICE; default: fabric]
    #[arg(long, value_name = "NAME")]
    pub jupyterhub_service: Option<String>,
    /// Tenant and role of the Hub's users: WHO=TENANT/ROLE, where WHO is user:NAME, group:NAME, admins or everyone and
    /// {user} in TENANT is the user's name; may be repeated, the first match applies [env: FABRIC_JUPYTERHUB_MAP;
    /// default: everyone=hub-{user}/developer]
    #[arg(long, value_name = "RULE")]
    pub jupyterhub_map: Vec<Rule>,
    /// Time to cache the Hub's answer about a token; a revoked token works for up to this time [env:
    /// FABRIC_JUPYTERHUB_CACHE; default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub jupyterhub_cache: Option<u64>,
    /// Maximum number of guests that run at once [env: FABRIC_SLOTS; default: one per CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub slots: Option<u32>,
    /// Labels of this node, for functions that require them; may be repeated [env: FABRIC_LABELS; default: none]
    #[arg(long, value_name = "KEY=VALUE,…", value_delimiter = ',', value_parser = label::parse)]
    pub labels: Vec<(String, String)>,
    /// Memory for guests, request bodies, results and caches together, such as 16GiB; requests beyond it are refused,
    /// and placement counts with it [env: FABRIC_MEMORY; default: 80 % of the machine's or the control group's]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Maximum share of that memory for one tenant, in per cent [env: FABRIC_TENANT_MEMORY_SHARE; default: 75]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub tenant_memory_share: Option<u32>,
    /// Speed of one CPU relative to a typical one, 0.01 to 100 [env: FABRIC_SPEED; default: measured at the start]
    #[arg(long, value_name = "FACTOR")]
    pub speed: Option<f64>,
    /// GPUs to offer [env: FABRIC_GPUS; default: those of NVIDIA's driver]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub gpus: Option<u32>,
    /// GPU that guests use through fabric:gpu: off; auto, a hardware GPU, or, for functions that only prefer one, a
    /// software driver that completes long loops; any, also a software driver for all functions, for tests [env:
    /// FABRIC_GPU; default: auto]
    #[arg(long, value_name = "WHICH")]
    pub gpu: Option<GpuChoice>,
    /// Part of the adapter's name, case-insensitive [env: FABRIC_GPU_ADAPTER; default: the best one, hardware before
    /// software]
    #[arg(long, value_name = "NAME")]
    pub gpu_adapter: Option<String>,
    /// GPU memory for all calls together, such as 16GiB [env: FABRIC_GPU_MEMORY; default: 512MiB]
    #[arg(long, value_name = "SIZE")]
    pub gpu_memory: Option<ByteSize>,
    /// Limits of compilations, and the user of workers.
    #[command(flatten)]
    pub workers: WorkerArgs,
    /// Kinds of modules to run: task, http, command [env: FABRIC_ACCEPT; default: all]
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    pub accept: Vec<EntryKind>,
    /// Maximum number of map tasks of a job, 1 to 10000000; planning refuses more [env: FABRIC_MAX_TASKS; default:
    /// 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub max_tasks: Option<u32>,
    /// Format of the server's log on standard error [env: FABRIC_LOG_FORMAT; default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Write the log to this file instead of standard error. A full file is renamed to FILE.1 and a new one is started
    /// [env: FABRIC_LOG_FILE; default: none]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Size at which that file is rotated, checked every five seconds [env: FABRIC_LOG_FILE_SIZE; default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub log_file_size: Option<ByteSize>,
    /// Number of log files to keep, the current one included [env: FABRIC_LOG_FILES; default: 5]
    #[arg(long, value_name = "N")]
    pub log_files: Option<usize>,
    /// OTLP/HTTP collector to send spans to [env: FABRIC_OTLP_ENDPOINT; default: none]
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Settings of the shutdown.
    #[command(flatten)]
    pub shutdown: ShutdownArgs,
    /// Settings of connections.
    #[command(flatten)]
    pub connections: ConnectionArgs,
}

/// A role of a server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerRole {
    /// All roles.
    All,
    /// Answers clients.
    Gateway,
    /// Owns jobs.
    Scheduler,
    /// Runs guests.
    Node,
}

/// The GPU that guests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GpuChoice {
    /// None.
    Off,
    /// A hardware GPU, or, for functions that only prefer one, a software driver that completes long loops.
    Auto,
    /// A hardware GPU or a software driver, for all functions.
    Any,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
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
by_value_enum!(ServerRole);
by_value_enum!(LogFormat);
by_value_enum!(GpuChoice);
