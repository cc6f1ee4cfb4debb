//! The Python client: the module that runs its functions, and its checks (lints, types, wheel, tests against a real
//! server).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::folders;
use crate::outside::{find, run};

/// Builds the Python runner. Returns its file.
pub(crate) fn runner() -> Result<PathBuf> {
    let python = find("python3").context("python3 is needed to build the Python runner")?;
    let mut command = Command::new(python);
    command.arg(folders::root().join("clients/python/runner/build.py"));
    run(command.env("CARGO_TARGET_DIR", folders::target()).stdout(Stdio::null()))?;
    Ok(folders::guests().join("python-runner.wasm"))
}

/// Runs `clients/python/ci.sh` with the binary that the Rust tests have built.
pub(crate) fn test(guests: &Path) -> Result<()> {
    let mut command = Command::new("bash");
    command.arg(folders::root().join("clients/python/ci.sh"));
    command.env("FABRIC_BIN", folders::target().join("debug/fabric")).env("FABRIC_GUESTS_DIR", guests);
    run(&mut command)
}
