//! How much each tenant keeps in the store, from a list of everything.

use crate::{Error, account::object_bytes};
use fabric_types::{id::TenantId, storage::StorageKind};
use futures::TryStreamExt as _;
use object_store::{ObjectStore, path::Path};
use std::collections::HashMap;

/// The kind that a folder of a tenant belongs to.
fn kind(folder: &str) -> Option<StorageKind> {
    Some(match folder {
        "objects" | "staging" => StorageKind::Objects,
        "results" => StorageKind::Results,
        "modules" => StorageKind::Functions,
        _ => return None,
    })
}

/// Lists what is under `root`, which holds a folder for each tenant.
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
