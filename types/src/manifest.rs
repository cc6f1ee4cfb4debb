//! `fabric.toml`: what a function is, may use and asks for.

use crate::{
    grants::HostPattern,
    id::FunctionName,
    label::{self, Labels},
    limits::Limits,
    units::ByteSize,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// A function's manifest. In TOML it is `fabric.toml`; over REST it is JSON of the same shape.
///
/// Unknown keys are refused with their path, so that a misspelt limit is never silently ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// What it is called and how people find it.
    pub function: FunctionSection,
    /// How the CLI builds the module; the server ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildSection>,
    /// What one call may use.
    #[serde(default)]
    pub limits: Limits,
    /// Capabilities; everything is denied unless asked for here and allowed by the tenant.
    #[serde(default)]
    pub grants: Grants,
    /// What placement sets aside for one call.
    #[serde(default)]
    pub resources: Resources,
    /// A JSON Schema (2020-12) of the parameters. When absent, the schema that the module itself describes is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub params: Option<serde_json::Value>,
}

/// What a function is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FunctionSection {
    /// Its name in the tenant.
    pub name: FunctionName,
    /// One or two sentences. Default empty.
    #[serde(default)]
    pub description: String,
    /// Words to find it by, at most 32. Default none.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether an http function may be called without a token. Default false.
    #[serde(default)]
    pub public: bool,
}

/// How the CLI makes the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BuildSection {
    /// A shell command, run in the manifest's folder. Default none: the module is there already.
    pub command: Option<String>,
    /// Where the module is after the build, relative to the manifest.
    pub module: Option<String>,
    /// Files and folders that `fabric dev` watches. Default `src` and the manifest.
    pub watch: Vec<String>,
}

/// Capabilities. The default denies all of them, and a function that has none is *pure*: its results are cached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grants {
    /// The real clocks. Without it time starts at 2000-01-01T00:00:00Z and moves one microsecond with every look.
    pub clocks: bool,
    /// Real randomness. Without it random bytes are seeded from the task key.
    pub random: bool,
    /// Hosts that outbound HTTP may reach, as `host` (ports 80 and 443) or `host:port`; never loopback, link-local or private
    /// ranges. At most 64.
    pub network: Vec<String>,
    /// Tenant volumes to mount.
    pub volumes: Vec<VolumeGrant>,
    /// Environment variables for commands and http functions. They are part of the task key.
    pub env: BTreeMap<String, String>,
}

/// A named folder of the tenant, mounted into the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VolumeGrant {
    /// The volume's name in the tenant, under the rules of a function name.
    pub name: FunctionName,
    /// Where the guest sees it, such as `/data`.
    pub path: String,
    /// Whether the guest may write. Default false.
    #[serde(default)]
    pub write: bool,
}

impl Grants {
    /// Whether these grants leave a function pure.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        !self.clocks && !self.random && self.network.is_empty() && self.volumes.is_empty()
    }
}

/// Environment variables of a function, and the bytes of one name and of all names and values together.
const MAX_ENV: usize = 128;
const MAX_ENV_NAME: usize = 256;
const MAX_ENV_BYTES: usize = 128 << 10;
/// Hosts that one function may reach.
const MAX_HOSTS: usize = 64;
/// Volumes that one function may mount.
const MAX_VOLUMES: usize = 16;
/// Bytes of one text in `[build]`, and entries of its `watch`.
const MAX_BUILD_TEXT: usize = 4096;
const MAX_WATCHED: usize = 128;
/// More memory than any node has; sums of it over all attempts do not overflow.
const MAX_PLACED_MEMORY: ByteSize = ByteSize::gib(16 << 10);

/// Longest submit that a function may ask for, in milliseconds: everybody else waits for its end.
const MAX_GPU_SUBMIT_MS: u64 = 10_000;

/// Whether a function's calls use the GPU of the node that they run on, and how much a node's GPU is good for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum GpuMode {
    /// No: `fabric:gpu` answers `denied`.
    #[default]
    None,
    /// Where there is one. Elsewhere `fabric:gpu` answers `denied`, and the function takes its own way.
    Preferred,
    /// Only nodes with a GPU will do; a software driver is none, unless the node's operator says so.
    Required,
}

impl fmt::Display for GpuMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Preferred => "preferred",
            Self::Required => "required",
        })
    }
}

/// What placement sets aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Resources {
    /// CPU slots for one call. Default 1.
    pub cpu_slots: u32,
    /// Memory to count for placement; 0, the default, means a small share: most calls never come near their limit.
    pub memory_bytes: ByteSize,
    /// GPUs for one call to have for itself. Default 0.
    pub gpus: u32,
    /// Whether calls use the node's GPU, which they share. Default `none`.
    pub gpu: GpuMode,
    /// Labels that a node must have to run it, all of them; for tasks and calls alike. Default none.
    pub node_selector: Labels,
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu_slots: 1, memory_bytes: ByteSize(0), gpus: 0, gpu: GpuMode::None, node_selector: Labels::new() }
    }
}

/// A manifest that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not TOML of this shape.
    #[error("fabric.toml: {0}")]
    Toml(String),
    /// A value is out of its range.
    #[error("fabric.toml: {path}: {problem}")]
    Value {
        /// Where, as in `limits.fuel`.
        path: &'static str,
        /// What is wrong and what would do.
        problem: String,
    },
}

impl Manifest {
    /// A manifest with nothing but a name.
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

    /// Reads and checks `fabric.toml`.
    ///
    /// # Errors
    /// [`Error`] with the line or the key that is wrong.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let manifest: Self = toml::from_str(text).map_err(|e| Error::Toml(e.to_string().trim_end().to_owned()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks what the types alone do not.
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
                "gpu-ms and gpu-memory-bytes must be above 0; for no GPU say resources.gpu = \"none\"",
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
            let ok =
                volume.path.starts_with('/') && volume.path.len() > 1 && !volume.path.split('/').any(|s| s == "..");
            if !ok {
                return value("grants.volumes.path", "use an absolute path such as `/data`, without `..`");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
        assert!(label.contains("resources.node-selector") && label.contains("`zone=a b` is no label"), "{label}");
    }
}
