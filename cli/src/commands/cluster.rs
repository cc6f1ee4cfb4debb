//! `fabric cluster`: a fleet on one machine.

use super::Ctx;
use crate::{failure::Failure, table::Table};
use fabric_server::cluster::{self, ClusterOptions, ClusterStatus, Process, State, SupervisorObserver};
use fabric_types::rest::node::Node;
use serde::Serialize;
use std::{
    net::SocketAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
};

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
    Down(FolderArgs),
    /// Show the fleet's processes
    Status(FolderArgs),
}

#[derive(Debug, clap::Args)]
struct FolderArgs {
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
    folder: FolderArgs,
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
        Sub::Down(folder) => Ok(cluster::down(folder.data.as_deref(), |text| ctx.note(text)).await?),
        Sub::Status(folder) => {
            let note = |text| ctx.note(text);
            let ClusterStatus { state, nodes } = cluster::status(folder.data.as_deref(), note).await?;
            show(ctx, &state, &nodes)
        }
    }
}

async fn up(args: Up, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let options = ClusterOptions {
        data: args.folder.data,
        nodes: NonZeroU16::new(args.nodes).unwrap_or(NonZeroU16::MIN),
        listen: args.listen,
        store: args.store,
        nats: args.nats,
        nats_server: args.nats_server,
        slots: args.slots,
    };
    cluster::up(options, &TerminalObserver { ctx }).await
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
        node: nodes.iter().find(|node| node.facts.id.as_str() == process.name).cloned(),
    };
    let rows: Vec<_> = state.processes.iter().map(row).collect();
    ctx.out.show(&rows, |out, rows| {
        let mut table = Table::new(&["PROCESS", "STATE", ">SLOTS", "URL", ">PID", ">RESTARTS"]);
        for Row { process, node } in rows {
            let alive = if process.pid.is_some() { "running" } else { "down" };
            table.row([
                process.name.clone(),
                node.as_ref().filter(|_| process.pid.is_some()).map_or(alive.to_owned(), |node| node.state.clone()),
                node.as_ref().map_or_else(|| "-".to_owned(), |node| node.facts.cpu_slots.to_string()),
                process.url.clone().unwrap_or_else(|| "-".to_owned()),
                process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                process.restarts.to_string(),
            ]);
        }
        out.table(&table)
    })
}

/// An observer that writes to the terminal.
struct TerminalObserver<'a> {
    ctx: &'a Ctx<'a>,
}

impl SupervisorObserver for TerminalObserver<'_> {
    type Error = Failure;

    fn up(&self, folder: &Path, state: &State, nodes: &[Node]) -> Result<(), Failure> {
        show(self.ctx, state, nodes)?;
        self.ctx.note(format!(
            "up; try `fabric nodes --server-data {}`, or set FABRIC_DATA to that folder; stop with Ctrl-C",
            folder.display()
        ));
        Ok(())
    }

    fn note(&self, text: String) {
        self.ctx.note(text);
    }
}
