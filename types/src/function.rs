//! Deployed functions: versions, aliases, and how a caller names one.

use crate::{
    digest::ModuleDigest,
    id::{AliasName, FunctionName, TenantId},
    manifest::{GpuMode, Manifest},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How a module is entered; found by looking at its exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
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

/// Text that names no kind of module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no kind of module: use task, http or command")]
pub struct InvalidKind(pub String);

/// What a module can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// The kind of entry.
    pub kind: EntryKind,
    /// Whether it exports `fabric:task/handler`.
    pub handler: bool,
    /// Whether it exports `fabric:task/mapper`. A command maps too.
    pub mapper: bool,
    /// Whether it exports `fabric:task/reducer`. A command reduces too.
    pub reducer: bool,
}

/// One immutable version of a function: everything a node needs to run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deployment {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub function: FunctionName,
    /// Counts from 1.
    pub version: u32,
    /// The module.
    pub module: ModuleDigest,
    /// The module's size in bytes.
    pub module_bytes: u64,
    /// What the module exports.
    pub entry: Entry,
    /// The manifest it was deployed with, parameters' schema filled in.
    pub manifest: Manifest,
    /// When, in milliseconds since 1970.
    pub created_ms: u64,
    /// A word from the deployer, such as a commit id.
    #[serde(default)]
    pub note: String,
}

impl Deployment {
    /// Whether nothing but the module, the input and the parameters decides a result, and the adapter where it
    /// [`uses_gpu`](Self::uses_gpu). Http functions never are.
    #[must_use]
    pub fn is_pure(&self) -> bool {
        self.entry.kind != EntryKind::Http && self.manifest.grants.is_pure()
    }

    /// Whether it may use a node's GPU. Its results then stand under a key of their own for each adapter:
    /// [`TaskKey::on_adapter`](crate::digest::TaskKey::on_adapter).
    #[must_use]
    pub fn uses_gpu(&self) -> bool {
        self.manifest.resources.gpu != GpuMode::None
    }
}

/// Which version a caller means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The versions behind the alias `live`.
    Default,
    /// `name@3`.
    Version(u32),
    /// `name:alias`.
    Alias(AliasName),
}

/// A function as a caller names it: `weather`, `weather@3` or `weather:canary`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionRef {
    /// The function.
    pub name: FunctionName,
    /// Which version.
    pub selector: Selector,
}

/// Text that names no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no function: write NAME, NAME@VERSION or NAME:ALIAS")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasTarget {
    /// The version.
    pub version: u32,
    /// Its weight among the alias's targets, 1 to 1000.
    pub weight: u32,
}
