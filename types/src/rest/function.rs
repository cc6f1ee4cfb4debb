//! Functions, versions, aliases.

use crate::{
    function::{AliasTarget, Deployment, Entry},
    id::{AliasName, FunctionName},
};
use serde::{Deserialize, Serialize};

/// A function in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FunctionSummary {
    /// Its name.
    pub name: FunctionName,
    /// From the manifest of the version that is live.
    pub description: String,
    /// From the manifest of the version that is live.
    pub tags: Vec<String>,
    /// Whether an http function may be called without a token.
    pub public: bool,
    /// What the live version exports.
    pub entry: Entry,
    /// The newest version that is there.
    pub latest: u32,
    /// The versions behind `live`, by weight; empty where nothing is live.
    pub live: Vec<AliasTarget>,
    /// When the newest version was deployed.
    pub updated_ms: u64,
}

/// The answer to a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Deployed {
    /// The version that now exists.
    pub deployment: Deployment,
    /// False when the newest version had the same module and manifest, and nothing was made.
    pub created: bool,
    /// The versions behind `live` now, by weight; empty where nothing is live.
    pub live: Vec<AliasTarget>,
    /// The versions behind `live` before.
    pub live_before: Vec<AliasTarget>,
    /// Milliseconds the compiler took; 0 when the artefact was there already.
    pub compile_ms: u64,
    /// What the deployer should know.
    pub warnings: Vec<String>,
}

/// An alias. Calls are divided over its targets by weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Alias {
    /// Its name. `live` is the one that a bare function name means.
    pub name: AliasName,
    /// Where it points; 1 to 16 targets.
    pub targets: Vec<AliasTarget>,
    /// When it was last changed.
    pub updated_ms: u64,
}

/// Sets an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAlias {
    /// Where it points; 1 to 16 targets.
    pub targets: Vec<AliasTarget>,
}

/// Points `live` at an older version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// The version. Default: the one that was live before; each rollback goes further back.
    pub to: Option<u32>,
}
