//! `fabric new`: creates a project that is ready to build and deploy.

use super::Ctx;
use crate::{failure::Failure, sdk};
use clap::ValueEnum;
use fabric_types::id::FunctionName;
use std::path::{Path, PathBuf};

/// Flags of `fabric new`.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// Name of the function and of the folder
    pub name: FunctionName,
    /// Template of the project
    #[arg(long, value_name = "KIND", default_value = "map")]
    pub template: Template,
    /// Folder to write to [default: a new folder with the function's name]
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Folder or git URL of the Rust SDK to use instead of the copy that is written into the project [env: FABRIC_SDK]
    #[arg(long, value_name = "PATH|URL")]
    pub sdk: Option<String>,
}

/// A project template.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Template {
    /// A map and a reduce function over partitions, in Rust with the SDK
    Map,
    /// An HTTP function, a wasi:http/proxy component in Rust
    Http,
    /// A filter from standard input to standard output, a wasi:cli component in Rust
    Command,
    /// A handler that uses the node's GPU if there is one, in Rust with the SDK
    Gpu,
}

impl Template {
    /// Returns the files, and the function's description.
    fn files(self) -> (&'static [(&'static str, &'static str)], &'static str) {
        match self {
            Self::Map => (
                &[
                    ("Cargo.toml", include_str!("../../templates/map/Cargo.toml.txt")),
                    ("src/lib.rs", include_str!("../../templates/map/src/lib.rs")),
                ],
                "Counts lines and bytes",
            ),
            Self::Http => (
                &[
                    ("Cargo.toml", include_str!("../../templates/http/Cargo.toml.txt")),
                    ("src/lib.rs", include_str!("../../templates/http/src/lib.rs")),
                ],
                "Says hello over HTTP",
            ),
            Self::Command => (
                &[
                    ("Cargo.toml", include_str!("../../templates/command/Cargo.toml.txt")),
                    ("src/main.rs", include_str!("../../templates/command/src/main.rs")),
                ],
                "Turns text into upper case",
            ),
            Self::Gpu => (
                &[
                    ("Cargo.toml", include_str!("../../templates/map/Cargo.toml.txt")),
                    ("src/lib.rs", include_str!("../../templates/gpu/src/lib.rs")),
                ],
                "Squares numbers on the GPU",
            ),
        }
    }

    /// Reports whether the project depends on the SDK.
    fn uses_sdk(self) -> bool {
        matches!(self, Self::Map | Self::Gpu)
    }

    /// Returns the `[resources]` section of `fabric.toml`, if the template has one.
    fn resources(self) -> &'static str {
        match self {
            Self::Map | Self::Http | Self::Command => "",
            Self::Gpu => concat!("\n", include_str!("../../templates/gpu/resources.toml")),
        }
    }
}

/// Runs `fabric new`.
pub fn run(args: &NewArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let folder = args.path.clone().unwrap_or_else(|| PathBuf::from(args.name.as_str()));
    let named = args.sdk.clone().or_else(|| std::env::var("FABRIC_SDK").ok().filter(|sdk| !sdk.is_empty()));
    let dependency = if args.template.uses_sdk() { dependency(named.as_deref())? } else { String::new() };
    let writes_sdk = args.template.uses_sdk() && named.is_none();
    if writes_sdk && folder.join("sdk").exists() {
        return Err(occupied(&folder.join("sdk")));
    }
    let mut written = write(&folder, &args.name, args.template, &dependency)?;
    if writes_sdk {
        sdk::write(&folder)?;
        written.push("sdk/".to_owned());
    }
    if ctx.out.json {
        return ctx.out.json(&serde_json::json!({ "folder": folder, "files": written }));
    }
    ctx.note(format!("wrote {}; next: cd {} && fabric deploy", written.join(", "), folder.display()));
    ctx.out.line(folder.display().to_string())
}

/// Returns the dependency on the SDK, as a TOML value: the named one, else the copy in the project.
fn dependency(named: Option<&str>) -> Result<String, Failure> {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let Some(named) = named else {
        return Ok(format!("{{ package = \"fabric-sdk\", path = {} }}", text(sdk::FOLDER)));
    };
    if named.contains("://") {
        return Ok(format!("{{ package = \"fabric-sdk\", git = {} }}", text(named)));
    }
    let path = Path::new(named);
    let found = std::fs::canonicalize(path).ok().filter(|p| p.join("Cargo.toml").is_file());
    let found = found.ok_or_else(|| {
        Failure::local("sdk-not-found", format!("no Rust SDK at {}", path.display()))
            .hint("name it with --sdk: the folder `guest-sdk` of a checkout of fabric, or a git URL")
    })?;
    Ok(format!("{{ package = \"fabric-sdk\", path = {} }}", text(&found.display().to_string())))
}

/// Returns the failure for a file or folder that `fabric new` would overwrite.
fn occupied(path: &Path) -> Failure {
    Failure::local("conflict", format!("{} already exists", path.display()))
        .hint("choose another name or --path; nothing is overwritten")
}

/// Writes the files. Fails if one of them exists.
fn write(folder: &Path, name: &FunctionName, template: Template, sdk: &str) -> Result<Vec<String>, Failure> {
    let (files, description) = template.files();
    let common = [
        ("fabric.toml", include_str!("../../templates/fabric.toml")),
        (".gitignore", include_str!("../../templates/gitignore")),
    ];
    let all: Vec<_> = files.iter().chain(&common).collect();
    if let Some((taken, _)) = all.iter().find(|(file, _)| folder.join(file).exists()) {
        return Err(occupied(&folder.join(taken)));
    }
    // Cargo replaces hyphens with underscores in the file name of a library, but not of a binary.
    let artefact =
        if matches!(template, Template::Command) { name.to_string() } else { name.as_str().replace('-', "_") };
    let mut written = Vec::new();
    for (file, text) in all {
        let text = text
            .replace("{{name}}", name.as_str())
            .replace("{{artefact}}", &artefact)
            .replace("{{description}}", description)
            .replace("{{resources}}", template.resources())
            .replace("{{sdk}}", sdk);
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Failure::io(parent.display(), e))?;
        }
        std::fs::write(&path, text).map_err(|e| Failure::io(path.display(), e))?;
        written.push((*file).to_owned());
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;
    use fabric_types::gpu::GpuRequirement;

    #[test]
    fn every_template_has_a_manifest_that_reads_and_nothing_is_overwritten() {
        for template in [Template::Map, Template::Http, Template::Command, Template::Gpu] {
            let dir = tempfile::tempdir().unwrap();
            let name = FunctionName::new("my-function").unwrap();
            write(dir.path(), &name, template, &dependency(None).unwrap()).unwrap();
            let project = Project::open(dir.path()).unwrap();
            assert_eq!(project.manifest.function.name, name);
            let gpu = if matches!(template, Template::Gpu) { GpuRequirement::Preferred } else { GpuRequirement::None };
            assert_eq!(project.manifest.resources.gpu, gpu);
            let module = project.manifest.build.unwrap().module.unwrap();
            let expected = if matches!(template, Template::Command) { "my-function.wasm" } else { "my_function.wasm" };
            assert!(module.ends_with(expected), "{module}");
            let cargo = std::fs::read_to_string(dir.path().join("Cargo.toml")).unwrap();
            assert!(cargo.parse::<toml::Table>().is_ok() && !cargo.contains("{{"), "{cargo}");
            assert!(write(dir.path(), &name, template, "").is_err());
        }
    }
}
