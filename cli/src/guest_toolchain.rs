//! What a Rust guest's build needs on this machine: the standard library of `wasm32-wasip2`, from rustup, or from
//! Debian's packages where rustup's download host can't be reached. It installs nothing.

use crate::failure::Failure;
use std::{path::Path, process::Command};

/// How to run a build command here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// What the user should know.
    pub remark: Option<String>,
}

/// What to do when nothing that can build a guest is installed.
pub const HINT: &str = "rustup target add wasm32-wasip2";

/// The environment for `command`; an empty one where it is no cargo build for a WASI target.
pub fn plan(command: &str) -> Result<Plan, Failure> {
    let Some(target) = target_of(command) else { return Ok(Plan::default()) };
    // The user has chosen a compiler.
    if std::env::var_os("RUSTC").is_some() {
        return Ok(Plan::default());
    }
    let sysroot = sysroot();
    if sysroot.as_deref().is_some_and(|sysroot| has_std(Path::new(sysroot), target)) {
        return Ok(Plan::default());
    }
    debian(sysroot.as_deref(), target).ok_or_else(|| {
        Failure::local("build-failed", format!("Rust's standard library for {target} is not installed"))
            .hint(HINT.replace("wasm32-wasip2", target))
    })
}

/// The WASI target that a cargo command builds for.
fn target_of(command: &str) -> Option<&'static str> {
    if !command.contains("cargo") || command.contains("build-std") {
        return None;
    }
    ["wasm32-wasip2", "wasm32-wasip1"].into_iter().find(|target| command.contains(target))
}

fn sysroot() -> Option<String> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn has_std(sysroot: &Path, target: &str) -> bool {
    let folder = sysroot.join("lib/rustlib").join(target).join("lib");
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|e| {
            let name = e.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

/// Debian's compiler builds the standard library from Debian's source of it; rustup's folder supplies the linkers.
fn debian(sysroot: Option<&str>, target: &str) -> Option<Plan> {
    let libc = if target == "wasm32-wasip1" { "/usr/lib/wasm32-wasi" } else { "/usr/lib/wasm32-wasip2" };
    let source = std::fs::read_dir("/usr/src").ok()?.flatten().any(|e| {
        let name = e.file_name();
        name.to_string_lossy().starts_with("rustc-") && e.path().join("library/std").is_dir()
    });
    if !Path::new("/usr/bin/rustc").is_file() || !Path::new(libc).join("libc.a").is_file() || !source {
        return None;
    }
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let bin = Path::new(sysroot?).join("lib/rustlib").join(host).join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_ascii_uppercase().replace('-', "_"));
    let env = [
        ("PATH", format!("{}:{path}", bin.display())),
        ("RUSTC", "/usr/bin/rustc".to_owned()),
        ("RUSTC_BOOTSTRAP", "1".to_owned()),
        ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort".to_owned()),
        (variable.as_str(), format!("-L native={libc}")),
    ];
    Some(Plan {
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        remark: Some(format!("no {target} in rustup: building its standard library with Debian's compiler")),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_cargo_builds_for_wasi_need_it() {
        assert_eq!(target_of("cargo build --release --target wasm32-wasip2"), Some("wasm32-wasip2"));
        assert_eq!(target_of("cd a && cargo build --target=wasm32-wasip1"), Some("wasm32-wasip1"));
        assert_eq!(target_of("clang-19 --target=wasm32-wasi x.c"), None);
        assert_eq!(target_of("cargo build -Zbuild-std --target wasm32-wasip2"), None);
        assert_eq!(plan("make").unwrap(), Plan::default());
    }

    #[test]
    fn a_standard_library_is_seen_where_rustup_puts_it() {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("lib/rustlib/wasm32-wasip2/lib");
        std::fs::create_dir_all(&lib).unwrap();
        assert!(!has_std(dir.path(), "wasm32-wasip2"));
        std::fs::write(lib.join("libstd-0123.rlib"), "").unwrap();
        assert!(has_std(dir.path(), "wasm32-wasip2"));
    }
}
