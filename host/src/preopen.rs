//! Opening a tenant's volumes for one call: folders under the volumes root, read-only unless granted for writing.
//!
//! The sandbox confines paths inside a volume, so that neither `..` nor a symbolic link leaves the folder. This module
//! only selects the folder to open.

use fabric_types::{Code, Fault, function::Deployment};
use std::path::Path;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// Opens the volumes that the deployment was granted, and creates those that do not exist.
pub(crate) fn open(wasi: &mut WasiCtxBuilder, deployment: &Deployment, root: &Path) -> Result<(), Fault> {
    for volume in &deployment.manifest.grants.volumes {
        // Both names are validated types: one path segment of lower-case letters, digits and dashes.
        let folder = root.join(deployment.tenant.as_str()).join(volume.name.as_str());
        let failed = |error: &dyn std::fmt::Display| {
            Fault::new(Code::Unavailable, format!("volume `{}` can't be opened: {error}", volume.name.as_str()))
        };
        std::fs::create_dir_all(&folder).map_err(|e| failed(&e))?;
        // The last segment must be a folder, not a link to another place.
        let meta = std::fs::symlink_metadata(&folder).map_err(|e| failed(&e))?;
        if !meta.is_dir() {
            return Err(failed(&"it is not a folder"));
        }
        let perms = if volume.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        wasi.preopened_dir(&folder, &volume.path, perms).map_err(|e| failed(&e))?;
    }
    Ok(())
}
