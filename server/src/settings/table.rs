//! The table of the server's settings. A row is the only place to add one; `declare` describes its form.

use super::{
    choices::{GpuChoice, LogFormat, RoleSet},
    declare::{Layers, Resolved as _, names, or_else, resolved_type, settings},
    invalid::{InvalidSettings, read_file},
    placement::Placement,
    storage::StorageConfig,
    tables::{FileTable, SettingsTable},
    value::SettingValue,
    {SettingRow, hide_userinfo, is_address},
};
use clap::{Arg, value_parser};
use fabric_client::settings::{Env, Origin, Setting, default_data_dir};
use fabric_gateway::{
    FunctionsDomain,
    jupyterhub::{MAX_CACHE_TTL, Rule},
};
use fabric_host::{CompileOptions, WorkerCommand};
use fabric_types::{
    ceilings::Ceilings, function::EntryKind, grants::GrantRules, label::Labels, memory::DEFAULT_TENANT_SHARE,
    price::Prices, units::ByteSize,
};
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

/// Minimum memory. Less leaves none for calls.
pub(crate) const LEAST_MEMORY: ByteSize = ByteSize::mib(128);

/// Seconds of a day: the maximum of most durations.
const DAY_S: u64 = 86_400;

/// Returns the flag of the configuration file, which is no key of that file.
fn config_flag() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Configuration file in TOML; each flag of this command is a key of the same name [env: FABRIC_CONFIG]")
}

/// Returns the sandbox's default limits of a compilation.
fn compile_defaults() -> CompileOptions {
    CompileOptions::new(WorkerCommand::default())
}

/// Returns the gateway's default limits of connections.
fn gateway_defaults() -> fabric_gateway::Options {
    fabric_gateway::Options::default()
}

/// Hides secrets in a list of URLs.
fn hide_userinfo_in_list(urls: &str) -> String {
    urls.split(',').map(hide_userinfo).collect::<Vec<_>>().join(",")
}

settings! {
    rows {
        listen: SocketAddr {
            help: "Address to listen on",
            value: "ADDR:PORT",
            default: SocketAddr::from(([127, 0, 0, 1], 8080)) => "127.0.0.1:8080; port 0 takes a free one",
        }
        data: PathBuf {
            help: "Data folder",
            value: "DIR",
            default: default_data_dir().unwrap_or_default() => "the user's data folder, ~/.local/share/fabric",
        }
        role: RoleSet {
            help: "Roles of this process: all, or some of gateway, scheduler, node",
            value: "ROLE,…",
            default: RoleSet::ALL => "all",
        }
        store: String {
            help: "Object store: file:///DIR, memory:///, s3://BUCKET/PREFIX",
            value: "URL",
            unset: "a folder below the data folder",
            show: |url| hide_userinfo(url),
        }
        nats: String {
            help: "NATS servers of the fleet to join, as nats://HOST:4222, separated by commas; all processes of a fleet \
                need the same store",
            value: "URL,…",
            unset: "no fleet",
            show: |urls| hide_userinfo_in_list(urls),
        }
        nats_creds: PathBuf {
            help: "Credentials file for NATS, as written by `nsc`",
            value: "FILE",
            unset: "the login in the URL",
        }
        nats_ca: PathBuf {
            help: "File of PEM certificates to trust for NATS in addition to the system's; requires TLS",
            value: "FILE",
        }
        nats_nkey: PathBuf {
            help: "File with the seed of this process's nkey for NATS",
            value: "FILE",
            unset: "the login in the URL",
        }
        nats_cert: PathBuf {
            help: "This process's certificate for NATS, in PEM",
            value: "FILE",
        }
        nats_key: PathBuf {
            help: "That certificate's private key, in PEM",
            value: "FILE",
        }
        peer_ca: PathBuf {
            help: "CA certificate of the other processes, in PEM",
            value: "FILE",
            unset: "the system's",
        }
        job_lease: u64 {
            help: "Time without a renewal before another process takes over the jobs; must be the same for all processes",
            value: "SECONDS",
            default: 9 => "9",
            valid: "1 to 600 seconds" => |s| (1..=600).contains(s),
        }
        name: String {
            help: "This process's name in the fleet",
            value: "NAME",
            unset: "a random one, stored in the data folder",
        }
        advertise: String {
            help: "URL at which other processes of the fleet reach this one",
            value: "URL",
            unset: "the address it listens on",
            valid: "an address such as http://10.0.0.5:8080" => |url| is_address(url),
            show: |url| hide_userinfo(url),
        }
        tls_cert: PathBuf {
            help: "The certificate chain to serve TLS with, in PEM",
            value: "FILE",
        }
        tls_key: PathBuf {
            help: "The certificate's private key, in PEM",
            value: "FILE",
        }
        insecure_listen: bool {
            help: "Listen beyond loopback without TLS: anyone on the network can read tokens and data",
            value: "",
            default: false => "false",
        }
        jupyterhub: String {
            help: "API of a JupyterHub whose users may log in with their Hub tokens, such as \
                https://hub.example.org/hub/api",
            value: "URL",
            unset: "none",
            show: |url| hide_userinfo(url),
        }
        jupyterhub_service: String {
            help: "Name of this fabric as a service of the Hub; a token needs the scope access:services!service=NAME",
            value: "NAME",
            default: "fabric".to_owned() => "fabric",
        }
        jupyterhub_map: Vec<Rule> {
            help: "Tenant and role of the Hub's users: WHO=TENANT/ROLE, where WHO is user:NAME, group:NAME, admins or \
                everyone and {user} in TENANT is the user's name; may be repeated, the first match applies",
            value: "RULE",
            default: Rule::default_rules() => "everyone=hub-{user}/developer",
        }
        jupyterhub_cache: u64 {
            help: "Time to cache the Hub's answer about a token; a revoked token works for up to this time",
            value: "SECONDS",
            default: 60 => "60",
            valid: "1 to 3600 seconds" => |s| (1..=MAX_CACHE_TTL.as_secs()).contains(s),
        }
        slots: u32 {
            help: "Maximum number of guests that run at once",
            value: "N",
            unset: "one per CPU",
            valid: "1 to 4096" => |n| (1..=4096).contains(n),
        }
        labels: Labels {
            help: "Labels of this node, for functions that require them; may be repeated",
            value: "KEY=VALUE,…",
            unset: "none",
        }
        memory: ByteSize {
            help: "Memory for guests, request bodies, results and caches together, such as 16GiB; requests beyond it are \
                refused, and placement counts with it",
            value: "SIZE",
            unset: "80 % of the machine's or the control group's",
            valid: "at least 128MiB" => |size| *size >= LEAST_MEMORY,
        }
        tenant_memory_share: u32 {
            help: "Maximum share of that memory for one tenant, in per cent",
            value: "PERCENT",
            default: DEFAULT_TENANT_SHARE => "75",
            valid: "1 to 100 per cent" => |share| (1..=100).contains(share),
        }
        speed: f64 {
            help: "Speed of one CPU relative to a typical one, 0.01 to 100",
            value: "FACTOR",
            unset: "measured at the start",
            valid: "0.01 to 100" => |speed| (0.01..=100.0).contains(speed),
        }
        gpus: u32 {
            help: "GPUs to offer",
            value: "N",
            unset: "those of NVIDIA's driver",
            valid: "0 to 1024" => |n| *n <= 1024,
        }
        gpu: GpuChoice {
            help: "GPU that guests use through fabric:gpu: off; auto, a hardware GPU, or, for functions that only prefer \
                one, a software driver that completes long loops; any, also a software driver for all functions, for tests",
            value: "WHICH",
            default: GpuChoice::Auto => "auto",
        }
        gpu_adapter: String {
            help: "Part of the adapter's name, case-insensitive",
            value: "NAME",
            unset: "the best one, hardware before software",
        }
        gpu_memory: ByteSize {
            help: "GPU memory for all calls together, such as 16GiB",
            value: "SIZE",
            default: ByteSize::mib(512) => "512MiB",
            valid: "more than 0; for no GPU use --gpu off" => |size| *size > ByteSize(0),
        }
        max_module_bytes: ByteSize {
            help: "Maximum size of a module",
            value: "SIZE",
            default: compile_defaults().max_module_bytes => "64MiB",
            valid: "1024 to 1073741824" => |size| (ByteSize::kib(1)..=ByteSize::gib(1)).contains(size),
        }
        compile_memory: ByteSize {
            help: "Memory limit for checking and compiling one module",
            value: "SIZE",
            default: compile_defaults().memory_bytes => "1GiB",
            valid: "67108864 to 1099511627776" => |size| (ByteSize::mib(64)..=ByteSize::gib(1024)).contains(size),
        }
        compile_cpu_seconds: u64 {
            help: "CPU time limit for checking and compiling one module, in seconds",
            value: "N",
            default: compile_defaults().cpu_seconds => "180",
            valid: "1 to 86400" => |s| (1..=DAY_S).contains(s),
        }
        compile_concurrency: usize {
            help: "Maximum number of concurrent compilations; a tenant uses at most half of them, and tenants take turns",
            value: "N",
            unset: "one per CPU, 2 to 4",
            valid: "2 to 1024" => |n| (2..=1024).contains(n),
        }
        worker_uid: u32 {
            help: "User and group id for compile and GPU workers if the server runs as root; with 0 they stay root",
            value: "UID",
            default: compile_defaults().user.unwrap_or(0) => "65534",
        }
        python_runner: PathBuf {
            help: "Module that runs the functions of Python clients; it is compiled in the background after the start",
            value: "FILE",
            unset: "python-runner.wasm beside the program or in ../share/fabric, if it is there",
        }
        accept: Vec<EntryKind> {
            help: "Kinds of modules to run: task, http, command",
            value: "KIND,…",
            unset: "all",
        }
        max_tasks: u32 {
            help: "Maximum number of map tasks of a job, 1 to 10000000; planning refuses more",
            value: "N",
            default: fabric_driver::DEFAULT_MAX_TASKS => "1000000",
            valid: &format!("1 to {}", fabric_driver::MAX_CONFIGURABLE_TASKS) => |n| (1..=fabric_driver::MAX_CONFIGURABLE_TASKS).contains(n),
        }
        log_format: LogFormat {
            help: "Format of the server's log on standard error",
            value: "FORMAT",
            default: LogFormat::Text => "text",
        }
        log_file: PathBuf {
            help: "Write the log to this file instead of standard error. A full file is renamed to FILE.1 and a new one \
                is started",
            value: "FILE",
            unset: "none",
        }
        log_file_size: ByteSize {
            help: "Size at which that file is rotated, checked every five seconds",
            value: "SIZE",
            default: ByteSize::mib(64) => "64MiB",
            valid: "at least 64KiB" => |size| *size >= ByteSize::kib(64),
        }
        log_files: usize {
            help: "Number of log files to keep, the current one included",
            value: "N",
            default: 5 => "5",
            valid: "1 to 1000" => |n| (1..=1000).contains(n),
        }
        otlp_endpoint: String {
            help: "OTLP/HTTP collector to send spans to",
            value: "URL",
            unset: "none",
            show: |url| hide_userinfo(url),
        }
        shutdown_delay: u64 {
            help: "Time after SIGTERM during which /readyz returns 503 and requests are still answered, so that proxies \
                send no more requests before the listener closes",
            value: "SECONDS",
            default: if nats.is_some() { 5 } else { 0 } => "5 in a fleet, else 0",
            valid: "0 to 86400 seconds" => |s| *s <= DAY_S,
        }
        drain_timeout: u64 {
            help: "Time after SIGTERM for tasks that this process runs; unfinished tasks run elsewhere",
            value: "SECONDS",
            default: 20 => "20",
            valid: "0 to 86400 seconds" => |s| *s <= DAY_S,
        }
        request_grace: u64 {
            help: "Time after the listener closes for requests under way; unfinished requests are cut off",
            value: "SECONDS",
            default: 20 => "20",
            valid: "0 to 86400 seconds" => |s| *s <= DAY_S,
        }
        max_connections: usize {
            help: "Maximum open connections; beyond it, the one that has been idle for the longest is closed",
            value: "N",
            default: gateway_defaults().max_connections => "4096",
            valid: "1 to 1000000" => |n| (1..=1_000_000).contains(n),
        }
        connections_per_address: usize {
            help: "Maximum connections of one address, an IPv6 /64 counting as one; 0 for no limit, as behind a proxy",
            value: "N",
            default: max_connections.value.div_ceil(4) => "a quarter of --max-connections",
        }
        first_byte_timeout: u64 {
            help: "Time for a connection's first bytes",
            value: "SECONDS",
            default: gateway_defaults().first_byte_timeout.as_secs() => "10",
            valid: "1 to 86400 seconds" => |s| (1..=DAY_S).contains(s),
        }
        header_timeout: u64 {
            help: "Time for a TLS handshake, a connection's first request, and the head of each request",
            value: "SECONDS",
            default: gateway_defaults().header_timeout.as_secs() => "15",
            valid: "1 to 86400 seconds" => |s| (1..=DAY_S).contains(s),
        }
        idle_timeout: u64 {
            help: "Maximum time between two requests of a connection",
            value: "SECONDS",
            default: gateway_defaults().idle_timeout.as_secs() => "60",
            valid: "1 to 86400 seconds" => |s| (1..=DAY_S).contains(s),
        }
        write_timeout: u64 {
            help: "Maximum time for a client to read any of the pending data",
            value: "SECONDS",
            default: gateway_defaults().write_stall_timeout.as_secs() => "30",
            valid: "1 to 86400 seconds" => |s| (1..=DAY_S).contains(s),
        }
        body_timeout: u64 {
            help: "Maximum time between two pieces of a request's body",
            value: "SECONDS",
            default: gateway_defaults().body_idle_timeout.as_secs() => "30",
            valid: "1 to 86400 seconds" => |s| (1..=DAY_S).contains(s),
        }
        min_body_rate: u64 {
            help: "Bytes per second that a request's body must average once it has taken longer than --body-timeout; 0 \
                for no limit",
            value: "BYTES",
            default: gateway_defaults().min_body_rate => "256",
        }
        slot_wait: u64 {
            help: "Maximum time that a call waits for a free slot before it fails with `unavailable`",
            value: "SECONDS",
            default: 30 => "30",
            valid: "1 to 86400 seconds" => |s| (1..=DAY_S).contains(s),
        }
        functions_domain: FunctionsDomain {
            help: "Give each http function its own host below this domain, FUNCTION.TENANT.DOMAIN; must be the same for \
                all processes of a fleet",
            value: "DOMAIN",
            unset: "none",
        }
    }
    tables {
        placement: Placement,
        ceilings: Ceilings,
        grants: GrantRules,
        prices: Option<Prices>,
        storage: StorageConfig,
    }
}
