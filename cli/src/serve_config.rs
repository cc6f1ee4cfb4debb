//! The server's configuration. Precedence, lowest first: defaults, file, environment, flags. Each value has its origin.

use crate::{
    connection_config::{ConnectionConfig, ConnectionFile},
    failure::Failure,
    listed::{Label, List, turned},
    placement_config::Placement,
    policy_config::PolicyConfig,
    serve_args::{GpuChoice, LogFormat, ServeArgs, ServerRole},
    shutdown_config::{ShutdownArgs, ShutdownSettings},
    storage_config::StorageConfig,
    worker_config::{WorkerArgs, WorkerSettings},
    wrong_settings::{WrongSetting, WrongSettings, layer, read_file},
};
use fabric_client::settings::{Env, Origin, Setting, default_data_dir};
use fabric_gateway::jupyterhub::{MAX_CACHE_TTL, Rule};
use fabric_node::Offer;
use fabric_types::{
    ceilings::Ceilings,
    function::EntryKind,
    grants::GrantRules,
    label::{self, Labels},
    memory::DEFAULT_TENANT_SHARE,
    price::Prices,
    units::ByteSize,
};
use serde::Deserialize;
use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, str::FromStr};

mod rows;

pub(crate) use rows::hide_userinfo;

/// Default seconds without a renewal before another process takes over the jobs: several missed renewals.
const JOB_LEASE_S: u64 = 9;

/// Default GPU memory for all calls together: eight times the default of one call.
const GPU_MEMORY_MIB: u64 = 512;

/// Minimum memory. Less leaves none for calls.
const LEAST_MEMORY: ByteSize = ByteSize::mib(128);

/// Default seconds for which the Hub's answer about a token is cached.
const JUPYTERHUB_CACHE_S: u64 = 60;

/// Default size at which a log file is rotated.
const LOG_FILE_SIZE: ByteSize = ByteSize::mib(64);

/// Default number of log files.
const LOG_FILES: usize = 5;

/// The configuration file: the flags of `fabric serve` by name, and tables for settings without a flag. Unknown keys
/// are rejected by name and line.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    role: Option<Vec<ServerRole>>,
    store: Option<String>,
    nats: Option<String>,
    nats_creds: Option<PathBuf>,
    nats_ca: Option<PathBuf>,
    nats_nkey: Option<PathBuf>,
    nats_cert: Option<PathBuf>,
    nats_key: Option<PathBuf>,
    peer_ca: Option<PathBuf>,
    job_lease: Option<u64>,
    name: Option<String>,
    advertise: Option<String>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    insecure_listen: Option<bool>,
    jupyterhub: Option<String>,
    jupyterhub_service: Option<String>,
    jupyterhub_map: Option<Vec<String>>,
    jupyterhub_cache: Option<u64>,
    slots: Option<u32>,
    labels: Option<Labels>,
    memory: Option<ByteSize>,
    tenant_memory_share: Option<u32>,
    speed: Option<f64>,
    gpus: Option<u32>,
    gpu: Option<GpuChoice>,
    gpu_adapter: Option<String>,
    gpu_memory: Option<ByteSize>,
    max_module_bytes: Option<ByteSize>,
    compile_memory: Option<ByteSize>,
    compile_cpu_seconds: Option<u64>,
    compile_concurrency: Option<usize>,
    worker_uid: Option<u32>,
    shutdown_delay: Option<u64>,
    drain_timeout: Option<u64>,
    request_grace: Option<u64>,
    accept: Option<Vec<EntryKind>>,
    max_tasks: Option<u32>,
    max_connections: Option<usize>,
    connections_per_address: Option<usize>,
    first_byte_timeout: Option<u64>,
    header_timeout: Option<u64>,
    idle_timeout: Option<u64>,
    write_timeout: Option<u64>,
    body_timeout: Option<u64>,
    min_body_rate: Option<u64>,
    slot_wait: Option<u64>,
    functions_domain: Option<String>,
    placement: Placement,
    ceilings: Ceilings,
    grants: GrantRules,
    prices: Option<Prices>,
    storage: StorageConfig,
    log_format: Option<LogFormat>,
    log_file: Option<PathBuf>,
    log_file_size: Option<ByteSize>,
    log_files: Option<usize>,
    otlp_endpoint: Option<String>,
}

impl File {
    fn connections(&self) -> ConnectionFile {
        ConnectionFile {
            max_connections: self.max_connections,
            connections_per_address: self.connections_per_address,
            first_byte_timeout: self.first_byte_timeout,
            header_timeout: self.header_timeout,
            idle_timeout: self.idle_timeout,
            write_timeout: self.write_timeout,
            body_timeout: self.body_timeout,
            min_body_rate: self.min_body_rate,
            slot_wait: self.slot_wait,
            functions_domain: self.functions_domain.clone(),
        }
    }

    fn workers(&self) -> WorkerArgs {
        WorkerArgs {
            max_module_bytes: self.max_module_bytes,
            compile_memory: self.compile_memory,
            compile_cpu_seconds: self.compile_cpu_seconds,
            compile_concurrency: self.compile_concurrency,
            worker_uid: self.worker_uid,
        }
    }

    fn shutdown(&self) -> ShutdownArgs {
        ShutdownArgs {
            shutdown_delay: self.shutdown_delay,
            drain_timeout: self.drain_timeout,
            request_grace: self.request_grace,
        }
    }
}

/// The effective configuration.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Address to listen on. Default 127.0.0.1:8080.
    pub listen: Setting<SocketAddr>,
    /// The data folder.
    pub data: Setting<PathBuf>,
    /// Roles of this process. Never empty; `All` is the only element if present.
    pub role: Setting<Vec<ServerRole>>,
    /// URL of the object store; `None` for a folder below the data folder.
    pub store: Option<Setting<String>>,
    /// The fleet's NATS servers; `None` without a fleet.
    pub nats: Option<Setting<String>>,
    /// The credentials file for NATS.
    pub nats_creds: Option<Setting<PathBuf>>,
    /// Certificates to trust for NATS.
    pub nats_ca: Option<Setting<PathBuf>>,
    /// The seed of an nkey for NATS.
    pub nats_nkey: Option<Setting<PathBuf>>,
    /// This process's certificate for NATS; present if and only if its key is.
    pub nats_cert: Option<Setting<PathBuf>>,
    /// Private key of that certificate.
    pub nats_key: Option<Setting<PathBuf>>,
    /// CA certificate of the other processes.
    pub peer_ca: Option<Setting<PathBuf>>,
    /// Seconds without a renewal before another process takes over the jobs. Default 9.
    pub job_lease: Setting<u64>,
    /// The process's name in the fleet.
    pub name: Option<Setting<String>>,
    /// URL at which other processes reach this one.
    pub advertise: Option<Setting<String>>,
    /// Certificate chain for TLS; present if and only if the key is.
    pub tls_cert: Option<Setting<PathBuf>>,
    /// Private key for TLS.
    pub tls_key: Option<Setting<PathBuf>>,
    /// Permission to listen beyond loopback without TLS.
    pub insecure_listen: Setting<bool>,
    /// API of the JupyterHub whose users may log in.
    pub jupyterhub: Option<Setting<String>>,
    /// Name of this fabric as a service of the Hub. Default `fabric`.
    pub jupyterhub_service: Setting<String>,
    /// Rules for the tenant and role of the Hub's users.
    pub jupyterhub_map: Setting<Vec<Rule>>,
    /// Seconds for which the Hub's answer about a token is cached. Default 60.
    pub jupyterhub_cache: Setting<u64>,
    /// Guests that run at once; `None` for one per CPU.
    pub slots: Option<Setting<u32>>,
    /// Labels of this node.
    pub labels: Option<Setting<Labels>>,
    /// Memory for guests, bodies, results and caches; `None` for most of the machine's.
    pub memory: Option<Setting<ByteSize>>,
    /// Maximum share of that memory for one tenant, in per cent. Default 75.
    pub tenant_memory_share: Setting<u32>,
    /// Speed of one CPU; `None` to measure it.
    pub speed: Option<Setting<f64>>,
    /// Number of GPUs to offer; `None` for those of NVIDIA's driver.
    pub gpus: Option<Setting<u32>>,
    /// GPU that guests use. Default auto.
    pub gpu: Setting<GpuChoice>,
    /// Part of the adapter's name.
    pub gpu_adapter: Option<Setting<String>>,
    /// GPU memory for all calls together. Default 512 MiB.
    pub gpu_memory: Setting<ByteSize>,
    /// Limits of compilations, and the user of workers.
    pub workers: WorkerSettings,
    /// Settings of the shutdown.
    pub shutdown: ShutdownSettings,
    /// Kinds of modules to run.
    pub accept: Option<Setting<Vec<EntryKind>>>,
    /// Maximum number of map tasks of a job. Default 1,000,000.
    pub max_tasks: Setting<u32>,
    /// Placement settings of the scheduler.
    pub placement: Setting<Placement>,
    /// Settings of connections and of calls that wait for a slot.
    pub connections: ConnectionConfig,
    /// Ceilings and grants of functions.
    pub policy: PolicyConfig,
    /// Prices of fuel and GPU time; only in the file.
    pub prices: Option<Setting<Prices>>,
    /// Quotas and retention of stored data.
    pub storage: Setting<StorageConfig>,
    /// Format of the log.
    pub log_format: Setting<LogFormat>,
    /// Log file; `None` for standard error.
    pub log_file: Option<Setting<PathBuf>>,
    /// Size at which the log file is rotated. Default 64 MiB.
    pub log_file_size: Setting<ByteSize>,
    /// Number of log files to keep. Default 5.
    pub log_files: Setting<usize>,
    /// Collector of spans.
    pub otlp_endpoint: Option<Setting<String>>,
}

/// A list of roles, separated by commas.
struct Roles(Vec<ServerRole>);

impl FromStr for Roles {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|r| r.trim().parse()).collect::<Result<_, _>>().map(Self)
    }
}

impl ServeArgs {
    /// Resolves the configuration and checks it.
    ///
    /// # Errors
    /// Fails with the first invalid setting.
    pub fn resolve(&self, env: Env<'_>) -> Result<ServeConfig, Failure> {
        let mut wrong = WrongSettings::default();
        let config = self.resolve_into(env, &mut wrong);
        wrong.into_first().map_or(Ok(config), Err)
    }

    /// Resolves the configuration with defaults in place of invalid settings. Returns it with the invalid settings.
    pub fn resolve_all(&self, env: Env<'_>) -> (ServeConfig, Vec<WrongSetting>) {
        let mut wrong = WrongSettings::default();
        let config = self.resolve_into(env, &mut wrong);
        (config, wrong.into_all())
    }

    fn resolve_into(&self, env: Env<'_>, wrong: &mut WrongSettings) -> ServeConfig {
        let path = self.config.clone().or_else(|| env("FABRIC_CONFIG").map(PathBuf::from)).unwrap_or_default();
        let file: File = if path.as_os_str().is_empty() { File::default() } else { read_file(&path, wrong) };
        macro_rules! setting {
            ($field:ident, $flag:expr, $name:literal, $env:literal) => {
                wrong.take($name, layer($flag, $name, env, $env, file.$field.clone().map(|v| (v, &path))))
            };
        }
        fn or<T>(value: T, setting: Option<Setting<T>>) -> Setting<T> {
            setting.unwrap_or(Setting { value, origin: Origin::Default })
        }

        let data = setting!(data, self.data.clone(), "--data", "FABRIC_DATA").unwrap_or_else(|| {
            let value = default_data_dir().unwrap_or_else(|| {
                let failure = Failure::config("this user has no home folder to keep data in");
                wrong.push("data", failure.hint("name a folder: --data DIR"));
                PathBuf::new()
            });
            Setting { value, origin: Origin::Default }
        });
        let flag = (!self.role.is_empty()).then(|| Roles(self.role.clone()));
        let file_roles = file.role.clone().map(|r| (Roles(r), &path));
        let role = wrong.take("role", layer(flag, "--role", env, "FABRIC_ROLE", file_roles));
        let role = role.map_or(Setting { value: vec![ServerRole::All], origin: Origin::Default }, |r| {
            let set: BTreeSet<ServerRole> = r.value.0.into_iter().collect();
            Setting { value: set.into_iter().collect(), origin: r.origin }
        });
        let whole = role.value.contains(&ServerRole::All)
            || role.value == [ServerRole::Gateway, ServerRole::Scheduler, ServerRole::Node];
        let role = if whole { Setting { value: vec![ServerRole::All], origin: role.origin } } else { role };
        let given =
            |labels: &Vec<(String, String)>| List(labels.iter().map(|(k, v)| Label(k.clone(), v.clone())).collect());
        let labels = layer(
            (!self.labels.is_empty()).then(|| given(&self.labels)),
            "--labels",
            env,
            "FABRIC_LABELS",
            file.labels.clone().map(|labels| (given(&labels.into_iter().collect()), &path)),
        );
        let labels = turned(wrong.take("labels", labels), |list| {
            list.into_iter().map(|Label(key, value)| (key, value)).collect()
        });
        let accept = layer(
            (!self.accept.is_empty()).then(|| List(self.accept.clone())),
            "--accept",
            env,
            "FABRIC_ACCEPT",
            file.accept.clone().map(|kinds| (List(kinds), &path)),
        );
        let accept = wrong.take("accept", accept);
        let rules: Option<Result<Vec<Rule>, String>> =
            file.jupyterhub_map.as_ref().map(|rules| rules.iter().map(|rule| rule.parse()).collect());
        let rules = rules.transpose();
        let rules = rules.map_err(|e| Failure::config(format!("{}: jupyterhub-map: {e}", path.display())));
        let rules = wrong.take("jupyterhub-map", rules);
        let rules = layer(
            (!self.jupyterhub_map.is_empty()).then(|| List(self.jupyterhub_map.clone())),
            "--jupyterhub-map",
            env,
            "FABRIC_JUPYTERHUB_MAP",
            rules.map(|rules| (List(rules), &path)),
        );
        let rules = wrong.take("jupyterhub-map", rules);
        let nats = setting!(nats, self.nats.clone(), "--nats", "FABRIC_NATS");
        let insecure = self.insecure_listen.then_some(true);
        let config = ServeConfig {
            listen: or(
                SocketAddr::from(([127, 0, 0, 1], 8080)),
                setting!(listen, self.listen, "--listen", "FABRIC_LISTEN"),
            ),
            data,
            role,
            store: setting!(store, self.store.clone(), "--store", "FABRIC_STORE"),
            nats_creds: setting!(nats_creds, self.nats_creds.clone(), "--nats-creds", "FABRIC_NATS_CREDS"),
            nats_ca: setting!(nats_ca, self.nats_ca.clone(), "--nats-ca", "FABRIC_NATS_CA"),
            nats_nkey: setting!(nats_nkey, self.nats_nkey.clone(), "--nats-nkey", "FABRIC_NATS_NKEY"),
            nats_cert: setting!(nats_cert, self.nats_cert.clone(), "--nats-cert", "FABRIC_NATS_CERT"),
            nats_key: setting!(nats_key, self.nats_key.clone(), "--nats-key", "FABRIC_NATS_KEY"),
            peer_ca: setting!(peer_ca, self.peer_ca.clone(), "--peer-ca", "FABRIC_PEER_CA"),
            job_lease: or(JOB_LEASE_S, setting!(job_lease, self.job_lease, "--job-lease", "FABRIC_JOB_LEASE")),
            name: setting!(name, self.name.clone(), "--name", "FABRIC_NAME"),
            advertise: setting!(advertise, self.advertise.clone(), "--advertise", "FABRIC_ADVERTISE"),
            tls_cert: setting!(tls_cert, self.tls_cert.clone(), "--tls-cert", "FABRIC_TLS_CERT"),
            tls_key: setting!(tls_key, self.tls_key.clone(), "--tls-key", "FABRIC_TLS_KEY"),
            insecure_listen: or(
                false,
                setting!(insecure_listen, insecure, "--insecure-listen", "FABRIC_INSECURE_LISTEN"),
            ),
            jupyterhub: setting!(jupyterhub, self.jupyterhub.clone(), "--jupyterhub", "FABRIC_JUPYTERHUB"),
            jupyterhub_service: or(
                "fabric".to_owned(),
                setting!(
                    jupyterhub_service,
                    self.jupyterhub_service.clone(),
                    "--jupyterhub-service",
                    "FABRIC_JUPYTERHUB_SERVICE"
                ),
            ),
            jupyterhub_map: or(Rule::default_rules(), turned(rules, |rules| rules)),
            jupyterhub_cache: or(
                JUPYTERHUB_CACHE_S,
                setting!(jupyterhub_cache, self.jupyterhub_cache, "--jupyterhub-cache", "FABRIC_JUPYTERHUB_CACHE"),
            ),
            slots: setting!(slots, self.slots, "--slots", "FABRIC_SLOTS"),
            labels,
            memory: setting!(memory, self.memory, "--memory", "FABRIC_MEMORY"),
            tenant_memory_share: or(
                DEFAULT_TENANT_SHARE,
                setting!(
                    tenant_memory_share,
                    self.tenant_memory_share,
                    "--tenant-memory-share",
                    "FABRIC_TENANT_MEMORY_SHARE"
                ),
            ),
            speed: setting!(speed, self.speed, "--speed", "FABRIC_SPEED"),
            gpus: setting!(gpus, self.gpus, "--gpus", "FABRIC_GPUS"),
            gpu: or(GpuChoice::Auto, setting!(gpu, self.gpu, "--gpu", "FABRIC_GPU")),
            gpu_adapter: setting!(gpu_adapter, self.gpu_adapter.clone(), "--gpu-adapter", "FABRIC_GPU_ADAPTER"),
            gpu_memory: or(
                ByteSize::mib(GPU_MEMORY_MIB),
                setting!(gpu_memory, self.gpu_memory, "--gpu-memory", "FABRIC_GPU_MEMORY"),
            ),
            shutdown: ShutdownSettings::resolve(&self.shutdown, env, &file.shutdown(), &path, nats.is_some(), wrong),
            nats,
            workers: WorkerSettings::resolve(&self.workers, env, &file.workers(), &path, wrong),
            accept: turned(accept, |kinds| kinds),
            max_tasks: or(
                fabric_driver::DEFAULT_MAX_TASKS,
                setting!(max_tasks, self.max_tasks, "--max-tasks", "FABRIC_MAX_TASKS"),
            ),
            placement: Setting { value: file.placement.clone(), origin: Origin::File(path.clone()) },
            connections: self.connections.resolve(env, &file.connections(), &path, wrong),
            policy: PolicyConfig { ceilings: file.ceilings, grants: file.grants.clone(), file: path.clone() },
            prices: file.prices.clone().map(|value| Setting { value, origin: Origin::File(path.clone()) }),
            storage: Setting { value: file.storage.clone(), origin: Origin::File(path.clone()) },
            log_format: or(LogFormat::Text, setting!(log_format, self.log_format, "--log-format", "FABRIC_LOG_FORMAT")),
            log_file: setting!(log_file, self.log_file.clone(), "--log-file", "FABRIC_LOG_FILE"),
            log_file_size: or(
                LOG_FILE_SIZE,
                setting!(log_file_size, self.log_file_size, "--log-file-size", "FABRIC_LOG_FILE_SIZE"),
            ),
            log_files: or(LOG_FILES, setting!(log_files, self.log_files, "--log-files", "FABRIC_LOG_FILES")),
            otlp_endpoint: setting!(
                otlp_endpoint,
                self.otlp_endpoint.clone(),
                "--otlp-endpoint",
                "FABRIC_OTLP_ENDPOINT"
            ),
        };
        config.check(wrong);
        config
    }
}

impl ServeConfig {
    /// Adds the settings whose values are out of range or contradict each other.
    fn check(&self, wrong: &mut WrongSettings) {
        self.check_ranges(wrong);
        let mut push = |name: &str, what: String, hint: &str| {
            let failure = Failure::config(what);
            wrong.push(name, if hint.is_empty() { failure } else { failure.hint(hint) });
        };
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            let missing = if self.tls_cert.is_some() { "tls-key" } else { "tls-cert" };
            push(missing, "tls-cert and tls-key go together: one of them is missing".to_owned(), "");
        }
        if self.nats.is_none() && self.role.value != [ServerRole::All] {
            let what = format!("role, from {}: a process with only some of the roles needs a fleet", self.role.origin);
            push("role", what, "join one with --nats, or use --role all");
        }
        if self.nats_cert.is_some() != self.nats_key.is_some() {
            let missing = if self.nats_cert.is_some() { "nats-key" } else { "nats-cert" };
            push(missing, "nats-cert and nats-key go together: one of them is missing".to_owned(), "");
        }
        if let (Some(creds), Some(nkey)) = (&self.nats_creds, &self.nats_nkey) {
            let (creds, nkey) = (&creds.origin, &nkey.origin);
            push("nats-nkey", format!("nats-creds, from {creds}, and nats-nkey, from {nkey}: give one of them"), "");
        }
        if self.jupyterhub.is_none() && self.jupyterhub_map.origin != Origin::Default {
            let origin = &self.jupyterhub_map.origin;
            let what = format!("jupyterhub-map, from {origin}: there is no Hub that the rules apply to");
            push("jupyterhub-map", what, "name its API with --jupyterhub");
        }
        let shared = |url: &str| !url.starts_with("memory:");
        if let Some(nats) = &self.nats
            && !self.store.as_ref().is_some_and(|s| shared(&s.value))
        {
            let what = format!("nats, from {}: a fleet needs a store that all processes share", nats.origin);
            let hint = "give the same --store to each: s3://BUCKET/PREFIX, or file:///DIR on one machine";
            push("store", what, hint);
        }
        if let Some(labels) = &self.labels
            && let Err(problem) = label::check_all(&labels.value)
        {
            push("labels", format!("labels, from {}: {problem}", labels.origin), "");
        }
        let open = !self.listen.value.ip().is_loopback();
        if open && self.tls_cert.is_none() && !self.insecure_listen.value {
            let hint = "give --tls-cert and --tls-key, or listen on 127.0.0.1; --insecure-listen permits it";
            let what = format!("listening on {} without TLS would expose tokens to the network", self.listen.value);
            push("listen", what, hint);
        }
        self.placement.value.check(wrong);
        self.connections.check(wrong);
        self.policy.check(wrong);
        self.storage.value.check(wrong);
        if let Some(prices) = &self.prices
            && let Err(problem) = prices.value.check()
        {
            wrong.push("prices", Failure::config(format!("{problem} (from {})", prices.origin)));
        }
    }

    fn check_ranges(&self, wrong: &mut WrongSettings) {
        let mut require = |name: &str, holds: bool, origin: &Origin, range: &str| {
            if !holds {
                wrong.push(name, Failure::config(format!("{name}, from {origin}: use {range}")));
            }
        };
        let (tasks, most) = (&self.max_tasks, fabric_driver::MAX_CONFIGURABLE_TASKS);
        require("max-tasks", (1..=most).contains(&tasks.value), &tasks.origin, &format!("1 to {most}"));
        let lease = &self.job_lease;
        require("job-lease", (1..=600).contains(&lease.value), &lease.origin, "1 to 600 seconds");
        let (cache, longest) = (&self.jupyterhub_cache, MAX_CACHE_TTL.as_secs());
        require("jupyterhub-cache", (1..=longest).contains(&cache.value), &cache.origin, "1 to 3600 seconds");
        if let Some(slots) = &self.slots {
            require("slots", (1..=4096).contains(&slots.value), &slots.origin, "1 to 4096");
        }
        if let Some(memory) = &self.memory {
            require("memory", memory.value >= LEAST_MEMORY, &memory.origin, "at least 128MiB");
        }
        let share = &self.tenant_memory_share;
        require("tenant-memory-share", (1..=100).contains(&share.value), &share.origin, "1 to 100 per cent");
        if let Some(speed) = &self.speed {
            require("speed", (0.01..=100.0).contains(&speed.value), &speed.origin, "0.01 to 100");
        }
        if let Some(gpus) = &self.gpus {
            require("gpus", gpus.value <= 1024, &gpus.origin, "0 to 1024");
        }
        let memory = &self.gpu_memory;
        require("gpu-memory", memory.value > ByteSize(0), &memory.origin, "more than 0; for no GPU use --gpu off");
        let size = &self.log_file_size;
        require("log-file-size", size.value >= ByteSize::kib(64), &size.origin, "at least 64KiB");
        let files = &self.log_files;
        require("log-files", (1..=1000).contains(&files.value), &files.origin, "1 to 1000");
    }

    /// Returns `true` if this process runs guests for clients.
    pub fn runs_guests(&self) -> bool {
        self.role.value.contains(&ServerRole::All) || self.role.value.contains(&ServerRole::Node)
    }

    /// Returns the resources and labels that the node offers.
    pub fn offer(&self) -> Offer {
        Offer {
            labels: self.labels.as_ref().map(|s| s.value.clone()).unwrap_or_default(),
            memory_bytes: self.memory.as_ref().map(|s| s.value.0),
            speed: self.speed.as_ref().map(|s| s.value),
            gpus: self.gpus.as_ref().map(|s| s.value),
            accepts: self.accept.as_ref().map(|s| s.value.clone()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
