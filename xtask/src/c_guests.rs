//! A C compiler for `wasm32-wasi`: clang with its WASI libraries, installed from apt if absent, else zig from PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::outside::{apt_install, can_apt, find, output, python_environment, run, works};
use crate::stage::say;

const PACKAGES: [&str; 4] = ["clang-19", "lld-19", "wasi-libc", "libclang-rt-19-dev-wasm32"];

/// A compiler that builds preview-1 commands.
pub(crate) enum Compiler {
    Clang(PathBuf),
    Zig(PathBuf),
}

impl Compiler {
    /// Finds or installs a compiler.
    pub(crate) fn get() -> Result<Self> {
        if let Some(clang) = working_clang() {
            return Ok(Self::Clang(clang));
        }
        if can_apt() {
            match apt_install(&PACKAGES) {
                Ok(()) => {
                    if let Some(clang) = working_clang() {
                        return Ok(Self::Clang(clang));
                    }
                }
                Err(error) => say(&format!("xtask: {error:#}")),
            }
        }
        let packages = PACKAGES.join(" ");
        let hint = format!(
            "guests in C need a compiler for wasm32-wasi\nhint: as root: apt-get install --no-install-recommends {packages}"
        );
        if find("apt-get").is_some() && !can_apt() {
            bail!(hint);
        }
        let python = python_environment("zig").context(hint)?.join("bin/python");
        Ok(Self::Zig(python))
    }

    /// Returns the compiler's version. Guests of another version are rebuilt.
    pub(crate) fn identity(&self) -> Result<String> {
        match self {
            Self::Clang(clang) => output(Command::new(clang).arg("--version")),
            Self::Zig(python) => {
                Ok(format!("zig {}", output(Command::new(python).args(["-m", "ziglang", "version"]))?))
            }
        }
    }

    /// Compiles one C file to a command.
    pub(crate) fn build(&self, source: &Path, module: &Path) -> Result<()> {
        let mut command = match self {
            Self::Clang(clang) => Command::new(clang),
            Self::Zig(python) => {
                let mut command = Command::new(python);
                command.args(["-m", "ziglang", "cc"]);
                command
            }
        };
        command.args(["--target=wasm32-wasi", "-Os", "-s", "-Wall", "-Wextra", "-o"]).arg(module).arg(source);
        run(&mut command)
    }
}

/// Returns the first clang that compiles and links an empty program. The compiler without its libraries is not enough.
fn working_clang() -> Option<PathBuf> {
    let folder = crate::folders::target();
    std::fs::create_dir_all(&folder).ok()?;
    let source = folder.join("xtask-probe.c");
    std::fs::write(&source, "#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n").ok()?;
    let module = folder.join("xtask-probe.wasm");
    let names = ["clang-19", "clang-22", "clang-21", "clang-20", "clang-18", "clang-17", "clang-16", "clang"];
    names
        .into_iter()
        .filter_map(find)
        .find(|clang| works(Command::new(clang).args(["--target=wasm32-wasi", "-o"]).arg(&module).arg(&source)))
}
