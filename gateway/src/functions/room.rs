//! How many functions, versions and aliases there may be: each is a record in the registry that is never removed by itself.

use super::{
    Functions,
    record::{self, Head, decode, decode_deployment},
};
use crate::{Error, error::Result};
use fabric_types::{
    Code,
    id::{FunctionName, TenantId},
};

/// Functions of a tenant.
const MAX_FUNCTIONS: usize = 5_000;
/// Versions of a function.
const MAX_VERSIONS: u32 = 10_000;
/// Aliases of a function.
const MAX_ALIASES: usize = 100;
/// Entries read at once.
const PAGE: usize = 1_000;

fn full(message: String, hint: &str) -> Error {
    Error::new(Code::Conflict, message).hint(hint)
}

impl Functions {
    /// Refuses one more function where the tenant has as many as it may have.
    pub(super) async fn room_for_function(&self, tenant: &TenantId) -> Result<()> {
        let (prefix, mut after, mut count) = (record::heads(tenant), None::<String>, 0);
        loop {
            let page = self.0.engine.registry.list(&prefix, after.as_deref(), PAGE).await?;
            for entry in &page {
                count += usize::from(!decode::<Head>("a function", &entry.value)?.deleted);
            }
            if count >= MAX_FUNCTIONS {
                let message = format!("the tenant {tenant} has {count} functions, as many as it may have");
                return Err(full(message, "delete some that are no longer used: `fabric functions delete NAME`"));
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Refuses one more version after `latest` where there are as many as there may be.
    pub(super) async fn room_for_version(&self, tenant: &TenantId, f: &FunctionName, latest: u32) -> Result<()> {
        if latest < MAX_VERSIONS {
            return Ok(());
        }
        // Numbers are never given twice: after a deletion they go on from where they were.
        let oldest = self.0.engine.registry.list(&record::versions(tenant, f), None, 1).await?;
        let first = oldest.first().map(|entry| decode_deployment(&entry.value)).transpose()?;
        let kept = first.map_or(0, |first| latest.saturating_sub(first.version) + 1);
        if kept < MAX_VERSIONS {
            return Ok(());
        }
        Err(full(
            format!("function {f} has {kept} versions, as many as it may have"),
            "delete its oldest ones: `fabric versions NAME --delete VERSION`",
        ))
    }

    /// Refuses one more alias where the function has as many as it may have.
    pub(super) async fn room_for_alias(&self, tenant: &TenantId, f: &FunctionName) -> Result<()> {
        let count = self.0.engine.registry.list(&record::aliases(tenant, f), None, MAX_ALIASES).await?.len();
        if count < MAX_ALIASES {
            return Ok(());
        }
        Err(full(
            format!("function {f} has {count} aliases, as many as it may have"),
            "delete one that is no longer used",
        ))
    }
}
