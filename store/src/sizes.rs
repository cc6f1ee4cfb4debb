//! Stored bytes of each tenant, from a listing of the whole store.

use crate::{Error, account::object_bytes};
use fabric_types::{id::TenantId, storage::StorageKind};
use futures::TryStreamExt as _;
use object_store::{ObjectStore, path::Path};
use std::collections::HashMap;

/// Returns the storage kind of a tenant's folder.
fn kind(folder: &str) -> Option<StorageKind> {
    Some(match folder {
        "objects" | "staging" => StorageKind::Objects,
        "results" => StorageKind::Results,
        "modules" => StorageKind::Functions,
        _ => return None,
    })
}

/// Lists the objects under `root`, which has a folder per tenant, and sums their charged bytes.
pub(crate) async fn of(
    store: &dyn ObjectStore,
    root: &Path,
) -> Result<HashMap<TenantId, HashMap<StorageKind, u64>>, Error> {
    let mut found: HashMap<TenantId, HashMap<StorageKind, u64>> = HashMap::new();
    let mut all = store.list(Some(root));
    while let Some(meta) = all.try_next().await.map_err(|e| Error::from_store("list", "", e))? {
        let Some(mut parts) = meta.location.prefix_match(root) else { continue };
        let tenant = parts.next().and_then(|name| TenantId::new(name.as_ref()).ok());
        let kind = parts.next().and_then(|folder| kind(folder.as_ref()));
        if let (Some(tenant), Some(kind)) = (tenant, kind) {
            *found.entry(tenant).or_default().entry(kind).or_default() += object_bytes(&meta.location, meta.size);
        }
    }
    Ok(found)
}
