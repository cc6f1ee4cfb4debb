//! A Rust compiler and standard library for `wasm32-wasip2`. Tried in this order: the installed target, `rustup target
//! add`, Debian's compiler with the source of its standard library; else an error with a hint.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::outside::{apt_install, can_apt, cargo, find, output, run, works_within};
use crate::stage::say;

const TARGET: &str = "wasm32-wasip2";
/// Time limit of `rustup target add`, because its host may be unreachable.
const RUSTUP_LIMIT: Duration = Duration::from_secs(45);
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasip2";

/// A toolchain for guests.
pub(crate) enum Toolchain {
    /// The current compiler, which has the target.
    Installed,
    /// Debian's compiler, with the standard library built from source. The linker comes from the current compiler.
    Debian {
        /// The folder with `rust-lld` and `wasm-component-ld`.
        linkers: PathBuf,
    },
}

impl Toolchain {
    /// Finds or installs a toolchain.
    pub(crate) fn get() -> Result<Self> {
        let sysroot = PathBuf::from(output(Command::new(rustc()).args(["--print", "sysroot"]))?);
        if has_target(&sysroot) {
            return Ok(Self::Installed);
        }
        if !debian_is_there() && find("rustup").is_some() {
            say(&format!("xtask: trying `rustup target add {TARGET}`"));
            if works_within(Command::new("rustup").args(["target", "add", TARGET]), RUSTUP_LIMIT)
                && has_target(&sysroot)
            {
                return Ok(Self::Installed);
            }
            say("xtask: rustup could not get the target");
        }
        if !debian_is_there() {
            install_debian()
                .context(format!("guests need Rust's {TARGET} target\nhint: run: rustup target add {TARGET}"))?;
        }
        let linkers = sysroot.join("lib/rustlib").join(host()?).join("bin");
        if !linkers.join("wasm-component-ld").is_file() {
            bail!("no wasm-component-ld in {}\nhint: run: rustup target add {TARGET}", linkers.display());
        }
        Ok(Self::Debian { linkers })
    }

    /// Returns the toolchain's version. Guests of another version are rebuilt.
    pub(crate) fn identity(&self) -> Result<String> {
        match self {
            Self::Installed => output(Command::new(rustc()).arg("-vV")),
            Self::Debian { .. } => Ok(format!("build-std {}", output(Command::new(DEBIAN_RUSTC).arg("-vV"))?)),
        }
    }

    /// Builds packages of the workspace in `folder`. Returns the folder of the modules.
    pub(crate) fn build(&self, folder: &Path, packages: &[&str]) -> Result<PathBuf> {
        let target = crate::folders::guest_build();
        let mut cargo = clean(cargo());
        cargo.current_dir(folder).env("CARGO_TARGET_DIR", &target);
        cargo.args(["build", "--quiet", "--release", "--target", TARGET]);
        cargo.args(packages.iter().flat_map(|package| ["--package", package]));
        if let Self::Debian { linkers } = self {
            let mut path = linkers.clone().into_os_string();
            if let Some(rest) = std::env::var_os("PATH") {
                path.push(":");
                path.push(rest);
            }
            // `RUSTC_BOOTSTRAP` allows a stable compiler to build its own standard library. For guests only.
            cargo.env("PATH", path).env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            cargo.env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", format!("-L native={DEBIAN_LIBC}"));
            cargo.arg("-Zbuild-std=std,panic_abort");
        }
        run(&mut cargo)?;
        Ok(target.join(TARGET).join("release"))
    }
}

/// Removes the variables that the calling cargo or a build for the host puts into the environment.
pub(crate) fn clean(mut cargo: Command) -> Command {
    for variable in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "LD_LIBRARY_PATH", "CARGO_BUILD_TARGET"]
    {
        cargo.env_remove(variable);
    }
    cargo
}

fn rustc() -> std::ffi::OsString {
    std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn host() -> Result<String> {
    let version = output(Command::new(rustc()).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

fn has_target(sysroot: &Path) -> bool {
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    std::fs::read_dir(libraries).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("libstd-")))
    })
}

fn debian_is_there() -> bool {
    Path::new(DEBIAN_RUSTC).is_file()
        && Path::new("/usr/lib/rustlib/src/rust/library/std").is_dir()
        && Path::new(DEBIAN_LIBC).join("libc.a").is_file()
}

/// Installs Debian's compiler, its standard library's source, and the backports' WASI C library.
fn install_debian() -> Result<()> {
    if !can_apt() {
        bail!("Debian's compiler would do, but installing it needs apt-get and root");
    }
    let codename = os_release("VERSION_CODENAME").context("/etc/os-release names no VERSION_CODENAME")?;
    if os_release("ID").as_deref() != Some("debian") {
        bail!("Debian's compiler would do, but this is not Debian");
    }
    let suite = format!("{codename}-backports");
    if !apt_sources().iter().any(|source| source.suites.split_whitespace().any(|s| s == suite)) {
        let source = apt_sources()
            .into_iter()
            .find(|source| source.suites.split_whitespace().any(|s| s == codename))
            .with_context(|| format!("no apt source for {codename} whose mirror could serve {suite}"))?;
        let file = "/etc/apt/sources.list.d/fabric-guests.list";
        say(&format!("xtask: adding {suite} from the machine's own mirror to apt ({file})"));
        let signed = source.signed_by.map_or(String::new(), |key| format!("[signed-by={key}] "));
        std::fs::write(file, format!("deb {signed}{} {suite} main\n", source.uri))?;
    }
    apt_install(&["rustc-web", "rust-web-src", &format!("wasi-libc/{suite}")])?;
    if !debian_is_there() {
        bail!("the packages were installed, but the compiler, its source or {DEBIAN_LIBC} is not where it should be");
    }
    Ok(())
}

fn os_release(key: &str) -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// The fields of an apt source that another suite from the same mirror needs.
#[derive(Debug, PartialEq)]
struct Source {
    uri: String,
    suites: String,
    signed_by: Option<String>,
}

fn apt_sources() -> Vec<Source> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if file.extension().is_some_and(|kind| kind == "sources") { deb822(&text) } else { one_line(&text) }
    };
    files.iter().flat_map(read).collect()
}

/// Parses lines of the form `deb [options] uri suite components`.
fn one_line(text: &str) -> Vec<Source> {
    let source = |line: &str| {
        let line = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match line.strip_prefix('[') {
            Some(line) => line.split_once(']')?,
            None => ("", line),
        };
        let mut words = rest.split_whitespace();
        let (uri, suites) = (words.next()?.to_owned(), words.next()?.to_owned());
        let signed_by =
            options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).map(str::to_owned);
        Some(Source { uri, suites, signed_by })
    };
    text.lines().filter_map(source).collect()
}

/// Parses paragraphs of `Key: value` lines.
fn deb822(text: &str) -> Vec<Source> {
    let source = |paragraph: &str| {
        let value = |key: &str| {
            let line =
                paragraph.lines().filter(|line| !line.starts_with('#')).find_map(|line| line.strip_prefix(key))?;
            Some(line.strip_prefix(':')?.trim().to_owned())
        };
        let uri = value("URIs")?.split_whitespace().next()?.to_owned();
        Some(Source { uri, suites: value("Suites")?, signed_by: value("Signed-By").filter(|key| key.starts_with('/')) })
    };
    text.split("\n\n").filter_map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_apt_sources_are_read() {
        let expected = Source {
            uri: "http://mirror.example/debian".into(),
            suites: "bookworm bookworm-updates".into(),
            signed_by: Some("/k.gpg".into()),
        };
        let text = "Types: deb\n# URIs: http://old.example\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\n";
        assert_eq!(deb822(text), [expected]);
        let text = "# deb http://no.example x main\ndeb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm main\ndeb http://b.example s main\n";
        let sources = one_line(text);
        assert_eq!(sources.len(), 2);
        assert!(sources.iter().any(|s| s.uri == "http://a.example/debian" && s.signed_by.as_deref() == Some("/k.gpg")));
        assert!(sources.iter().any(|s| s.suites == "s" && s.signed_by.is_none()));
    }
}
