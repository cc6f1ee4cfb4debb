//! `fabric cluster`: a fleet on one machine.

use super::Ctx;
use crate::{
    cluster::{
        folder::{self, Folder, Process, State},
        nats::Nats,
        plan::ClusterPlan,
        supervisor::{self, Supervisor, Watch},
    },
    failure::Failure,
    table::Table,
};
use fabric_types::rest::node::Node;
use rustix::process::Signal;
use serde::Serialize;
use std::{net::SocketAddr, num::NonZeroU16, path::PathBuf, time::Duration};
use tokio::time::{Instant, sleep};

/// Time for processes without a supervisor to stop before they are killed.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Interval between checks that they have stopped.
const LOOK: Duration = Duration::from_millis(50);

/// Flags of `fabric cluster`.
#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Start a NATS server and several `fabric serve` processes on this machine, and keep them running until Ctrl-C
    Up(Up),
    /// Stop the fleet that `fabric cluster up` started
    Down(Where),
    /// Show the fleet's processes
    Status(Where),
}

#[derive(Debug, clap::Args)]
struct Where {
    /// The fleet's folder [env: FABRIC_DATA; default: the user's data folder, ~/.local/share/fabric]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Up {
    /// Number of processes, named n1, n2 and so on
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    #[command(flatten)]
    place: Where,
    /// Address of the first process; the others use the ports after it. With port 0, all use free ports
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Shared store: s3://BUCKET/PREFIX or file:///DIR [env: FABRIC_STORE; default: a folder below --data]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Running NATS servers to use [env: FABRIC_NATS; default: start one]
    #[arg(long, value_name = "URL,…")]
    nats: Option<String>,
    /// The nats-server program to start [env: FABRIC_NATS_SERVER; default: the one on the PATH]
    #[arg(long, value_name = "FILE", conflicts_with = "nats")]
    nats_server: Option<PathBuf>,
    /// Guests that each process runs at once [default: its share of the CPUs, at least 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    slots: Option<u32>,
}

/// Runs `fabric cluster`.
pub async fn run(args: ClusterArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    match args.command {
        Sub::Up(args) => up(args, ctx).await,
        Sub::Down(place) => down(&place, ctx).await,
        Sub::Status(place) => status(&place, ctx).await,
    }
}

async fn up(args: Up, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let folder = Folder::make(args.place.data.as_deref())?;
    let shown = folder.path().display();
    let Some(_held) = folder.try_lock()? else {
        return Err(Failure::local("conflict", format!("a fleet runs in `{shown}` already")).hint(format!(
            "see it: fabric cluster status --data {shown}; stop it: fabric cluster down --data {shown}"
        )));
    };
    if folder.join("state.db").exists() {
        return Err(Failure::config(format!("`{shown}` holds the data of a single `fabric serve`"))
            .hint("give the fleet its own folder: --data DIR"));
    }
    let left = folder.left_over()?;
    if !left.is_empty() {
        return Err(Failure::local(
            "conflict",
            format!("processes of an earlier fleet in `{shown}` still run: {}", list(&left)),
        )
        .hint(format!("stop them: fabric cluster down --data {shown}")));
    }
    let nodes = NonZeroU16::new(args.nodes).unwrap_or(NonZeroU16::MIN);
    // Reports common mistakes before anything is started.
    ClusterPlan::addresses(args.listen, nodes)?;
    let env = fabric_client::settings::process_env;
    let external = if args.nats_server.is_some() { None } else { args.nats.or_else(|| env("FABRIC_NATS")) };
    let (nats, own) = match external {
        Some(url) => (url, None),
        None => {
            let nats = Nats::prepare(&folder, args.nats_server.as_deref())?;
            (nats.url, Some(nats.spec))
        }
    };
    let store = match args.store.or_else(|| env("FABRIC_STORE")) {
        Some(store) => store,
        None => folder.make_in("store")?.display().to_string(),
    };
    let specs = ClusterPlan { nodes, listen: args.listen, store, nats, slots: args.slots }.specs(&folder)?;
    let starting = own.iter().chain(&specs).map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
    ctx.note(format!("starting {starting} in {shown}"));
    let watch = Say { ctx, folder: &folder };
    Supervisor::run(folder.clone(), own, specs, &watch).await
}

/// A process and its node, if the fleet reports one.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    process: Process,
    node: Option<Node>,
}

fn show(ctx: &Ctx<'_>, state: &State, nodes: &[Node]) -> Result<(), Failure> {
    let row = |process: &Process| Row {
        process: process.clone(),
        node: nodes.iter().find(|node| node.id.as_str() == process.name).cloned(),
    };
    let rows: Vec<_> = state.processes.iter().map(row).collect();
    ctx.out.show(&rows, |out, rows| {
        let mut table = Table::new(&["PROCESS", "STATE", ">SLOTS", "URL", ">PID", ">RESTARTS"]);
        for Row { process, node } in rows {
            let alive = if process.pid.is_some() { "running" } else { "down" };
            table.row([
                process.name.clone(),
                node.as_ref().filter(|_| process.pid.is_some()).map_or(alive.to_owned(), |node| node.state.clone()),
                node.as_ref().map_or_else(|| "-".to_owned(), |node| node.cpu_slots.to_string()),
                process.url.clone().unwrap_or_else(|| "-".to_owned()),
                process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                process.restarts.to_string(),
            ]);
        }
        out.table(&table)
    })
}

/// An observer that writes to the terminal.
struct Say<'a> {
    ctx: &'a Ctx<'a>,
    folder: &'a Folder,
}

impl Watch for Say<'_> {
    fn up(&self, state: &State, nodes: &[Node]) -> Result<(), Failure> {
        show(self.ctx, state, nodes)?;
        self.ctx.note(format!(
            "up; try `fabric nodes --server-data {}`, or set FABRIC_DATA to that folder; stop with Ctrl-C",
            self.folder.path().display()
        ));
        Ok(())
    }

    fn note(&self, text: String) {
        self.ctx.note(text);
    }
}

fn list(processes: &[Process]) -> String {
    let one = |p: &Process| format!("{} (pid {})", p.name, p.pid.unwrap_or_default());
    processes.iter().map(one).collect::<Vec<_>>().join(", ")
}

async fn down(place: &Where, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let Some(folder) = Folder::find(place.data.as_deref())? else {
        ctx.note("no fleet runs: the folder does not exist");
        return Ok(());
    };
    let held = match folder.try_lock()? {
        Some(held) => held,
        None => {
            if let Some(state) = folder.state()? {
                folder::signal(state.supervisor, Signal::TERM);
            }
            let waiting = folder.clone();
            let ended = tokio::task::spawn_blocking(move || waiting.lock()).await;
            ctx.note("stopped");
            ended.map_err(|e| Failure::local("internal", e.to_string()))??
        }
    };
    // Processes whose supervisor was killed.
    let left = folder.left_over()?;
    if !left.is_empty() {
        end(&folder, &left).await;
        ctx.note(format!("stopped processes that had no supervisor: {}", list(&left)));
    }
    folder.lead_nowhere();
    drop(held);
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
            sleep(LOOK).await;
        }
    }
}

async fn status(place: &Where, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let none = |shown: String| {
        Failure::coded(fabric_types::Code::NotFound, format!("no fleet runs in `{shown}`"))
            .hint("start one: fabric cluster up, with the same --data")
    };
    let Some(folder) = Folder::find(place.data.as_deref())? else {
        return Err(none(place.data.clone().unwrap_or_default().display().to_string()));
    };
    let alone = folder.try_lock()?.is_some();
    let state = folder.state()?.filter(|_| !alone || folder.left_over().is_ok_and(|left| !left.is_empty()));
    let Some(mut state) = state else { return Err(none(folder.path().display().to_string())) };
    if alone {
        ctx.note("the supervisor has ended: processes are not restarted; stop them with `fabric cluster down`");
        for process in &mut state.processes {
            process.pid = process.pid.filter(|pid| folder.runs(*pid));
        }
    }
    let nodes = supervisor::nodes(&folder).await.unwrap_or_else(|error| {
        ctx.note(format!("the fleet does not answer: {error}"));
        Vec::new()
    });
    show(ctx, &state, &nodes)
}
