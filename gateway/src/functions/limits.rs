//! Limits on the number of functions, versions and aliases. Each is a registry record that is not removed
//! automatically.

use super::{
    Functions,
    record::{self, Head, decode, decode_deployment},
};
use crate::{Error, error::Result};
use fabric_types::{
    Code,
    id::{FunctionName, TenantId},
};

/// Maximum functions of a tenant.
const MAX_FUNCTIONS: usize = 5_000;
/// Maximum versions of a function.
const MAX_VERSIONS: u32 = 10_000;
/// Maximum aliases of a function.
const MAX_ALIASES: usize = 100;
/// Entries read at a time.
const PAGE: usize = 1_000;

fn full(message: String, hint: &str) -> Error {
    Error::new(Code::Conflict, message).hint(hint)
}

impl Functions {
    /// Fails if the tenant has the maximum number of functions.
    pub(super) async fn check_function_limit(&self, tenant: &TenantId) -> Result<()> {
        let (prefix, mut after, mut count) = (record::heads(tenant), None::<String>, 0);
        loop {
            let page = self.0.backend.registry.list(&prefix, after.as_deref(), PAGE).await?;
            for entry in &page {
                count += usize::from(!decode::<Head>("a function", &entry.value)?.deleted);
            }
            if count >= MAX_FUNCTIONS {
                let message = format!("the tenant {tenant} has {count} functions, the maximum");
                return Err(full(message, "delete some that are no longer used: `fabric functions delete NAME`"));
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Fails if the function has the maximum number of versions. `latest` is the last number assigned.
    pub(super) async fn check_version_limit(&self, tenant: &TenantId, f: &FunctionName, latest: u32) -> Result<()> {
        if latest < MAX_VERSIONS {
            return Ok(());
        }
        // Numbers are never assigned twice: after a deletion they continue, so the count starts at the oldest version.
        let oldest = self.0.backend.registry.list(&record::versions(tenant, f), None, 1).await?;
        let first = oldest.first().map(|entry| decode_deployment(&entry.value)).transpose()?;
        let kept = first.map_or(0, |first| latest.saturating_sub(first.version) + 1);
        if kept < MAX_VERSIONS {
            return Ok(());
        }
        Err(full(
            format!("function {f} has {kept} versions, the maximum"),
            "delete its oldest ones: `fabric versions NAME --delete VERSION`",
        ))
    }

    /// Fails if the function has the maximum number of aliases.
    pub(super) async fn check_alias_limit(&self, tenant: &TenantId, f: &FunctionName) -> Result<()> {
        let count = self.0.backend.registry.list(&record::aliases(tenant, f), None, MAX_ALIASES).await?.len();
        if count < MAX_ALIASES {
            return Ok(());
        }
        Err(full(format!("function {f} has {count} aliases, the maximum"), "delete one that is no longer used"))
    }
}
