//! What the registry holds about functions, and under which keys.

use super::damaged;
use crate::{Error, error::Result};
use bytes::Bytes;
use fabric_types::{
    Code,
    function::{AliasTarget, Deployment},
    id::{AliasName, FunctionName, TenantId},
    rest::function::Alias,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What is known of a function as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The highest version number given. It only grows, over deletion too, so that a number always means the same bytes.
    pub latest: u32,
    /// The newest version that is there.
    pub newest: u32,
    /// Whether the function was deleted after that version.
    #[serde(default)]
    pub deleted: bool,
    /// When the newest version was deployed.
    pub updated_ms: u64,
}

/// An alias with the targets it had before, for rollbacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AliasRecord {
    pub alias: Alias,
    /// Targets before these, newest last; at most [`HISTORY`].
    #[serde(default)]
    pub history: Vec<Vec<AliasTarget>>,
    /// For `live`: the newest version that a deployment moved it to, so that a slower, older one doesn't move it back.
    #[serde(default)]
    pub promoted: u32,
}

/// Whether calls are divided alike: the weight of an only target says nothing.
pub(super) fn mean_the_same(some: &[AliasTarget], others: &[AliasTarget]) -> bool {
    match (some, others) {
        ([one], [other]) => one.version == other.version,
        _ => some == others,
    }
}

/// Earlier targets that an alias keeps.
const HISTORY: usize = 32;

impl AliasRecord {
    /// The history once these targets are replaced by `next`.
    pub fn history_after(self, next: &[AliasTarget]) -> Vec<Vec<AliasTarget>> {
        let mut history = self.history;
        if !mean_the_same(&self.alias.targets, next) {
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

/// Ten digits, so that key order is version order.
pub(super) fn version(tenant: &TenantId, f: &FunctionName, v: u32) -> String {
    format!("t/{tenant}/functions/{f}/versions/{v:010}")
}

pub(super) fn aliases(tenant: &TenantId, f: &FunctionName) -> String {
    format!("t/{tenant}/functions/{f}/aliases/")
}

pub(super) fn alias(tenant: &TenantId, f: &FunctionName, a: &AliasName) -> String {
    format!("t/{tenant}/functions/{f}/aliases/{a}")
}

/// The tenant and function that a key belongs to.
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
