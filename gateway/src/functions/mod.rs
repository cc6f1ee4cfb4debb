//! Functions: immutable versions, aliases, and the resolution of names to deployments.
//!
//! Registry keys under `t/{tenant}/`: `heads/{f}` (the function's newest version), `functions/{f}/versions/{v}` and
//! `functions/{f}/aliases/{a}`. A version number is claimed by creating its key, and `Head::latest` only grows, so a
//! number is never assigned twice.

mod alias;
mod cache;
mod deploy;
mod limits;
mod list;
pub mod params;
mod record;
mod resolve;
mod schema_cost;
mod schemas;

pub use deploy::{DeployOutcome, NewVersion};
pub use resolve::{ResolvedVersion, WeightedVersions};

use crate::{Error, error::Result, offload::Offload};
use fabric_backend::{Backend, registry::Change};
use fabric_types::{Code, id::AliasName};
use futures::StreamExt as _;
use std::sync::Arc;

/// The function registry. Cloning is cheap.
#[derive(Clone)]
pub struct Functions(Arc<Inner>);

struct Inner {
    backend: Backend,
    cache: cache::Cache<WeightedVersions>,
    schemas: schemas::Schemas,
}

impl Functions {
    /// Creates the service over a backend's registry. Schemas are compiled and large parameters checked on the threads
    /// of `checks`.
    #[must_use]
    pub fn new(backend: Backend, checks: Offload) -> Self {
        let schemas = schemas::Schemas::new(checks);
        Self(Arc::new(Inner { backend, cache: cache::Cache::new(), schemas }))
    }

    /// Invalidates the cache on changes of the registry. Returns when the registry closes. Run it alongside the server.
    pub async fn follow(self) {
        let mut changes = self.0.backend.registry.watch("t/");
        while let Some(change) = changes.next().await {
            let key = match &change {
                Change::Put(entry) => &entry.key,
                Change::Deleted(key) => key,
            };
            if let Some((tenant, function)) = record::owner(key) {
                self.0.cache.forget(tenant, function);
            }
        }
    }
}

/// Returns the alias that a bare name refers to.
fn live() -> Result<AliasName> {
    Ok(AliasName::new("live")?)
}

fn damaged(what: &str, e: &serde_json::Error) -> Error {
    Error::new(Code::Internal, format!("{what} is damaged in the registry: {e}"))
}
