//! Registry records of functions, and their keys.

use super::damaged;
use crate::{Error, error::Result};
use bytes::Bytes;
use fabric_api::function::Alias;
use fabric_types::{
    Code,
    function::{AliasTarget, Deployment},
    id::{AliasName, FunctionName, TenantId},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The state of a function as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The highest version number assigned. It only grows, also across deletion, so that a number always means the same
    /// bytes.
    pub latest: u32,
    /// The newest existing version.
    pub newest: u32,
    /// `true` if the function was deleted after that version.
    #[serde(default)]
    pub deleted: bool,
    /// Time of the last deployment, in milliseconds since 1970.
    pub updated_ms: u64,
}

/// An alias with its previous targets, for rollbacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AliasRecord {
    pub alias: Alias,
    /// Previous targets, newest last; at most [`HISTORY`].
    #[serde(default)]
    pub history: Vec<Vec<AliasTarget>>,
    /// For `live`: the newest version that a deployment moved it to, so that a slower deployment of an older version
    /// does not move it back.
    #[serde(default)]
    pub promoted: u32,
}

/// Returns `true` if both lists divide calls alike: the weight of a single target has no effect.
pub(super) fn same_split(some: &[AliasTarget], others: &[AliasTarget]) -> bool {
    match (some, others) {
        ([one], [other]) => one.version == other.version,
        _ => some == others,
    }
}

/// Maximum previous targets of an alias.
const HISTORY: usize = 32;

impl AliasRecord {
    /// Returns the history after these targets are replaced by `next`.
    pub fn history_after(self, next: &[AliasTarget]) -> Vec<Vec<AliasTarget>> {
        let mut history = self.history;
        if !same_split(&self.alias.targets, next) {
            history.push(self.alias.targets);
            history.drain(..history.len().saturating_sub(HISTORY));
        }
        history
    }
}

pub(super) fn heads(tenant: &TenantId) -> String {
    format!("t/{tenant}/heads/")
}

pub(super) fn head(tenant: &TenantId, f: &FunctionName) -> String {
    format!("t/{tenant}/heads/{f}")
}

pub(super) fn versions(tenant: &TenantId, f: &FunctionName) -> String {
    format!("t/{tenant}/functions/{f}/versions/")
}

/// Returns the key of a version. The number has ten digits, so that key order is version order.
pub(super) fn version(tenant: &TenantId, f: &FunctionName, v: u32) -> String {
    format!("t/{tenant}/functions/{f}/versions/{v:010}")
}

pub(super) fn aliases(tenant: &TenantId, f: &FunctionName) -> String {
    format!("t/{tenant}/functions/{f}/aliases/")
}

pub(super) fn alias(tenant: &TenantId, f: &FunctionName, a: &AliasName) -> String {
    format!("t/{tenant}/functions/{f}/aliases/{a}")
}

/// Returns the tenant and function that a key belongs to.
pub(super) fn owner(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.strip_prefix("t/")?.split('/');
    let tenant = parts.next()?;
    match parts.next()? {
        "heads" | "functions" => Some((tenant, parts.next()?)),
        _ => None,
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|e| Error::new(Code::Internal, e.to_string()))
}

pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| damaged(what, &e))
}

pub(super) fn decode_deployment(bytes: &[u8]) -> Result<Deployment> {
    decode("a version", bytes)
}
