//! `fabric dev`: watches a project, rebuilds and redeploys it with every change. A failed build is shown and waited out.

use super::{Ctx, deploy};
use crate::{failure::Failure, project::Project};
use fabric_client::{Client, Deploy};
use notify::{EventKind, RecursiveMode, Watcher as _};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::mpsc;

/// An editor saves in several steps; a build begins when it has been quiet this long.
const QUIET: Duration = Duration::from_millis(200);

/// Flags of `fabric dev`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project's folder
    #[arg(default_value = ".")]
    pub path: PathBuf,
}

/// Runs until it is interrupted.
pub async fn run(args: &Args, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let project = Project::open(&args.path)?;
    let client = ctx.client()?;
    // A server that is not there is better said before the first build than after it.
    client.whoami().await?;
    // One waiting change stands for all of them.
    let (sender, mut changes) = mpsc::channel::<PathBuf>(1);
    // The watcher tells of absolute paths.
    let folder = project.folder.canonicalize().map_err(|e| Failure::io(project.folder.display(), e))?;
    let watched = watched(&project, &folder);
    let wanted = watched.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if !matches!(event.kind, EventKind::Access(_))
            && let Some(path) = event.paths.into_iter().find(|path| matters(path, &folder, &wanted))
        {
            let _ = sender.try_send(path);
        }
    })
    .map_err(|e| Failure::local("io", format!("can't watch files: {e}")))?;
    for path in &watched {
        // An editor may put a new file in a file's place, which ends a watch on the file: watch its folder.
        let (place, mode) = match path.parent() {
            Some(parent) if path.is_file() => (parent, RecursiveMode::NonRecursive),
            _ => (path.as_path(), RecursiveMode::Recursive),
        };
        watcher.watch(place, mode).map_err(|e| Failure::local("io", format!("{}: {e}", place.display())))?;
    }
    let mut serving = None;
    loop {
        tokio::select! {
            outcome = round(&args.path, &client, ctx) => {
                match outcome {
                    // Whoever read our output is gone, and so is the point of going on.
                    Err(failure) if failure.is_broken_pipe() => return Err(failure),
                    Err(failure) => {
                        ctx.out.failure(&failure);
                        if let Some(version) = &serving {
                            ctx.note(format!("{version} goes on serving"));
                        }
                    }
                    Ok(version) => serving = Some(version),
                }
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        ctx.note("watching for changes; stop with Ctrl-C");
        tokio::select! {
            change = changes.recv() => match change {
                Some(path) => ctx.note(format!("changed: {}", path.display())),
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        while let Ok(Some(_)) = tokio::time::timeout(QUIET, changes.recv()).await {}
    }
}

/// One build and deployment; gives NAME@VERSION.
async fn round(path: &Path, client: &Client, ctx: &Ctx<'_>) -> Result<String, Failure> {
    // The manifest may be what changed.
    let project = Project::open(path)?;
    let started = std::time::Instant::now();
    let module = project.build(ctx.out, ctx.global.quiet).await?;
    let built = started.elapsed();
    let deploy = Deploy::new(project.text.clone(), deploy::read(&module)?);
    let deployed = deploy::send(client, &deploy).await?;
    let version = format!("{}@{}", deployed.deployment.function, deployed.deployment.version);
    if ctx.out.json {
        ctx.out.json(&deployed)?;
        return Ok(version);
    }
    if !ctx.global.quiet {
        deploy::report(ctx.out, client.url(), &deployed);
    }
    ctx.note(format!("built in {:.1} s, live in {:.1} s", built.as_secs_f64(), started.elapsed().as_secs_f64()));
    ctx.out.line(&version)?;
    Ok(version)
}

/// What to watch: what the manifest says, else `src`, and always the manifest.
fn watched(project: &Project, folder: &Path) -> Vec<PathBuf> {
    let listed = project.manifest.build.as_ref().map(|b| b.watch.clone()).unwrap_or_default();
    let listed = if listed.is_empty() { vec!["src".to_owned()] } else { listed };
    let mut paths: Vec<PathBuf> = listed.iter().map(|p| folder.join(p)).filter(|p| p.exists()).collect();
    paths.push(folder.join("fabric.toml"));
    paths
}

/// Whether a change of `path` calls for a build: it is, or is under, what is watched, and no build made it.
fn matters(path: &Path, folder: &Path, watched: &[PathBuf]) -> bool {
    let below = path.strip_prefix(folder).unwrap_or(path);
    let made = below.components().any(|c| c.as_os_str() == "target" || c.as_os_str() == ".git");
    !made && watched.iter().any(|wanted| path.starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_does_not_set_off_the_next_one() {
        let folder = Path::new("/target/p");
        let matters = |path: &str, watched: &str| matters(Path::new(path), folder, &[PathBuf::from(watched)]);
        assert!(!matters("/target/p/target/release/a.wasm", "/target/p"));
        assert!(matters("/target/p/src/lib.rs", "/target/p/src"));
        assert!(matters("/target/p/fabric.toml", "/target/p/fabric.toml"));
        // The folder of a watched file has other files.
        assert!(!matters("/target/p/Cargo.lock", "/target/p/fabric.toml"));
    }
}
