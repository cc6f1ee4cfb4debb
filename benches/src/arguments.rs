//! Command-line arguments of the form `--key value`, and the paths of the binaries.

use anyhow::{Context as _, bail, ensure};
use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

/// The arguments after the bench's name.
#[derive(Debug, Default)]
pub struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Parses the pairs.
    pub fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut pairs = BTreeMap::new();
        while let Some(word) = words.next() {
            let Some(key) = word.strip_prefix("--") else { bail!("`{word}` is not --key value") };
            pairs.insert(key.to_owned(), words.next().with_context(|| format!("--{key} has no value"))?);
        }
        Ok(Self(pairs))
    }

    /// Returns the value of a key, or `default`.
    pub fn get<T: FromStr>(&self, key: &str, default: T) -> anyhow::Result<T> {
        match self.0.get(key) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| anyhow::anyhow!("--{key}: `{text}` is not a valid value")),
        }
    }

    fn path(&self, key: &str, default: PathBuf) -> anyhow::Result<PathBuf> {
        let path = self.0.get(key).map_or(default, PathBuf::from);
        if !path.exists() {
            bail!("{} does not exist; set it with --{key}", path.display());
        }
        Ok(path)
    }

    /// Returns the path of the server's binary. Default: next to this binary.
    pub fn fabric(&self) -> anyhow::Result<PathBuf> {
        self.path("fabric", std::env::current_exe()?.with_file_name("fabric"))
    }

    /// Returns the path of a server that the fleet needs: the value of `--{key}`, else of the variable, else found on
    /// the `PATH`.
    pub fn service(&self, key: &str, variable: &str, get: &str) -> anyhow::Result<PathBuf> {
        let named = self.0.get(key).map(PathBuf::from);
        let named = named.or_else(|| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from));
        if let Some(path) = named {
            ensure!(path.is_file(), "{} is not a file; set it with --{key} or {variable}", path.display());
            return Ok(path);
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&folders).map(|folder| folder.join(key)).find(|path| path.is_file());
        found.with_context(|| format!("`{key}` is not on the PATH: {get}, or set it with --{key} or {variable}"))
    }

    /// Returns the bytes of a guest.
    pub fn guest(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        Ok(std::fs::read(self.guest_path(name)?)?)
    }

    /// Returns the path of a guest.
    pub fn guest_path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.0.get("guests").map_or(target()?.join("guests"), PathBuf::from);
        let path = folder.join(format!("{name}.wasm"));
        if !path.exists() {
            bail!("{} does not exist: run `cargo xtask guests`, or set the folder with --guests", path.display());
        }
        Ok(path)
    }

    /// Returns the path of wasmtime's command line.
    pub fn wasmtime(&self) -> anyhow::Result<PathBuf> {
        self.path("wasmtime", target()?.join("bench-tools/wasmtime"))
    }

    /// Returns the folder of generated data, which persists between runs.
    pub fn data(&self) -> anyhow::Result<PathBuf> {
        let folder = target()?.join("bench-data");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Returns Cargo's target folder. This binary is in `target/release`.
fn target() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).context("this binary is not in a target folder")?.to_owned())
}
