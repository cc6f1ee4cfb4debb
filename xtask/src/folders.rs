//! Paths of the repository and of build output.

use std::path::{Path, PathBuf};

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable for `cargo xtask`. The compiled path may be that of another clone with the same target folder.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let here = Path::new(&here);
    here.parent().unwrap_or(here).to_owned()
}

/// Returns Cargo's target folder: `CARGO_TARGET_DIR`, else `target` in the repository.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) if !folder.is_empty() => root().join(folder),
        _ => root().join("target"),
    }
}

/// Returns the folder of the guests, one `NAME.wasm` each. Tests read it too, unless `FABRIC_GUESTS_DIR` names another.
pub(crate) fn guests() -> PathBuf {
    target().join("guests")
}

/// Returns Cargo's target folder for all guest workspaces, shared so that the standard library is built once.
pub(crate) fn guest_build() -> PathBuf {
    target().join("guest-build")
}
