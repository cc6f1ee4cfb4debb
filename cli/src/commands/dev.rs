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
    let (sender, mut changes) = mpsc::channel::<()>(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let matters =
            event.is_ok_and(|e| !matches!(e.kind, EventKind::Access(_)) && e.paths.iter().any(|p| !is_build_output(p)));
        if matters {
            let _ = sender.try_send(());
        }
    })
    .map_err(|e| Failure::local("io", format!("can't watch files: {e}")))?;
    for path in watched(&project) {
        watcher
            .watch(&path, RecursiveMode::Recursive)
            .map_err(|e| Failure::local("io", format!("{}: {e}", path.display())))?;
    }
    loop {
        tokio::select! {
            outcome = round(&args.path, &client, ctx) => {
                match outcome {
                    // Whoever read our output is gone, and so is the point of going on.
                    Err(failure) if failure.is_broken_pipe() => return Err(failure),
                    Err(failure) => ctx.out.failure(&failure),
                    Ok(()) => {}
                }
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        ctx.note("watching for changes; stop with Ctrl-C");
        tokio::select! {
            change = changes.recv() => if change.is_none() { return Ok(()) },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {}
    }
}

/// One build and deployment.
async fn round(path: &Path, client: &Client, ctx: &Ctx<'_>) -> Result<(), Failure> {
    // The manifest may be what changed.
    let project = Project::open(path)?;
    let started = std::time::Instant::now();
    let module = project.build(ctx.out, ctx.global.quiet).await?;
    let built = started.elapsed();
    let deploy = Deploy::new(project.text.clone(), deploy::read(&module)?);
    let deployed = deploy::send(client, &deploy).await?;
    if ctx.out.json {
        return ctx.out.json(&deployed);
    }
    deploy::report(ctx.out, &deployed);
    ctx.note(format!("built in {:.1} s, live in {:.1} s", built.as_secs_f64(), started.elapsed().as_secs_f64()));
    ctx.out.line(format!("{}@{}", deployed.deployment.function, deployed.deployment.version))
}

/// What to watch: what the manifest says, else `src`, and always the manifest.
fn watched(project: &Project) -> Vec<PathBuf> {
    let listed = project.manifest.build.as_ref().map(|b| b.watch.clone()).unwrap_or_default();
    let listed = if listed.is_empty() { vec!["src".to_owned()] } else { listed };
    let mut paths: Vec<PathBuf> = listed.iter().map(|p| project.folder.join(p)).filter(|p| p.exists()).collect();
    paths.push(project.folder.join("fabric.toml"));
    paths
}

fn is_build_output(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "target" || c.as_os_str() == ".git")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_does_not_set_off_the_next_one() {
        assert!(is_build_output(Path::new("/p/target/wasm32-wasip2/release/a.wasm")));
        assert!(!is_build_output(Path::new("/p/src/lib.rs")));
    }
}
