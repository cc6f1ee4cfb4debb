//! A project folder: its manifest, and the build and path of its module.

use crate::{failure::Failure, guest_toolchain, output::Out};
use fabric_types::manifest::Manifest;
use std::path::{Path, PathBuf};

/// Maximum size of a manifest in bytes.
const MANIFEST_LIMIT: u64 = 1 << 20;

/// A folder with a `fabric.toml`.
pub struct Project {
    pub folder: PathBuf,
    /// Path of the manifest.
    pub file: PathBuf,
    /// Text of the manifest.
    pub text: String,
    /// The parsed manifest.
    pub manifest: Manifest,
}

impl Project {
    /// Opens the project at `path`: its folder, or the manifest itself.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = if path.is_dir() { path.join("fabric.toml") } else { path.to_owned() };
        let meta = std::fs::metadata(&file).map_err(|e| {
            Failure::io(file.display(), e).hint("create a project: `fabric new NAME`; or name a folder that has one")
        })?;
        if meta.len() > MANIFEST_LIMIT {
            return Err(Failure::usage(format!("{}: longer than 1 MiB", file.display())));
        }
        let text = std::fs::read_to_string(&file).map_err(|e| Failure::io(file.display(), e))?;
        let manifest = Manifest::from_toml(&text)
            .map_err(|e| Failure::coded(fabric_types::Code::InvalidManifest, format!("{}: {e}", file.display())))?;
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self { folder, file, text, manifest })
    }

    /// Builds the module if the manifest has a build command. Returns the module's path.
    pub async fn build(&self, out: &Out, quiet: bool) -> Result<PathBuf, Failure> {
        let build = self.manifest.build.clone().unwrap_or_default();
        if let Some(command) = &build.command {
            let plan = guest_toolchain::plan(command, &self.folder)?;
            if !quiet {
                out.note(format!("building: {command}"));
                if let Some(remark) = &plan.remark {
                    out.note(remark);
                }
            }
            let mut process = tokio::process::Command::new("sh");
            process.arg("-c").arg(command).current_dir(&self.folder).envs(plan.env).kill_on_drop(true);
            for variable in plan.unset {
                process.env_remove(variable);
            }
            // Standard output is for data, so the output of the build goes to standard error.
            process.stdin(std::process::Stdio::null()).stdout(std::io::stderr());
            let status = process.status().await.map_err(|e| Failure::io("sh", e))?;
            if !status.success() {
                return Err(Failure::local("build-failed", format!("`{command}` ended with {status}")));
            }
        }
        self.module(build.module.as_deref())
    }

    /// Returns the path of the module.
    pub fn module(&self, module: Option<&str>) -> Result<PathBuf, Failure> {
        let Some(module) = module else {
            return Err(Failure::coded(fabric_types::Code::InvalidManifest, "fabric.toml names no module")
                .hint("add `module = \"PATH.wasm\"` under [build]"));
        };
        let here = self.folder.join(module);
        // Cargo writes the module elsewhere if the user shares one target folder.
        let shared = std::env::var_os("CARGO_TARGET_DIR")
            .and_then(|dir| Some(PathBuf::from(dir).join(module.strip_prefix("target/")?)))
            .map(|path| if path.is_absolute() { path } else { self.folder.join(path) });
        for path in shared.into_iter().chain([here.clone()]) {
            if path.is_file() {
                return Ok(path);
            }
        }
        Err(Failure::io(here.display(), std::io::ErrorKind::NotFound.into())
            .hint("build it first: `fabric build`; or correct `module` under [build]"))
    }
}
