//! Bodies and queries of the routes of functions, versions and aliases.

use crate::page::paged;
use fabric_types::{
    digest::ModuleDigest,
    function::{AliasTarget, Deployment, Entry},
    id::{AliasName, FunctionName},
};
use serde::{Deserialize, Serialize};

/// A function in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FunctionSummary {
    /// Name of the function.
    pub name: FunctionName,
    /// Description in the manifest of the live version.
    pub description: String,
    /// Tags in the manifest of the live version.
    pub tags: Vec<String>,
    /// `true` if an http function may be called without a token.
    pub public: bool,
    /// Entry points of the live version.
    pub entry: Entry,
    /// Newest existing version.
    pub latest: u32,
    /// Versions behind `live`, by weight; empty if nothing is live.
    pub live: Vec<AliasTarget>,
    /// Deployment time of the newest version.
    pub updated_ms: u64,
}

/// The response to a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeploymentResponse {
    /// The deployed version.
    pub deployment: Deployment,
    /// `false` if the newest version has the same module and manifest, so that no version was created.
    pub created: bool,
    /// Versions behind `live` after the deployment, by weight; empty if nothing is live.
    pub live: Vec<AliasTarget>,
    /// Versions behind `live` before the deployment.
    pub live_before: Vec<AliasTarget>,
    /// Compile time in milliseconds; 0 if the artefact existed already.
    pub compile_ms: u64,
    /// Warnings for the deployer.
    pub warnings: Vec<String>,
}

/// The module of the server that runs the functions of Python clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstalledRunner {
    /// SHA-256 of the module. It can be deployed by this digest.
    pub module: ModuleDigest,
    /// Size of the module in bytes.
    pub module_bytes: u64,
    /// `true` if this process has compiled it for all functions; `false` shortly after the server's first start.
    pub compiled: bool,
}

/// An alias. Calls are distributed over its targets by weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alias {
    /// Name of the alias. A function name without a selector refers to `live`.
    pub name: AliasName,
    /// Targets of the alias, 1 to 16.
    pub targets: Vec<AliasTarget>,
    /// Time of the last change.
    pub updated_ms: u64,
}

/// A request to set an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetAlias {
    /// Targets of the alias, 1 to 16.
    pub targets: Vec<AliasTarget>,
}

/// A request to point `live` at an older version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Rollback {
    /// The version. Default: the previous live version; each rollback goes back one further.
    pub to: Option<u32>,
}

/// A filter for functions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct FunctionQuery {
    /// Only functions with this text in their name or description.
    pub q: Option<String>,
    /// Only functions with this tag.
    pub tag: Option<String>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
    /// Items per page, 1 to 1000. Default 100.
    pub limit: Option<usize>,
}
paged!(FunctionQuery);
