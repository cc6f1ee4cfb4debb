//! Versions and hashes of every package from PyPI that a build or a test installs, and the command that writes them.
//!
//! Each list is a requirements file in which every line names one version and the SHA-256 of its archives. pip rejects
//! anything else (`--require-hashes`). The counterpart for npm is `clients/python/tests/hub/proxy/package-lock.json`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::folders;
use crate::outside::{python_environment, run};
use crate::stage::{say, stage};

/// The oldest Python that the lists support. Newer ones have their own lines if versions differ.
const OLDEST_PYTHON: &str = "3.10";

/// A list and the requirements that it is resolved from, as paths in the repository.
struct List {
    output: &'static str,
    inputs: &'static [&'static str],
    /// An optional-dependencies group of a `pyproject.toml` among the inputs.
    extra: Option<&'static str>,
}

const fn list(output: &'static str, inputs: &'static [&'static str], extra: Option<&'static str>) -> List {
    List { output, inputs, extra }
}

const LISTS: &[List] = &[
    list("xtask/pins/zig.txt", &["xtask/pins/zig.in"], None),
    list("xtask/pins/seaweedfs.txt", &["xtask/pins/seaweedfs.in"], None),
    list("xtask/pins/nats.txt", &["xtask/pins/nats.in"], None),
    list("xtask/pins/deploy.txt", &["xtask/pins/deploy.in"], None),
    list("xtask/pins/deny.txt", &["xtask/pins/deny.in"], None),
    list("xtask/pins/dist.txt", &["xtask/pins/dist.in"], None),
    list("xtask/pins/uv.txt", &["xtask/pins/uv.in"], None),
    list("clients/python/pins/tools.txt", &["clients/python/requirements-tools.txt"], None),
    list("clients/python/pins/runner.txt", &["clients/python/requirements-runner.txt"], None),
    list("clients/python/pins/plain.txt", &["clients/python/pyproject.toml"], None),
    list(
        "clients/python/pins/programs.txt",
        &["clients/python/pyproject.toml", "clients/python/requirements-programs.txt"],
        None,
    ),
    list(
        "clients/python/pins/tests.txt",
        &[
            "clients/python/pyproject.toml",
            "clients/python/requirements-tests.txt",
            "examples/notebooks/requirements.txt",
        ],
        Some("all"),
    ),
    list(
        "clients/python/pins/hub.txt",
        &["clients/python/pyproject.toml", "clients/python/tests/hub/requirements.txt"],
        None,
    ),
];

/// Returns the path of the list for one of xtask's Python environments.
pub(crate) fn file(name: &str) -> PathBuf {
    folders::root().join("xtask/pins").join(name).with_extension("txt")
}

/// Resolves every list again. Versions that still satisfy their requirements stay, unless `--upgrade` is given.
pub(crate) fn command(arguments: &[String]) -> Result<()> {
    let upgrade = match arguments {
        [] => false,
        [flag] if flag == "--upgrade" => true,
        _ => bail!("usage: cargo xtask pins [--upgrade]"),
    };
    let uv = python_environment("uv")?.join("bin/uv");
    stage("pinned packages", || LISTS.iter().try_for_each(|list| resolve(&uv, list, upgrade)))
}

fn resolve(uv: &Path, list: &List, upgrade: bool) -> Result<()> {
    say(&format!("xtask: {}", list.output));
    let mut command = Command::new(uv);
    command.current_dir(folders::root()).args(["pip", "compile", "--quiet", "--universal", "--generate-hashes"]);
    // The lists must not depend on the machine that writes them.
    command.args(["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]);
    command.args(["--python-version", OLDEST_PYTHON]).args(list.inputs).args(["--output-file", list.output]);
    if let Some(extra) = list.extra {
        command.args(["--extra", extra]);
    }
    if upgrade {
        command.arg("--upgrade");
    }
    run(command.stdout(std::process::Stdio::null()))
}

#[cfg(test)]
mod tests {

    use super::*;
    use std::collections::BTreeSet;

    /// Returns the requirements of a list, each joined with its continuation lines.
    fn requirements(text: &str) -> Vec<String> {
        let joined = text.replace("\\\n", " ");
        joined.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn every_requirement_has_one_version_and_hashes() {
        for list in LISTS {
            let text = std::fs::read_to_string(folders::root().join(list.output)).unwrap();
            let requirements = requirements(&text);
            assert!(!requirements.is_empty(), "{} is empty", list.output);
            for requirement in requirements {
                let name = requirement.split_whitespace().next().unwrap_or_default();
                assert!(name.contains("=="), "{}: `{name}` names no version", list.output);
                let hash = |word: &str| word.strip_prefix("--hash=sha256:").is_some_and(|hash| hash.len() == 64);
                assert!(requirement.split_whitespace().any(hash), "{}: `{name}` has no SHA-256", list.output);
            }
            assert!(!text.contains("://"), "{} names a host or a path", list.output);
            for input in list.inputs {
                assert!(folders::root().join(input).is_file(), "{input} is not there");
            }
        }
    }

    #[test]
    fn every_list_is_written_by_this_command() {
        for folder in ["xtask/pins", "clients/python/pins"] {
            for entry in std::fs::read_dir(folders::root().join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let path = format!("{folder}/{name}");
                let known = LISTS.iter().any(|list| list.output == path || list.inputs.contains(&path.as_str()));
                assert!(known, "{path} is in no list of LISTS");
            }
        }
    }

    /// npm checks `integrity` for each package of a lock file, and `npm ci` installs only packages in that file.
    #[test]
    fn every_npm_package_has_its_integrity_and_no_host() {
        let path = folders::root().join("clients/python/tests/hub/proxy/package-lock.json");
        let lock: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let packages = lock.pointer("/packages").and_then(serde_json::Value::as_object).unwrap();
        assert!(packages.len() > 10, "the lock file was read");
        for (name, package) in packages.iter().filter(|(name, _)| !name.is_empty()) {
            let integrity = package.pointer("/integrity").and_then(serde_json::Value::as_str).unwrap_or_default();
            assert!(integrity.starts_with("sha512-"), "{name} has no SHA-512");
            assert!(package.pointer("/resolved").is_none(), "{name} names a registry's host");
        }
    }

    /// Collects the files of the repository that could install packages.
    fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let skipped = ["target", "node_modules", "build", "dist"].contains(&name.as_str());
                // .ci is the only hidden folder with a program of this project.
                if !skipped && (!name.starts_with('.') || name == ".ci") {
                    scripts(&path, found);
                }
            } else if ["rs", "sh", "py", "mjs", "js"].contains(&path.extension().unwrap_or_default().to_str().unwrap())
                || name == "run"
            {
                found.push(path);
            }
        }
    }

    /// Returns the commands that install packages, one per line, without comments.
    fn installs(text: &str) -> Vec<String> {
        let code = text.replace("\\\n", " ");
        let comment = |line: &str| ["#", "//", "\"\"\""].iter().any(|start| line.starts_with(start));
        let lines = code.lines().map(str::trim).filter(|line| !comment(line));
        let command = |line: &&str| {
            let starts =
                ["pip install", "npm install", "npm i ", "npm ci", "npx ", "cargo install", "uv pip install", "uvx "];
            ["\"pip\", \"install\"", "-m pip install", "/pip install", "/pip\" install"]
                .iter()
                .any(|part| line.contains(part))
                || starts.iter().any(|start| line.starts_with(start))
        };
        lines.filter(command).map(str::to_owned).collect()
    }

    #[test]
    fn an_install_command_is_found() {
        assert_eq!(installs("  \"$x\" -m pip install \\\n  foo\n# pip install x").len(), 1);
        assert_eq!(installs(".args([\"-m\", \"pip\", \"install\", \"-q\"])").len(), 1);
        assert_eq!(installs("npm install left-pad\nsay(\"`pip install x` has it\")").len(), 1);
    }

    #[test]
    fn nothing_is_installed_without_hashes() {
        let root = folders::root();
        let mut found = Vec::new();
        scripts(&root, &mut found);
        let this = root.join("xtask/src/pins.rs");
        let mut commands = BTreeSet::new();
        for path in found.iter().filter(|path| **path != this) {
            // Installs the packages that a user requests with `packages=[…]` of a Python function.
            if path.ends_with("fabric_client/pyfn/packages.py") {
                continue;
            }
            for command in installs(&std::fs::read_to_string(path).unwrap()) {
                let path = path.strip_prefix(&root).unwrap().display().to_string();
                let pinned = command.contains("--require-hashes")
                    // A wheel that was built locally, after its dependencies were installed if it has any.
                    || (command.contains("--no-index") && !command.contains("--find-links"))
                    || command.starts_with("npm ci");
                assert!(pinned, "{path}: `{command}` installs without hashes");
                commands.insert(path);
            }
        }
        assert!(commands.len() >= 4, "the install commands were found: {commands:?}");
    }
}
