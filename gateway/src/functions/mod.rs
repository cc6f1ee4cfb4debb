//! Functions: immutable versions, aliases, and the way from a name to a deployment.
//!
//! In the registry, under `t/{tenant}/`: `heads/{f}` (the function's newest version), `functions/{f}/versions/{v}` and
//! `functions/{f}/aliases/{a}`. A version's number is claimed by creating its key, so it is never given twice.

mod alias;
mod cache;
mod deploy;
mod list;
pub mod params;
mod record;
mod resolve;
mod room;
mod schema_cost;
mod schemas;

pub use deploy::{Made, NewVersion};
pub use resolve::{Choice, Version};

use crate::{Error, error::Result, offload::Offload};
use fabric_engine::{Engine, registry::Change};
use fabric_types::{Code, id::AliasName};
use futures::StreamExt as _;
use std::sync::Arc;

/// The function registry. Cloning is cheap.
#[derive(Clone)]
pub struct Functions(Arc<Inner>);

struct Inner {
    engine: Engine,
    cache: cache::Cache<Choice>,
    schemas: schemas::Schemas,
}

impl Functions {
    /// The service over an engine's registry. Schemas are compiled and large parameters checked on the threads of `checks`.
    #[must_use]
    pub fn new(engine: Engine, checks: Offload) -> Self {
        let schemas = schemas::Schemas::new(checks);
        Self(Arc::new(Inner { engine, cache: cache::Cache::new(), schemas }))
    }

    /// Follows the registry's changes; returns when the registry closes. Run it beside the server.
    pub async fn follow(self) {
        let mut changes = self.0.engine.registry.watch("t/");
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

/// The alias that a bare name means.
fn live() -> Result<AliasName> {
    Ok(AliasName::new("live")?)
}

fn damaged(what: &str, e: &serde_json::Error) -> Error {
    Error::new(Code::Internal, format!("{what} is damaged in the registry: {e}"))
}
