//! The workspace's packages, as `cargo metadata` lists them.
//!
//! Read without the crate `cargo_metadata`: it enables features of serde_json, with which every crate above it would be
//! built a second time for the tests.

use crate::sources::repository;
use serde::Deserialize;
use std::{path::PathBuf, process::Command};

/// The workspace.
#[derive(Deserialize)]
pub struct Metadata {
    /// Its packages, without dependencies from registries.
    pub packages: Vec<Package>,
}

/// One package.
#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    pub manifest_path: PathBuf,
    /// Registries that it may be published to; absent for all.
    pub publish: Option<Vec<String>>,
    pub dependencies: Vec<Dependency>,
}

/// A dependency of a package.
#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
    /// `dev` or `build`; absent for a normal one.
    pub kind: Option<String>,
}

/// Returns the packages of the workspace.
pub fn metadata() -> Metadata {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(repository()).args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
