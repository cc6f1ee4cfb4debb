//! Staging of large conditional writes to a remote store. S3 completes a multipart upload unconditionally, so the whole
//! object is written here first and then copied to its path if none exists there. User paths never lead here.
//!
//! A process that dies in between leaves a staged object. The next large conditional write of the tenant removes such
//! objects after they are a day old, since a running writer copies within minutes.

use crate::spaces::SweepMode;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, Result, path::Path};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Minimum age of a staged object that is removed.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum number of objects removed per sweep, which bounds the delay of a write. The next sweep continues.
const MAX_SWEPT: usize = 100;

/// Returns the staging folder of the space `root`.
pub(crate) fn folder(root: &Path) -> Path {
    root.parent().unwrap_or_default().join("staging")
}

/// Returns a new name in `folder`.
pub(crate) fn name(folder: &Path) -> Path {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    // Each call uses a new random key.
    let unique = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), folder.as_ref());
    folder.clone().join(format!("{nanos:x}-{unique:x}"))
}

/// Removes or counts the abandoned objects in `folder` as of `now`. Returns their number.
pub(crate) async fn sweep(store: &dyn ObjectStore, folder: &Path, now: SystemTime, mode: SweepMode) -> Result<u64> {
    let Some(before) = now.checked_sub(MAX_AGE) else { return Ok(0) };
    let mut removed = 0;
    let old: Vec<_> = store
        .list(Some(folder))
        .try_filter(|meta| std::future::ready(SystemTime::from(meta.last_modified) < before))
        .take(MAX_SWEPT)
        .try_collect()
        .await?;
    if mode == SweepMode::Count {
        return Ok(old.len() as u64);
    }
    for meta in old {
        match store.delete(&meta.location).await {
            // Another process may have removed it first.
            Ok(()) => removed += 1,
            Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn only_what_is_a_day_old_is_removed() {
        let (store, folder) = (InMemory::new(), folder(&Path::from("t/acme/objects")));
        assert_eq!(folder.as_ref(), "t/acme/staging");
        let (staged, beside) = (name(&folder), Path::from("t/acme/objects/x"));
        assert_ne!(staged, name(&folder));
        for path in [&staged, &beside] {
            store.put(path, "x".into()).await.unwrap();
        }
        let now = SystemTime::now();
        sweep(&store, &folder, now + MAX_AGE / 2, SweepMode::Remove).await.unwrap();
        store.head(&staged).await.unwrap();
        sweep(&store, &folder, now + MAX_AGE * 2, SweepMode::Remove).await.unwrap();
        assert!(matches!(store.head(&staged).await, Err(object_store::Error::NotFound { .. })));
        store.head(&beside).await.unwrap();
    }
}
