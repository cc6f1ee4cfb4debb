//! `fabric deploy`: builds a project and deploys it, or deploys an existing module from a file or an OCI registry.

use super::{Ctx, functions::targets};
use crate::{failure::Failure, oci, output::Out, project::Project};
use fabric_api::function::DeploymentResponse;
use fabric_client::{Client, DeployRequest};
use fabric_types::{
    function::EntryKind,
    id::{AliasName, FunctionName},
    manifest::Manifest,
    units::ByteSize,
};
use std::path::{Path, PathBuf};

/// Maximum size of a module in bytes. A larger one is rejected before it is read.
const MODULE_LIMIT: u64 = 512 << 20;

/// Flags of `fabric deploy`.
#[derive(Debug, clap::Args)]
pub struct DeployArgs {
    /// A folder with a fabric.toml, a .wasm file, or a module in a registry: oci://REGISTRY/REPOSITORY:TAG
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Manifest of a .wasm file or of a module in a registry [default: none, so that the function has no grants]
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// The function's name [default: the manifest's, or the module's file name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<FunctionName>,
    /// Note on this version, such as a commit id
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Create the version without pointing `live` at it
    #[arg(long)]
    pub no_promote: bool,
    /// Deploy the existing module without building it
    #[arg(long)]
    pub no_build: bool,
}

/// Deploys a module and writes NAME@VERSION.
pub async fn run(args: &DeployArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let source = source(args, ctx).await?;
    let note = args.note.clone().or(source.origin);
    let deploy =
        DeployRequest { note, promote: !args.no_promote, ..DeployRequest::new(source.manifest, source.module) };
    let client = ctx.client()?;
    let deployed = send(&client, &deploy).await?;
    if ctx.out.json {
        return ctx.out.json(&deployed);
    }
    if !ctx.global.quiet {
        report(ctx.out, client.url(), &deployed);
    }
    ctx.out.line(format!("{}@{}", deployed.deployment.function, deployed.deployment.version))
}

/// A module with its manifest.
struct Source {
    manifest: String,
    module: Vec<u8>,
    /// The registry artifact that the module was pulled from.
    origin: Option<String>,
}

/// Reads, pulls or builds the module that the flags name.
async fn source(args: &DeployArgs, ctx: &Ctx<'_>) -> Result<Source, Failure> {
    let given = args.manifest.as_deref().map(Project::open).transpose()?;
    let manifest = |stem: &str| match &given {
        Some(project) => named(project, args.name.clone()),
        None => manifest_for(stem, args.name.clone()),
    };
    if let Some(name) = args.path.to_str().and_then(|path| path.strip_prefix(oci::SCHEME)) {
        let pulled = oci::pull(name, MODULE_LIMIT).await?;
        ctx.note(format!("pulled {}, {}", pulled.pinned, ByteSize(pulled.module.len() as u64)));
        let origin = Some(format!("{}{}", oci::SCHEME, pulled.pinned));
        return Ok(Source { manifest: manifest(&pulled.name)?, module: pulled.module, origin });
    }
    let is_module = !args.path.is_dir() && args.path.extension().is_some_and(|e| e == "wasm" || e == "wat");
    if is_module {
        let stem = args.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        return Ok(Source { manifest: manifest(&stem)?, module: read(&args.path)?, origin: None });
    }
    if given.is_some() {
        return Err(Failure::usage("--manifest goes with a .wasm file or a module in a registry")
            .hint("a project has a manifest of its own: name the project's folder or its fabric.toml"));
    }
    let project = Project::open(&args.path)?;
    let module = if args.no_build {
        project.module(project.manifest.build.as_ref().and_then(|b| b.module.as_deref()))?
    } else {
        project.build(ctx.out, ctx.global.quiet).await?
    };
    Ok(Source { manifest: named(&project, args.name.clone())?, module: read(&module)?, origin: None })
}

/// Deploys a module. `fabric dev` uses this step alone.
pub async fn send(client: &Client, deploy: &DeployRequest) -> Result<DeploymentResponse, Failure> {
    Ok(client.deploy(deploy).await?)
}

/// Reads a module of at most `MODULE_LIMIT` bytes.
pub fn read(module: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |e| Failure::io(module.display(), e);
    let size = std::fs::metadata(module).map_err(failed)?.len();
    if size > MODULE_LIMIT {
        return Err(Failure::coded(
            fabric_types::Code::TooLarge,
            format!("{}: {} exceeds the size limit of a module", module.display(), ByteSize(size)),
        ));
    }
    std::fs::read(module).map_err(failed)
}

/// Returns the project's manifest as text, with `name` instead of its own name if there is one.
pub fn named(project: &Project, name: Option<FunctionName>) -> Result<String, Failure> {
    match name {
        None => Ok(project.text.clone()),
        Some(name) => {
            let mut manifest = project.manifest.clone();
            manifest.function.name = name;
            json(&manifest)
        }
    }
}

fn json(manifest: &Manifest) -> Result<String, Failure> {
    serde_json::to_string(manifest).map_err(|e| Failure::local("internal", e.to_string()))
}

/// Returns a manifest for a module that has none, under the requested name or one derived from the file's.
fn manifest_for(stem: &str, name: Option<FunctionName>) -> Result<String, Failure> {
    let name = match name {
        Some(name) => name,
        None => FunctionName::new(stem.to_ascii_lowercase().replace(['_', '.'], "-"))
            .map_err(|e| Failure::usage(e.to_string()).hint("name it: --name NAME"))?,
    };
    json(&Manifest::named(name))
}

/// Reports a deployment, the versions that are live, and a way to call the new version.
pub fn report(out: &Out, server: &str, deployed: &DeploymentResponse) {
    summary(out, deployed);
    out.note(live(deployed));
    finish(out, server, deployed, &name_of(deployed));
}

/// Returns the name that reaches the version: the function's if only this version is live, else with the number.
fn name_of(deployed: &DeploymentResponse) -> String {
    let d = &deployed.deployment;
    let is_live = matches!(deployed.live.as_slice(), [one] if one.version == d.version);
    if is_live { d.function.to_string() } else { format!("{}@{}", d.function, d.version) }
}

/// Reports a deployment that only this alias points at.
pub fn report_under(out: &Out, server: &str, deployed: &DeploymentResponse, alias: &AliasName) {
    summary(out, deployed);
    finish(out, server, deployed, &format!("{}:{alias}", deployed.deployment.function));
}

fn summary(out: &Out, deployed: &DeploymentResponse) {
    let d = &deployed.deployment;
    let what = if deployed.created { "deployed" } else { "unchanged:" };
    let mut parts = vec![format!("{what} {}@{}", d.function, d.version), d.entry.kind.to_string()];
    parts.push(ByteSize(d.module_bytes).to_string());
    if deployed.compile_ms > 0 {
        parts.push(format!("compiled in {} ms", deployed.compile_ms));
    }
    if d.is_pure() {
        let each = if d.uses_gpu() { ", for each GPU" } else { "" };
        parts.push(format!("pure: results are cached{each}"));
    }
    out.note(parts.join(", "));
}

fn finish(out: &Out, server: &str, deployed: &DeploymentResponse, name: &str) {
    out.note(format!("call it: {}", call(server, deployed, name)));
    for warning in &deployed.warnings {
        out.note(format!("warning: {warning}"));
    }
}

/// Describes the versions that calls by the bare name reach now, and the change to them.
fn live(deployed: &DeploymentResponse) -> String {
    let DeploymentResponse { deployment: d, live, live_before, .. } = deployed;
    let f = &d.function;
    match (live.as_slice(), live_before.as_slice()) {
        ([], _) => format!("nothing is live; make this version live: fabric alias {f} live={}", d.version),
        (now, []) => format!("live: {f}@{}", targets(now)),
        (now, before) if now == before => {
            let only_this = matches!(now, [one] if one.version == d.version);
            let remark =
                if only_this { String::new() } else { format!("; make it {0}: fabric alias {f} live={0}", d.version) };
            format!("live, as before: {f}@{}{remark}", targets(now))
        }
        (now, before) => {
            let weights = if before.len() > 1 { "; calls are no longer divided" } else { "" };
            format!("live: {f}@{}, before {}{weights}", targets(now), targets(before))
        }
    }
}

/// Returns the URL or the command that calls the version by this name.
fn call(server: &str, deployed: &DeploymentResponse, name: &str) -> String {
    let d = &deployed.deployment;
    match d.entry.kind {
        EntryKind::Http if d.manifest.function.public => format!("{server}/f/{}/{name}/", d.tenant),
        EntryKind::Http => format!("{server}/f/{}/{name}/ with `Authorization: Bearer TOKEN`", d.tenant),
        _ if d.entry.mapper && !d.entry.handler => format!("fabric run {name} --input PATH"),
        _ => format!("fabric invoke {name} --data TEXT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployed(version: u32, live: &[(u32, u32)], before: &[(u32, u32)]) -> DeploymentResponse {
        let targets = |all: &[(u32, u32)]| -> serde_json::Value {
            all.iter().map(|(version, weight)| serde_json::json!({ "version": version, "weight": weight })).collect()
        };
        serde_json::from_value(serde_json::json!({
            "deployment": {
                "tenant": "acme", "function": "f", "version": version, "module": "0".repeat(64),
                "module_bytes": 1, "entry": { "kind": "http", "handler": false, "mapper": false, "reducer": false },
                "manifest": { "function": { "name": "f", "public": true } }, "created_ms": 0, "note": ""
            },
            "created": true, "live": targets(live), "live_before": targets(before), "compile_ms": 0, "warnings": []
        }))
        .unwrap()
    }

    #[test]
    fn a_report_says_what_is_live_and_how_to_call_it() {
        let (three, two) = (&[(3, 1)][..], &[(2, 1)][..]);
        let divided = &[(1, 90), (2, 10)][..];
        for (deployed, says, called) in [
            (deployed(3, three, &[]), "live: f@3", "http://s/f/acme/f/"),
            (deployed(3, three, two), "live: f@3, before 2", "http://s/f/acme/f/"),
            (
                deployed(3, three, divided),
                "live: f@3, before 1:90 2:10; calls are no longer divided",
                "http://s/f/acme/f/",
            ),
            (deployed(3, three, three), "live, as before: f@3", "http://s/f/acme/f/"),
            (deployed(3, two, two), "live, as before: f@2; make it 3: fabric alias f live=3", "http://s/f/acme/f@3/"),
            (
                deployed(3, &[], &[]),
                "nothing is live; make this version live: fabric alias f live=3",
                "http://s/f/acme/f@3/",
            ),
        ] {
            assert_eq!(live(&deployed), says);
            assert_eq!(call("http://s", &deployed, name_of(&deployed).as_str()), called);
        }
    }

    #[test]
    fn a_lone_module_is_named_after_its_file() {
        let manifest = manifest_for("Word_Count", None).unwrap();
        assert!(manifest.contains("\"word-count\""), "{manifest}");
        assert_eq!(manifest_for("1", None).unwrap_err().exit as u8, 2);
    }
}
