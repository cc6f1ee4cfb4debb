//! `--key value` pairs, and where the binaries are.

use anyhow::{Context as _, bail, ensure};
use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

/// What the command line says after the bench's name.
#[derive(Debug, Default)]
pub struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Reads the pairs.
    pub fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut pairs = BTreeMap::new();
        while let Some(word) = words.next() {
            let Some(key) = word.strip_prefix("--") else { bail!("`{word}` is not --key value") };
            pairs.insert(key.to_owned(), words.next().with_context(|| format!("--{key} has no value"))?);
        }
        Ok(Self(pairs))
    }

    /// A value, or what stands for it.
    pub fn get<T: FromStr>(&self, key: &str, default: T) -> anyhow::Result<T> {
        match self.0.get(key) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| anyhow::anyhow!("--{key}: `{text}` can't be read")),
        }
    }

    fn path(&self, key: &str, default: PathBuf) -> anyhow::Result<PathBuf> {
        let path = self.0.get(key).map_or(default, PathBuf::from);
        if !path.exists() {
            bail!("{} is not there; say where with --{key}", path.display());
        }
        Ok(path)
    }

    /// The server's binary: beside this one.
    pub fn fabric(&self) -> anyhow::Result<PathBuf> {
        self.path("fabric", std::env::current_exe()?.with_file_name("fabric"))
    }

    /// A server that the fleet stands on: named with `--{key}`, else by a variable, else found on the path.
    pub fn service(&self, key: &str, variable: &str, get: &str) -> anyhow::Result<PathBuf> {
        let named = self.0.get(key).map(PathBuf::from);
        let named = named.or_else(|| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from));
        if let Some(path) = named {
            ensure!(path.is_file(), "{} is not there; say where with --{key} or {variable}", path.display());
            return Ok(path);
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&folders).map(|folder| folder.join(key)).find(|path| path.is_file());
        found
            .with_context(|| format!("there is no `{key}` on the PATH: {get}, or say where with --{key} or {variable}"))
    }

    /// A guest's bytes.
    pub fn guest(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        Ok(std::fs::read(self.guest_path(name)?)?)
    }

    /// Where a guest is.
    pub fn guest_path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.0.get("guests").map_or(target()?.join("guests"), PathBuf::from);
        let path = folder.join(format!("{name}.wasm"));
        if !path.exists() {
            bail!("{} is not there: run `cargo xtask guests`, or say where with --guests", path.display());
        }
        Ok(path)
    }

    /// wasmtime's command line.
    pub fn wasmtime(&self) -> anyhow::Result<PathBuf> {
        self.path("wasmtime", target()?.join("bench-tools/wasmtime"))
    }

    /// Where generated data is kept from run to run.
    pub fn data(&self) -> anyhow::Result<PathBuf> {
        let folder = target()?.join("bench-data");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Cargo's target folder: this binary lies in `target/release`.
fn target() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).context("this binary is not in a target folder")?.to_owned())
}
