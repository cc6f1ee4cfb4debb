//! The toolchain for Rust guests on this machine: the standard library of `wasm32-wasip2` from rustup, or from Debian's
//! packages if rustup's download host can't be reached. Installs nothing.

use crate::failure::Failure;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The environment of a build command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BuildPlan {
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Variables to remove.
    pub unset: &'static [&'static str],
    /// Note for the user.
    pub remark: Option<String>,
}

/// The source of the standard library in Debian's `rust-web-src`.
const DEBIAN_STD: &str = "/usr/lib/rustlib/src/rust/library/std";

/// Variables that would override the ones set here, or direct one compiler to another's libraries.
const CONFLICTING_VARIABLES: [&str; 5] =
    ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET", "LD_LIBRARY_PATH"];

/// Returns the environment for `command` in `folder`, empty if it is not a cargo build for a WASI target.
///
/// # Errors
/// `build-failed`, with the command that installs the target, if this machine can't build a guest.
pub fn plan(command: &str, folder: &Path) -> Result<BuildPlan, Failure> {
    let Some(target) = target_of(command) else { return Ok(BuildPlan::default()) };
    // The user has chosen a compiler.
    if std::env::var_os("RUSTC").is_some() {
        return Ok(BuildPlan::default());
    }
    let sysroot = sysroot(folder);
    if sysroot.as_deref().is_some_and(|sysroot| has_std(Path::new(sysroot), target)) {
        return Ok(BuildPlan::default());
    }
    debian_build_plan(sysroot.as_deref(), target).ok_or_else(|| {
        Failure::local("build-failed", format!("Rust's standard library for {target} is not installed"))
            .hint(format!("run: rustup target add {target}"))
    })
}

/// Returns the WASI target that a cargo command builds for.
fn target_of(command: &str) -> Option<&'static str> {
    if !command.contains("cargo") || command.contains("build-std") {
        return None;
    }
    ["wasm32-wasip2", "wasm32-wasip1"].into_iter().find(|target| command.contains(target))
}

/// Returns the compiler's sysroot. Runs in the project's folder, because `rust-toolchain.toml` may select a compiler.
fn sysroot(folder: &Path) -> Option<String> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).current_dir(folder).output().ok()?;
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

/// Plans a build with Debian's compiler, which compiles the standard library from Debian's source. The linkers are
/// those in rustup's folder. Returns `None` if a part is not installed.
fn debian_build_plan(sysroot: Option<&str>, target: &str) -> Option<BuildPlan> {
    let libc = if target == "wasm32-wasip1" { "/usr/lib/wasm32-wasi" } else { "/usr/lib/wasm32-wasip2" };
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let bin = Path::new(sysroot?).join("lib/rustlib").join(host).join("bin");
    let there = Path::new("/usr/bin/rustc").is_file()
        && Path::new(libc).join("libc.a").is_file()
        && Path::new(DEBIAN_STD).is_dir()
        && (target == "wasm32-wasip1" || bin.join("wasm-component-ld").is_file());
    if !there {
        return None;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_ascii_uppercase().replace('-', "_"));
    let mut env = vec![
        ("PATH".to_owned(), format!("{}:{path}", bin.display())),
        ("RUSTC".to_owned(), "/usr/bin/rustc".to_owned()),
        // Allows a stable compiler to build its own standard library.
        ("RUSTC_BOOTSTRAP".to_owned(), "1".to_owned()),
        ("CARGO_UNSTABLE_BUILD_STD".to_owned(), "std,panic_abort".to_owned()),
        (variable, format!("-L native={libc}")),
    ];
    let mut remark = format!("no {target} in rustup: using Debian's compiler");
    if std::env::var_os("CARGO_BUILD_BUILD_DIR").is_none()
        && let Some(folder) = shared_build()
    {
        if !folder.join(target).is_dir() {
            remark += "; the first build also compiles the standard library, which takes minutes";
        }
        env.push(("CARGO_BUILD_BUILD_DIR".to_owned(), folder.display().to_string()));
    }
    Some(BuildPlan { env, unset: &CONFLICTING_VARIABLES, remark: Some(remark) })
}

/// Returns the folder for cargo's intermediate files, shared by all projects so that the standard library is built
/// once: that of the checkout that built this binary, else one in the user's cache. The module itself stays in the
/// project.
fn shared_build() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let checkout = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join("guest-build")));
    checkout
        .filter(|folder| folder.is_dir())
        .or_else(|| Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("fabric").join("guest-build")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cargo_builds_for_wasi_need_it() {
        assert_eq!(target_of("cargo build --release --target wasm32-wasip2"), Some("wasm32-wasip2"));
        assert_eq!(target_of("cd a && cargo build --target=wasm32-wasip1"), Some("wasm32-wasip1"));
        assert_eq!(target_of("clang-19 --target=wasm32-wasi x.c"), None);
        assert_eq!(target_of("cargo build -Zbuild-std --target wasm32-wasip2"), None);
        assert_eq!(plan("make", Path::new(".")).unwrap(), BuildPlan::default());
    }

    #[test]
    fn a_standard_library_is_seen_where_rustup_puts_it() {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("lib/rustlib/wasm32-wasip2/lib");
        std::fs::create_dir_all(&lib).unwrap();
        assert!(!has_std(dir.path(), "wasm32-wasip2"));
        std::fs::write(lib.join("libstd-0123.rlib"), "").unwrap();
        assert!(has_std(dir.path(), "wasm32-wasip2"));
        // Debian's compiler needs the linkers of the sysroot.
        assert_eq!(debian_build_plan(dir.path().to_str(), "wasm32-wasip2"), None);
        assert_eq!(debian_build_plan(None, "wasm32-wasip2"), None);
    }
}
