//! Checks of the Python client: lints, types, wheel, and its tests against a real server.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::folders;
use crate::outside::run;

/// Runs `clients/python/ci.sh` with the binary that the Rust tests have built.
pub(crate) fn test(guests: &Path) -> Result<()> {
    let mut command = Command::new("bash");
    command.arg(folders::root().join("clients/python/ci.sh"));
    command.env("FABRIC_BIN", folders::target().join("debug/fabric")).env("FABRIC_GUESTS_DIR", guests);
    run(&mut command)
}
