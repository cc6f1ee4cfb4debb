//! The cache of compiled schemas. An evicted schema is compiled again on its next use.

use super::{Functions, ResolvedVersion, params::Schema};
use crate::{error::Result, offload::Offload};
use fabric_types::id::TenantId;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Maximum bytes of all cached schemas together, by their own estimate.
const CACHE_BYTES: u64 = 128 << 20;

/// Compiled schemas by digest.
pub(super) struct Schemas {
    compiled: moka::sync::Cache<blake3::Hash, Arc<Schema>>,
    checks: Offload,
}

/// Returns the digest that identifies a schema.
pub(super) fn digest(schema: &Value) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    // Writing to a hash does not fail.
    let _ = serde_json::to_writer(&mut hash, schema);
    hash.finalize()
}

impl Schemas {
    pub(super) fn new(checks: Offload) -> Self {
        let compiled = moka::sync::Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|_, schema: &Arc<Schema>| schema.memory_bytes)
            .build();
        Self { compiled, checks }
    }

    async fn compiled(&self, tenant: &TenantId, digest: blake3::Hash, schema: &Value) -> Result<Arc<Schema>> {
        if let Some(schema) = self.compiled.get(&digest) {
            return Ok(schema);
        }
        let source = schema.clone();
        let schema = Arc::new(self.checks.run(tenant, move |_| Schema::new(&source)).await??);
        self.compiled.insert(digest, Arc::clone(&schema));
        Ok(schema)
    }
}

impl Functions {
    /// Checks that a schema is within its bounds and compiles.
    ///
    /// # Errors
    /// `invalid-manifest` that names the problem.
    pub async fn check_schema(&self, tenant: &TenantId, schema: &Value) -> Result<()> {
        self.0.schemas.compiled(tenant, digest(schema), schema).await.map(drop)
    }

    /// Checks parameters against a version's schema, if it has one: at once if the check is cheap, else on a separate
    /// thread when the tenant's turn comes.
    ///
    /// # Errors
    /// `invalid-params`; `invalid-manifest` if the schema is no longer accepted.
    pub async fn check_params(&self, version: &ResolvedVersion, given: &Map<String, Value>) -> Result<()> {
        let (Some(digest), Some(schema)) = (version.schema, version.deployment.manifest.params.as_ref()) else {
            return Ok(());
        };
        let tenant = &version.deployment.tenant;
        let schema = self.0.schemas.compiled(tenant, digest, schema).await?;
        let params = Value::Object(given.clone());
        match schema.check_inline(&params) {
            Some(verdict) => verdict,
            None => self.0.schemas.checks.run(tenant, move |_| schema.check(&params)).await?,
        }
    }
}
