//! An OCI registry for the tests: `FABRIC_TEST_REGISTRY`, else Debian's `docker-registry`.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::outside::{apt_install, can_apt, find};

const PACKAGE: &str = "docker-registry";

/// Finds or installs one.
pub(crate) fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("FABRIC_TEST_REGISTRY").filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    if let Some(found) = find(PACKAGE) {
        return Ok(found);
    }
    let hint = format!("hint: set FABRIC_TEST_REGISTRY; or as root: apt-get install --no-install-recommends {PACKAGE}");
    if !can_apt() {
        bail!("the tests need an OCI registry\n{hint}");
    }
    apt_install(&[PACKAGE])?;
    match find(PACKAGE) {
        Some(found) => Ok(found),
        None => bail!("the package brought no {PACKAGE}\n{hint}"),
    }
}
