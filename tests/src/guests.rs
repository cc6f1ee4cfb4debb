//! Modules for the tests: those that `cargo xtask guests` builds, and hostile ones in the text format.

use bytes::Bytes;
use std::path::{Path, PathBuf};

/// Returns the root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    // Read at run time, since two clones may share a target folder that holds the other clone's build.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("run the tests with cargo");
    Path::new(&package).parent().unwrap().to_owned()
}

/// Returns Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => repository().join(folder),
        None => repository().join("target"),
    }
}

/// Reads a guest that `cargo xtask guests` built, from `FABRIC_GUESTS_DIR` or else from the target folder.
#[must_use]
pub fn built(name: &str) -> Bytes {
    let folder = std::env::var_os("FABRIC_GUESTS_DIR").map_or_else(|| target().join("guests"), PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    let bytes = std::fs::read(&path);
    bytes.unwrap_or_else(|e| panic!("{}: {e}\nhint: cargo xtask guests", path.display())).into()
}

/// A command that copies standard input to standard output.
const CAT: &str = r#"(module
 (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 2)
 (func (export "_start") (local $n i32)
  (loop $more
   (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
   (if (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
   (local.set $n (i32.load (i32.const 8)))
   (if (i32.eqz (local.get $n)) (then (return)))
   (i32.store (i32.const 4) (local.get $n))
   (if (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
   (br $more))))"#;

/// Returns a command that writes its partition to standard output.
#[must_use]
pub fn cat() -> Bytes {
    wat::parse_str(CAT).unwrap_or_else(|e| panic!("{e}")).into()
}

fn hostile_folder() -> PathBuf {
    repository().join("examples/hostile")
}

/// Returns a guest of `examples/hostile`. A `.wat` file is assembled; any other guest must have been built.
#[must_use]
pub fn hostile(name: &str) -> Bytes {
    let text = hostile_folder().join(format!("{name}.wat"));
    if text.exists() { wat::parse_file(&text).unwrap_or_else(|e| panic!("{e}")).into() } else { built(name) }
}

/// Returns the sorted names of all guests in `examples/hostile`.
#[must_use]
pub fn hostile_names() -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let is_text = path.extension().is_some_and(|kind| kind == "wat");
        let is_package = path.join("Cargo.toml").exists();
        (is_text || is_package).then(|| path.file_stem().unwrap().to_string_lossy().into_owned())
    };
    let mut names: Vec<_> = std::fs::read_dir(hostile_folder()).unwrap().filter_map(name).collect();
    names.sort();
    names
}

/// Returns a manifest with this name, followed by `more`: TOML text such as `[limits]` and its keys.
#[must_use]
pub fn manifest(name: &str, more: &str) -> String {
    format!("[function]\nname = \"{name}\"\n{more}\n")
}
