//! A fleet on one machine: a NATS server and several `fabric serve` processes, started, watched, restarted when they
//! end, and stopped together.
//!
//! `folder` is the layout on disk, `child` one supervised process, `nats` the NATS server, `plan` the processes to run,
//! `supervisor` all of them.

mod child;
mod folder;
mod nats;
mod plan;
mod supervisor;

pub use folder::{Process, State};
pub use supervisor::SupervisorObserver;

use crate::Error;
use fabric_client::settings::process_env;
use fabric_types::{Code, rest::node::Node};
use folder::Folder;
use nats::Nats;
use plan::ClusterPlan;
use rustix::process::Signal;
use std::{
    net::SocketAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
    time::Duration,
};
use supervisor::Supervisor;
use tokio::time::{Instant, sleep};

/// Time for processes without a supervisor to stop before they are killed.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Interval between checks that they have stopped.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Options of a fleet. `None` stands for the environment variable, else the default.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The fleet's folder. Variable `FABRIC_DATA`; default: the user's data folder.
    pub data: Option<PathBuf>,
    /// Number of processes.
    pub nodes: NonZeroU16,
    /// Address of the first process. The others use the ports after it, or free ones if the port is 0.
    pub listen: SocketAddr,
    /// URL of the shared store. Variable `FABRIC_STORE`; default: a folder in the fleet's folder.
    pub store: Option<String>,
    /// Running NATS servers. Variable `FABRIC_NATS`; default: a server of the fleet's own.
    pub nats: Option<String>,
    /// The nats-server program to start. Variable `FABRIC_NATS_SERVER`; default: the one on the `PATH`.
    pub nats_server: Option<PathBuf>,
    /// Guests that each process runs at once; `None` for an equal share of the CPUs.
    pub slots: Option<u32>,
}

/// The processes and nodes of a fleet that runs.
#[derive(Debug, Clone)]
pub struct ClusterStatus {
    /// The supervisor and its processes.
    pub state: State,
    /// The nodes that the fleet reports.
    pub nodes: Vec<Node>,
}

fn list(processes: &[Process]) -> String {
    let one = |p: &Process| format!("{} (pid {})", p.name, p.pid.unwrap_or_default());
    processes.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Starts a fleet and supervises it until a signal.
///
/// # Errors
/// `conflict` if a fleet or its processes run in the folder already; a wrong option; a process that does not start;
/// the observer's error.
pub async fn up<O: SupervisorObserver>(options: ClusterOptions, observer: &O) -> Result<(), O::Error> {
    let folder = Folder::create(options.data.as_deref())?;
    let shown = folder.path().display();
    let Some(_lock) = folder.try_lock()? else {
        return Err(Error::local("conflict", format!("a fleet runs in `{shown}` already"))
            .hint(format!("see it: fabric cluster status --data {shown}; stop it: fabric cluster down --data {shown}"))
            .into());
    };
    if folder.join("state.db").exists() {
        return Err(Error::config(format!("`{shown}` holds the data of a single `fabric serve`"))
            .hint("give the fleet its own folder: --data DIR")
            .into());
    }
    let orphaned = folder.orphaned_processes()?;
    if !orphaned.is_empty() {
        let what = format!("processes of an earlier fleet in `{shown}` still run: {}", list(&orphaned));
        return Err(Error::local("conflict", what)
            .hint(format!("stop them: fabric cluster down --data {shown}"))
            .into());
    }
    // Reports common mistakes before anything is started.
    ClusterPlan::addresses(options.listen, options.nodes)?;
    let external =
        if options.nats_server.is_some() { None } else { options.nats.or_else(|| process_env("FABRIC_NATS")) };
    let (nats, own) = match external {
        Some(url) => (url, None),
        None => {
            let nats = Nats::prepare(&folder, options.nats_server.as_deref())?;
            (nats.url, Some(nats.spec))
        }
    };
    let store = match options.store.or_else(|| process_env("FABRIC_STORE")) {
        Some(store) => store,
        None => folder.create_folder("store")?.display().to_string(),
    };
    let plan = ClusterPlan { nodes: options.nodes, listen: options.listen, store, nats, slots: options.slots };
    let specs = plan.specs(&folder)?;
    let starting = own.iter().chain(&specs).map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
    observer.note(format!("starting {starting} in {shown}"));
    Supervisor::run(folder.clone(), own, specs, observer).await
}

/// Stops the fleet in the folder `data`, or the processes that a killed supervisor has left. `note` receives messages
/// for the user.
///
/// # Errors
/// The folder or its state can't be read.
pub async fn down(data: Option<&Path>, note: impl Fn(String)) -> Result<(), Error> {
    let Some(folder) = Folder::open_existing(data)? else {
        note("no fleet runs: the folder does not exist".to_owned());
        return Ok(());
    };
    let lock = match folder.try_lock()? {
        Some(lock) => lock,
        None => {
            if let Some(state) = folder.state()? {
                folder::signal(state.supervisor, Signal::TERM);
            }
            let waiting = folder.clone();
            let ended = tokio::task::spawn_blocking(move || waiting.lock()).await;
            note("stopped".to_owned());
            ended.map_err(|e| Error::local("internal", e.to_string()))??
        }
    };
    // Processes whose supervisor was killed.
    let orphaned = folder.orphaned_processes()?;
    if !orphaned.is_empty() {
        end(&folder, &orphaned).await;
        note(format!("stopped processes that had no supervisor: {}", list(&orphaned)));
    }
    folder.clear_state();
    drop(lock);
    Ok(())
}

/// Ends processes that are not children of this one, NATS last.
async fn end(folder: &Folder, processes: &[Process]) {
    let (nats, servers): (Vec<_>, Vec<_>) = processes.iter().partition(|process| process.name == "nats");
    for group in [servers, nats] {
        let pids: Vec<u32> = group.iter().filter_map(|process| process.pid).collect();
        for pid in &pids {
            folder::signal(*pid, Signal::TERM);
        }
        let begun = Instant::now();
        while pids.iter().any(|pid| folder.runs(*pid)) {
            if begun.elapsed() > STOP_LIMIT {
                pids.iter().filter(|pid| folder.runs(**pid)).for_each(|pid| {
                    folder::signal(*pid, Signal::KILL);
                });
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// Returns the processes and nodes of the fleet in the folder `data`. `note` receives messages for the user.
///
/// # Errors
/// `not-found` if no fleet runs there.
pub async fn status(data: Option<&Path>, note: impl Fn(String)) -> Result<ClusterStatus, Error> {
    let none = |shown: String| {
        Error::coded(Code::NotFound, format!("no fleet runs in `{shown}`"))
            .hint("start one: fabric cluster up, with the same --data")
    };
    let Some(folder) = Folder::open_existing(data)? else {
        return Err(none(data.unwrap_or(Path::new("")).display().to_string()));
    };
    let is_unsupervised = folder.try_lock()?.is_some();
    let has_processes = || folder.orphaned_processes().is_ok_and(|processes| !processes.is_empty());
    let state = folder.state()?.filter(|_| !is_unsupervised || has_processes());
    let Some(mut state) = state else { return Err(none(folder.path().display().to_string())) };
    if is_unsupervised {
        note("the supervisor has ended: processes are not restarted; stop them with `fabric cluster down`".to_owned());
        for process in &mut state.processes {
            process.pid = process.pid.filter(|pid| folder.runs(*pid));
        }
    }
    let nodes = supervisor::nodes(&folder).await.unwrap_or_else(|error| {
        note(format!("the fleet does not answer: {error}"));
        Vec::new()
    });
    Ok(ClusterStatus { state, nodes })
}
