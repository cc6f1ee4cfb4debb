//! Deployed functions: versions, aliases and references to them.

use crate::{
    EngineClass,
    digest::ModuleDigest,
    gpu::GpuRequirement,
    id::{AliasName, FunctionName, TenantId},
    manifest::Manifest,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The way in which a module is called, detected from its exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A component of the `fabric:task` package.
    Task,
    /// A `wasi:http/proxy` component.
    Http,
    /// A `wasi:cli` component, or a preview-1 core module with `_start`.
    Command,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Task => "task",
            Self::Http => "http",
            Self::Command => "command",
        })
    }
}

impl FromStr for EntryKind {
    type Err = InvalidKind;
    fn from_str(text: &str) -> Result<Self, InvalidKind> {
        match text {
            "task" => Ok(Self::Task),
            "http" => Ok(Self::Http),
            "command" => Ok(Self::Command),
            _ => Err(InvalidKind(text.chars().take(40).collect())),
        }
    }
}

/// Text that is not an entry kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an entry kind: use task, http or command")]
pub struct InvalidKind(pub String);

/// The entry points of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Entry {
    /// Entry kind.
    pub kind: EntryKind,
    /// `true` if it exports `fabric:task/handler`.
    pub handler: bool,
    /// `true` if it exports `fabric:task/mapper`. A command can map too.
    pub mapper: bool,
    /// `true` if it exports `fabric:task/reducer`. A command can reduce too.
    pub reducer: bool,
}

/// One immutable version of a function, with everything that a node needs to run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deployment {
    /// Tenant that owns it.
    pub tenant: TenantId,
    /// Name of the function.
    pub function: FunctionName,
    /// Version number, from 1.
    pub version: u32,
    /// Digest of the module.
    pub module: ModuleDigest,
    /// Size of the module in bytes.
    pub module_bytes: u64,
    /// Entry points of the module.
    pub entry: Entry,
    /// Manifest of the deployment, with the parameters' schema filled in.
    pub manifest: Manifest,
    /// Creation time, in milliseconds since 1970.
    pub created_ms: u64,
    /// A note by the deployer, such as a commit id.
    #[serde(default)]
    pub note: String,
}

impl Deployment {
    /// Returns `true` if only the module, the input, the parameters and, if it [`uses_gpu`](Self::uses_gpu), the
    /// adapter determine a result. Always `false` for http functions.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        self.entry.kind != EntryKind::Http && self.manifest.grants.is_pure()
    }

    /// Returns the class of the engine that runs it.
    #[must_use]
    pub fn engine_class(&self) -> EngineClass {
        if self.is_pure() { EngineClass::Deterministic } else { EngineClass::General }
    }

    /// Returns `true` if it may use a node's GPU. Its results then have a separate key for each adapter:
    /// [`TaskKey::on_adapter`](crate::digest::TaskKey::on_adapter).
    #[must_use]
    pub fn uses_gpu(&self) -> bool {
        self.manifest.resources.gpu != GpuRequirement::None
    }
}

/// The selector of a function's version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The versions behind the alias `live`.
    Default,
    /// `name@3`.
    Version(u32),
    /// `name:alias`.
    Alias(AliasName),
}

/// A reference to a function: `weather`, `weather@3` or `weather:canary`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionRef {
    /// Name of the function.
    pub name: FunctionName,
    /// Version selector.
    pub selector: Selector,
}

/// Text that is not a function reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a function reference: write NAME, NAME@VERSION or NAME:ALIAS")]
pub struct InvalidRef(pub String);

impl FromStr for FunctionRef {
    type Err = InvalidRef;
    fn from_str(text: &str) -> Result<Self, InvalidRef> {
        let bad = || InvalidRef(text.chars().take(80).collect());
        let name = |t: &str| FunctionName::new(t).map_err(|_| bad());
        if let Some((left, version)) = text.split_once('@') {
            let version = version.parse().ok().filter(|v| *v > 0).ok_or_else(bad)?;
            Ok(Self { name: name(left)?, selector: Selector::Version(version) })
        } else if let Some((left, alias)) = text.split_once(':') {
            let alias = AliasName::new(alias).map_err(|_| bad())?;
            Ok(Self { name: name(left)?, selector: Selector::Alias(alias) })
        } else {
            Ok(Self { name: name(text)?, selector: Selector::Default })
        }
    }
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Selector::Default => write!(f, "{}", self.name),
            Selector::Version(v) => write!(f, "{}@{v}", self.name),
            Selector::Alias(a) => write!(f, "{}:{a}", self.name),
        }
    }
}

crate::text_schema!(FunctionRef, "weather:live");

impl Serialize for FunctionRef {
    fn serialize<S: serde::Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        ser.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FunctionRef {
    fn deserialize<D: serde::Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(de)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One version behind an alias, with its share of the calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AliasTarget {
    /// The version.
    pub version: u32,
    /// Its weight among the alias's targets, 1 to 1000.
    pub weight: u32,
}
