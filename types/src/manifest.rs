//! `fabric.toml`: the description of a function, its limits, grants and resources.

use crate::{
    gpu::GpuRequirement,
    grants::HostPattern,
    id::FunctionName,
    label::{self, Labels},
    limits::Limits,
    units::ByteSize,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A function's manifest: `fabric.toml` in TOML, or JSON with the same structure over REST.
///
/// Unknown keys are rejected with their path, so a misspelt limit is not silently ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// Name, description and tags.
    pub function: FunctionSection,
    /// Build command of the CLI; the server ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildSection>,
    /// Limits of one call.
    #[serde(default)]
    pub limits: Limits,
    /// Capabilities. Each is denied unless it is requested here and allowed for the tenant.
    #[serde(default)]
    pub grants: Grants,
    /// Resources that placement reserves for one call.
    #[serde(default)]
    pub resources: Resources,
    /// A JSON Schema (2020-12) of the parameters. Default: the schema in the module's own description.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::json::option")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub params: Option<serde_json::Value>,
}

/// The name of a function and the data to find it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FunctionSection {
    /// Name of the function within the tenant.
    pub name: FunctionName,
    /// One or two sentences. Default empty.
    #[serde(default)]
    pub description: String,
    /// Search tags, at most 32. Default none.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Allow calls of an http function without a token. Default false.
    #[serde(default)]
    pub public: bool,
}

/// The way in which the CLI builds the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BuildSection {
    /// A shell command, run in the manifest's folder. Default none: the module exists already.
    pub command: Option<String>,
    /// Path of the built module, relative to the manifest.
    pub module: Option<String>,
    /// Files and folders that `fabric dev` watches. Default `src` and the manifest.
    pub watch: Vec<String>,
}

/// Capabilities. The default denies all of them. A function without any of them is *pure*, and its results are cached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grants {
    /// The real clocks. Without it, time starts at 2000-01-01T00:00:00Z and advances by one microsecond with each read.
    pub clocks: bool,
    /// Real randomness. Without it, random bytes are seeded from the task key.
    pub random: bool,
    /// Hosts that outbound HTTP may reach, as `host` (ports 80 and 443) or `host:port`. Loopback, link-local and
    /// private addresses are never reachable. At most 64.
    pub network: Vec<String>,
    /// Tenant volumes to mount.
    pub volumes: Vec<VolumeGrant>,
    /// Environment variables for commands and http functions. They are part of the task key.
    pub env: BTreeMap<String, String>,
}

/// A named folder of the tenant, mounted into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VolumeGrant {
    /// Name of the volume within the tenant. The rules of function names apply.
    pub name: FunctionName,
    /// Mount path in the guest, such as `/data`.
    pub path: String,
    /// Allow writing. Default false.
    #[serde(default)]
    pub write: bool,
}

impl Grants {
    /// Returns `true` if a function with these grants is pure.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        !self.clocks && !self.random && self.network.is_empty() && self.volumes.is_empty()
    }
}

/// Maximum number of environment variables of a function, maximum size of one name, and maximum size of all names and
/// values in total.
const MAX_ENV: usize = 128;
const MAX_ENV_NAME: usize = 256;
const MAX_ENV_BYTES: usize = 128 << 10;
/// Maximum number of hosts that one function may reach.
const MAX_HOSTS: usize = 64;
/// Maximum number of volumes that one function may mount.
const MAX_VOLUMES: usize = 16;
/// Maximum size of one text in `[build]`, and maximum number of entries in its `watch`.
const MAX_BUILD_TEXT: usize = 4096;
const MAX_WATCHED: usize = 128;
/// Maximum memory reservation: more than any node has, and low enough that sums over all attempts do not overflow.
const MAX_PLACED_MEMORY: ByteSize = ByteSize::gib(16 << 10);

/// Longest submit that a function may request, in milliseconds. All other guests of the GPU wait until it ends.
const MAX_GPU_SUBMIT_MS: u64 = 10_000;

/// Resources that placement reserves for one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Resources {
    /// CPU slots. Default 1.
    pub cpu_slots: u32,
    /// Memory that placement counts. Default 0: a small share, because most calls never approach their limit.
    pub memory_bytes: ByteSize,
    /// GPUs for exclusive use by one call. Default 0.
    pub gpus: u32,
    /// Use of the node's GPU, which calls share. Default `none`.
    pub gpu: GpuRequirement,
    /// Labels that a node must have to run the function's tasks and calls, all of them. Default none.
    pub node_selector: Labels,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu_slots: 1,
            memory_bytes: ByteSize(0),
            gpus: 0,
            gpu: GpuRequirement::None,
            node_selector: Labels::new(),
        }
    }
}

/// An invalid manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not TOML, or not a manifest.
    #[error("fabric.toml: {0}")]
    Toml(String),
    /// A value is out of its range.
    #[error("fabric.toml: {path}: {problem}")]
    Value {
        /// Path of the key, such as `limits.fuel`.
        path: &'static str,
        /// Description of the problem and of valid values.
        problem: String,
    },
}

impl Manifest {
    /// Creates a manifest with a name and default values for everything else.
    #[must_use]
    pub fn named(name: FunctionName) -> Self {
        Self {
            function: FunctionSection { name, description: String::new(), tags: Vec::new(), public: false },
            build: None,
            limits: Limits::default(),
            grants: Grants::default(),
            resources: Resources::default(),
            params: None,
        }
    }

    /// Parses and checks `fabric.toml`.
    ///
    /// # Errors
    /// [`Error`] with the line or the key of the mistake.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let manifest: Self =
            toml::from_str(text).map_err(|e| Error::Toml(crate::parse_error::plain(e.to_string().trim_end())))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks the constraints that the types do not express.
    ///
    /// # Errors
    /// [`Error::Value`] for the first value out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let value = |path, problem: &str| Err(Error::Value { path, problem: problem.to_owned() });
        if self.function.tags.len() > 32 || self.function.tags.iter().any(|t| t.is_empty() || t.len() > 64) {
            return value("function.tags", "give at most 32 tags of 1 to 64 bytes each");
        }
        if self.function.description.len() > 4096 {
            return value("function.description", "keep it within 4096 bytes");
        }
        if self.limits.fuel == 0 || self.limits.deadline_ms == 0 || self.limits.concurrency == 0 {
            return value("limits", "fuel, deadline-ms and concurrency must be above 0");
        }
        if self.limits.memory_bytes > ByteSize::gib(4) {
            return value("limits.memory-bytes", "a 32-bit module can't use more than 4GiB");
        }
        if self.limits.memory_bytes < ByteSize::kib(64) {
            return value("limits.memory-bytes", "a module needs at least 64KiB, one page of memory");
        }
        if self.resources.cpu_slots == 0 || self.resources.cpu_slots > 1024 {
            return value("resources.cpu-slots", "use 1 to 1024");
        }
        if self.resources.gpus > 1024 {
            return value("resources.gpus", "use 0 to 1024");
        }
        if !(1..=MAX_GPU_SUBMIT_MS).contains(&self.limits.gpu_submit_ms) {
            return value(
                "limits.gpu-submit-ms",
                "use 1 to 10000; a submit has the device for itself, so split longer work",
            );
        }
        if self.limits.gpu_ms == 0 || self.limits.gpu_memory_bytes == ByteSize(0) {
            return value(
                "limits",
                "gpu-ms and gpu-memory-bytes must be above 0; to use no GPU, set resources.gpu = \"none\"",
            );
        }
        if let Err(problem) = label::check_all(&self.resources.node_selector) {
            return value("resources.node-selector", &problem);
        }
        if self.resources.memory_bytes > MAX_PLACED_MEMORY {
            return value("resources.memory-bytes", "use at most 16384GiB");
        }
        self.check_grants()?;
        if let Some(build) = &self.build {
            let texts = [&build.command, &build.module].into_iter().flatten().chain(&build.watch);
            if build.watch.len() > MAX_WATCHED || texts.map(String::len).any(|len| len > MAX_BUILD_TEXT) {
                return value("build", "watch at most 128 paths, and keep each text within 4096 bytes");
            }
        }
        if let Some(params) = &self.params
            && !params.is_object()
        {
            return value("params", "write a JSON Schema as a table");
        }
        Ok(())
    }

    fn check_grants(&self) -> Result<(), Error> {
        let value = |path, problem: &str| Err(Error::Value { path, problem: problem.to_owned() });
        let env = &self.grants.env;
        if env.len() > MAX_ENV
            || env
                .iter()
                .any(|(k, v)| k.is_empty() || k.len() > MAX_ENV_NAME || k.contains(['=', '\0']) || v.contains('\0'))
        {
            return value("grants.env", "give at most 128 variables; a name has 1 to 256 bytes, without `=`");
        }
        if env.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() > MAX_ENV_BYTES {
            return value("grants.env", "keep names and values within 128KiB together");
        }
        let hosts = &self.grants.network;
        if hosts.len() > MAX_HOSTS {
            return value("grants.network", "name at most 64 hosts");
        }
        for host in hosts {
            if let Err(problem) = HostPattern::parse(host).check() {
                let host: String = host.chars().take(80).collect();
                return value("grants.network", &format!("`{host}` {problem}"));
            }
        }
        if self.grants.volumes.len() > MAX_VOLUMES {
            return value("grants.volumes", "mount at most 16 volumes");
        }
        for volume in &self.grants.volumes {
            let path = &volume.path;
            let ok = path.starts_with('/')
                && path.len() > 1
                && !path.split('/').any(|s| s == "..")
                && !path.chars().any(char::is_control);
            if !ok {
                return value(
                    "grants.volumes.path",
                    "use an absolute path such as `/data`, without `..` and control characters",
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_manifest_gets_the_defaults() {
        let manifest =
            Manifest::from_toml("[function]\nname = \"weather\"\n[limits]\nmemory-bytes = \"64MiB\"").unwrap();
        assert_eq!(manifest.limits.memory_bytes, ByteSize::mib(64));
        assert_eq!(manifest.limits.deadline_ms, 60_000);
        assert!(manifest.grants.is_pure());
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = Manifest::from_toml("[function]\nname = \"a\"\n[limits]\nmemory = 1").unwrap_err().to_string();
        assert!(unknown.contains("unknown field `memory`") && unknown.contains("memory-bytes"), "{unknown}");
        let zero = Manifest::from_toml("[function]\nname = \"a\"\n[limits]\nfuel = 0").unwrap_err().to_string();
        assert!(zero.contains("limits"), "{zero}");
        let name = Manifest::from_toml("[function]\nname = \"A B\"").unwrap_err().to_string();
        assert!(name.contains("lower-case"), "{name}");
        let path = "[function]\nname = \"a\"\n[[grants.volumes]]\nname = \"v\"\npath = \"/a/../b\"";
        assert!(Manifest::from_toml(path).is_err());
        let label = "[function]\nname = \"a\"\n[resources.node-selector]\nzone = \"a b\"";
        let label = Manifest::from_toml(label).unwrap_err().to_string();
        for (text, path) in [
            ("[grants]\nnetwork = [\"*\"]", "grants.network"),
            ("[grants]\nnetwork = [\"*.example.org\"]", "grants.network"),
            ("[grants]\nnetwork = [\"http://example.org\"]", "grants.network"),
            ("[grants]\nnetwork = [\"example.org:0\"]", "grants.network"),
            (&format!("[grants]\nnetwork = [{}]", "\"a\",".repeat(65)), "grants.network"),
            (&format!("[grants.env]\nA = \"{}\"", "x".repeat(MAX_ENV_BYTES)), "grants.env"),
            (&format!("[grants.env]\n{} = \"\"", "x".repeat(257)), "grants.env"),
            (&"[[grants.volumes]]\nname = \"v\"\npath = \"/v\"\n".repeat(17), "grants.volumes"),
            ("[[grants.volumes]]\nname = \"v\"\npath = \"/v\\u0000\"", "grants.volumes.path"),
            ("[limits]\nmemory-bytes = 1000", "limits.memory-bytes"),
            ("[resources]\nmemory-bytes = \"16385GiB\"", "resources.memory-bytes"),
            (&format!("[build]\nwatch = [{}]", "\"a\",".repeat(129)), "build"),
            (&format!("[build]\ncommand = \"{}\"", "x".repeat(4097)), "build"),
            ("[limits]\ndeadline-ms = 0", "limits"),
            ("[limits]\nconcurrency = 0", "limits"),
            ("[limits]\nconcurrency = -1", "concurrency"),
            ("[limits]\nconcurrency = 4294967296", "concurrency"),
            ("[limits]\nfuel = nan", "fuel"),
            ("[limits]\nbody-bytes = \"18446744073709551615GiB\"", "is not a size"),
        ] {
            let said = Manifest::from_toml(&format!("[function]\nname = \"a\"\n{text}")).unwrap_err().to_string();
            assert!(said.contains(path), "{path}: {said}");
        }
        assert!(label.contains("resources.node-selector") && label.contains("`zone=a b` is not a label"), "{label}");
    }
}
