//! Where things are.

use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target` in the repository.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) if !folder.is_empty() => root().join(folder),
        _ => root().join("target"),
    }
}

/// The guests, one `NAME.wasm` each; tests find them here too, or where `FABRIC_GUESTS_DIR` says.
pub(crate) fn guests() -> PathBuf {
    target().join("guests")
}

/// Cargo's target folder for all guest workspaces: the standard library is built once for all of them.
pub(crate) fn guest_build() -> PathBuf {
    target().join("guest-build")
}
