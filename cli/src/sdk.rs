//! The Rust SDK that the binary carries: `fabric new` writes it into a project, which then builds on any machine with
//! Rust and needs no checkout of Fabric.

use crate::failure::Failure;
use include_dir::{Dir, DirEntry, include_dir};
use std::path::Path;
use toml::{Table, Value};

static SDK: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../guest-sdk");
static WIT: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../wit");
/// The manifest from which those of the SDK inherit.
const WORKSPACE: &str = include_str!("../../Cargo.toml");

/// Folder of the SDK within a project. The WIT packages are beside it, in `sdk/wit`, as the SDK expects.
pub const FOLDER: &str = "sdk/rust";

/// Writes the SDK and the WIT packages below a project's folder.
///
/// # Errors
/// A [`Failure`] if a file can't be written.
pub fn write(project: &Path) -> Result<(), Failure> {
    copy(&SDK, &project.join(FOLDER))?;
    copy(&WIT, &project.join("sdk/wit"))
}

fn copy(dir: &Dir<'_>, target: &Path) -> Result<(), Failure> {
    for entry in dir.entries() {
        match entry {
            // Tests of the SDK need the workspace's development dependencies.
            DirEntry::Dir(dir) if dir.path().ends_with("tests") || dir.path().ends_with("target") => {}
            DirEntry::Dir(dir) => copy(dir, &target.join(dir.path().file_name().unwrap_or_default()))?,
            DirEntry::File(file) => {
                let name = file.path().file_name().unwrap_or_default();
                let path = target.join(name);
                std::fs::create_dir_all(target).map_err(|e| Failure::io(target.display(), e))?;
                let bytes = match file.contents_utf8() {
                    Some(text) if name == "Cargo.toml" => standalone(text)?.into_bytes(),
                    _ => file.contents().to_vec(),
                };
                std::fs::write(&path, bytes).map_err(|e| Failure::io(path.display(), e))?;
            }
        }
    }
    Ok(())
}

/// Returns a manifest of the workspace with everything that it inherits written out, as cargo does when it packages a
/// crate. Development dependencies and lints are left out.
fn standalone(manifest: &str) -> Result<String, Failure> {
    let read = |text: &str| {
        text.parse::<Table>().map_err(|e| Failure::local("internal", format!("reading the SDK's manifest: {e}")))
    };
    let (mut manifest, workspace) = (read(manifest)?, read(WORKSPACE)?);
    let inherited = |section: &str, key: &str| workspace.get("workspace")?.get(section)?.get(key).cloned();
    manifest.remove("lints");
    manifest.remove("dev-dependencies");
    if let Some(Value::Table(package)) = manifest.get_mut("package") {
        for (key, value) in package.iter_mut().filter(|(_, value)| inherits(value)) {
            if let Some(known) = inherited("package", key) {
                *value = known;
            }
        }
    }
    if let Some(Value::Table(dependencies)) = manifest.get_mut("dependencies") {
        for (name, value) in dependencies.iter_mut().filter(|(_, value)| inherits(value)) {
            if let Some(known) = inherited("dependencies", name) {
                *value = with_features(known, value);
            }
        }
    }
    toml::to_string(&manifest).map_err(|e| Failure::local("internal", format!("writing the SDK's manifest: {e}")))
}

/// Returns `true` for `{ workspace = true, … }`.
fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Returns the workspace's dependency with the features that the crate adds.
fn with_features(mut dependency: Value, added: &Value) -> Value {
    let Some(added) = added.get("features").and_then(Value::as_array) else { return dependency };
    if let Value::String(version) = &dependency {
        dependency = Value::Table(Table::from_iter([("version".to_owned(), Value::String(version.clone()))]));
    }
    if let Value::Table(table) = &mut dependency
        && let Value::Array(features) = table.entry("features").or_insert_with(|| Value::Array(Vec::new()))
    {
        features.extend(added.iter().cloned());
    }
    dependency
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_sdk_stands_alone() {
        let project = tempfile::tempdir().unwrap();
        write(project.path()).unwrap();
        for manifest in ["sdk/rust/Cargo.toml", "sdk/rust/macros/Cargo.toml"] {
            let text = std::fs::read_to_string(project.path().join(manifest)).unwrap();
            assert!(!text.contains("workspace") && text.contains("version = "), "{manifest}: {text}");
        }
        for file in ["sdk/rust/src/lib.rs", "sdk/rust/src/gpu/passes/map.wgsl", "sdk/wit/task/task.wit"] {
            assert!(project.path().join(file).is_file(), "{file}");
        }
        assert!(!project.path().join("sdk/rust/tests").exists());
    }
}
