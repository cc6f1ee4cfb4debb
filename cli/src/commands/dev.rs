//! `fabric dev`: watches a project, rebuilds and redeploys it under an alias on every change, and shows the logs of its
//! calls. Reports a failed build and waits for the next change.

use super::{Ctx, deploy, logs};
use crate::{failure::Failure, project::Project};
use fabric_api::function::SetAlias;
use fabric_client::{Client, DeployRequest, LogQuery};
use fabric_types::{
    function::AliasTarget,
    id::{AliasName, FunctionName},
};
use notify::{EventKind, RecursiveMode, Watcher as _};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// Debounce time. An editor saves in several steps, so a build starts once there was no change for this long.
const QUIET: Duration = Duration::from_millis(200);

/// Flags of `fabric dev`.
#[derive(Debug, clap::Args)]
pub struct DevArgs {
    /// The project's folder
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Alias to point at each new version; `live` changes the version that callers of the bare name reach. The previous
    /// version is deleted if this session created it and no other alias points at it [default: dev- and your user name]
    #[arg(long, value_name = "NAME")]
    pub alias: Option<AliasName>,
    /// Do not show the logs of the function's calls
    #[arg(long)]
    pub no_logs: bool,
}

/// Returns the alias of a user: `dev-` and the ASCII letters and digits of the name, at most 40.
fn alias_of(user: &str) -> Result<AliasName, Failure> {
    let letters: String = user.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let name = if letters.is_empty() { "dev".to_owned() } else { format!("dev-{letters}") };
    AliasName::new(name).map_err(|e| Failure::usage(e.to_string()).hint("name the alias: --alias NAME"))
}

/// Returns the current user's name, or an empty text if the environment has none.
fn user() -> String {
    ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default()
}

/// Runs until interrupted.
pub async fn run(args: &DevArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let project = Project::open(&args.path)?;
    let client = ctx.client()?;
    // Reports an unreachable server before the first build, not after it.
    let identity = client.whoami().await?;
    let alias = args.alias.clone().map_or_else(|| alias_of(&user()), Ok)?;
    let tenant = ctx.global.settings()?.tenant.map_or_else(|| identity.tenant.to_string(), |t| t.value.to_string());
    let function = &project.manifest.function.name;
    let others =
        if alias.as_str() == "live" { "callers of the bare name get each version" } else { "`live` stays as it is" };
    ctx.note(format!("server {}, tenant {tenant}: each version becomes {function}:{alias}; {others}", client.url()));
    let (deployed, first) = watch::channel(None);
    tokio::select! {
        outcome = build_and_watch(args, &project, &client, &alias, &deployed, ctx) => outcome,
        () = show_logs(&client, first, ctx), if !args.no_logs => Ok(()),
    }
}

/// Delay before the log is followed again after the client has stopped retrying an unreachable server.
const LOGS_AGAIN: Duration = Duration::from_secs(1);

/// Shows the logs of the function's calls, from its first deployment on. Does not return while the session lasts.
async fn show_logs(client: &Client, mut deployed: watch::Receiver<Option<FunctionName>>, ctx: &Ctx<'_>) {
    let Ok(function) = deployed.wait_for(Option::is_some).await.map(|name| name.clone()) else { return };
    let filter = LogQuery { function, ..LogQuery::default() };
    loop {
        let mut lines = client.follow_logs(filter.clone());
        while let Ok(Some(line)) = lines.next().await {
            ctx.note(logs::text(&line));
        }
        tokio::time::sleep(LOGS_AGAIN).await;
    }
}

async fn build_and_watch(
    args: &DevArgs,
    project: &Project,
    client: &Client,
    alias: &AliasName,
    deployed: &watch::Sender<Option<FunctionName>>,
    ctx: &Ctx<'_>,
) -> Result<(), Failure> {
    // One pending change is enough, because a build covers all of them.
    let (sender, mut changes) = mpsc::channel::<PathBuf>(1);
    // The watcher reports absolute paths.
    let folder = project.folder.canonicalize().map_err(|e| Failure::io(project.folder.display(), e))?;
    let watched = watched(project, &folder);
    let wanted = watched.clone();
    let module =
        project.manifest.build.as_ref().and_then(|build| build.module.as_ref()).map(|module| folder.join(module));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if !matches!(event.kind, EventKind::Access(_))
            && let Some(path) =
                event.paths.into_iter().find(|path| module.as_ref() != Some(path) && matters(path, &folder, &wanted))
        {
            let _ = sender.try_send(path);
        }
    })
    .map_err(|e| Failure::local("io", format!("can't watch files: {e}")))?;
    for path in &watched {
        // An editor may replace a file with a new one, which ends a watch on the file, so its folder is watched.
        let (place, mode) = match path.parent() {
            Some(parent) if path.is_file() => (parent, RecursiveMode::NonRecursive),
            _ => (path.as_path(), RecursiveMode::Recursive),
        };
        watcher.watch(place, mode).map_err(|e| Failure::local("io", format!("{}: {e}", place.display())))?;
    }
    let mut serving: Option<Version> = None;
    loop {
        tokio::select! {
            outcome = round(&args.path, client, alias, serving.as_ref(), ctx) => {
                match outcome {
                    // The reader of the output has closed the pipe, so the session ends.
                    Err(failure) if failure.is_broken_pipe() => return Err(failure),
                    Err(failure) => {
                        ctx.out.failure(&failure);
                        if let Some(version) = &serving {
                            ctx.note(format!("{} goes on serving", version.name()));
                        }
                    }
                    Ok(version) => {
                        deployed.send_replace(Some(version.function.clone()));
                        serving = Some(version);
                    }
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

/// A deployed version.
struct Version {
    function: FunctionName,
    number: u32,
    /// True if this session created the version and may delete it.
    is_own: bool,
}

impl Version {
    fn name(&self) -> String {
        format!("{}@{}", self.function, self.number)
    }
}

/// Builds once and deploys under the alias. Deletes the session's previous version unless another alias points at it.
async fn round(
    path: &Path,
    client: &Client,
    alias: &AliasName,
    before: Option<&Version>,
    ctx: &Ctx<'_>,
) -> Result<Version, Failure> {
    // The manifest may have changed.
    let project = Project::open(path)?;
    let started = std::time::Instant::now();
    let module = project.build(ctx.out, ctx.global.quiet).await?;
    let built = started.elapsed();
    let deploy = DeployRequest { promote: false, ..DeployRequest::new(project.text.clone(), deploy::read(&module)?) };
    let deployed = deploy::send(client, &deploy).await?;
    let (function, number) = (deployed.deployment.function.clone(), deployed.deployment.version);
    let targets = vec![AliasTarget { version: number, weight: 100 }];
    client.set_alias(function.as_str(), alias.as_str(), &SetAlias { targets }).await?;
    let is_same = before.is_some_and(|before| before.function == function && before.number == number);
    let is_own = deployed.created || (is_same && before.is_some_and(|before| before.is_own));
    if let Some(before) = before.filter(|before| before.is_own && !is_same) {
        // Fails, and so keeps the version, if another alias points at it.
        let _ = client.delete_version(before.function.as_str(), before.number).await;
    }
    let version = Version { function, number, is_own };
    if ctx.out.json {
        ctx.out.json(&deployed)?;
        return Ok(version);
    }
    if !ctx.global.quiet {
        deploy::report_under(ctx.out, client.url(), &deployed, alias);
    }
    ctx.note(format!("built in {:.1} s, serving after {:.1} s", built.as_secs_f64(), started.elapsed().as_secs_f64()));
    ctx.out.line(version.name())?;
    Ok(version)
}

/// Returns the paths to watch: those in the manifest, else `src`, and always the manifest.
fn watched(project: &Project, folder: &Path) -> Vec<PathBuf> {
    let listed = project.manifest.build.as_ref().map(|b| b.watch.clone()).unwrap_or_default();
    let listed = if listed.is_empty() { vec!["src".to_owned()] } else { listed };
    let mut paths: Vec<PathBuf> = listed.iter().map(|p| folder.join(p)).filter(|p| p.exists()).collect();
    paths.extend(project.file.file_name().map(|name| folder.join(name)));
    paths
}

/// Returns `true` if a change of `path` requires a build: the path is watched and is not build output.
fn matters(path: &Path, folder: &Path, watched: &[PathBuf]) -> bool {
    let below = path.strip_prefix(folder).unwrap_or(path);
    let made = below.components().any(|c| c.as_os_str() == "target" || c.as_os_str() == ".git");
    !made && watched.iter().any(|wanted| path.starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_an_alias() {
        let long = "x".repeat(100);
        for (user, alias) in [("ada", "dev-ada"), ("Ada.L", "dev-adal"), ("", "dev"), ("日本", "dev"), ("7", "dev-7")]
        {
            assert_eq!(alias_of(user).unwrap().as_str(), alias, "{user}");
        }
        assert_eq!(alias_of(&long).unwrap().as_str().len(), 44);
    }

    #[test]
    fn a_build_does_not_set_off_the_next_one() {
        let folder = Path::new("/target/p");
        let matters = |path: &str, watched: &str| matters(Path::new(path), folder, &[PathBuf::from(watched)]);
        assert!(!matters("/target/p/target/release/a.wasm", "/target/p"));
        assert!(matters("/target/p/src/lib.rs", "/target/p/src"));
        assert!(matters("/target/p/fabric.toml", "/target/p/fabric.toml"));
        // The folder of a watched file contains other files.
        assert!(!matters("/target/p/Cargo.lock", "/target/p/fabric.toml"));
    }
}
