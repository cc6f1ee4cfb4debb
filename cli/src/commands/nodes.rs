//! `fabric nodes`: lists, cordons, drains and uncordons nodes.

use super::Ctx;
use crate::{failure::Failure, table::Table, times};
use fabric_client::{Client, NodeModeRequest, PageOptions};
use fabric_types::{
    Code,
    id::NodeId,
    label,
    rest::{Page, node::Node},
    units::ByteSize,
};
use std::time::{Duration, Instant};

/// Interval between the requests of `--wait`.
const LOOK: Duration = Duration::from_millis(500);

/// Time for calls after the deadline of a drain, which stops only tasks.
const CALLS: Duration = Duration::from_secs(60);

/// Flags of `fabric nodes`.
#[derive(Debug, clap::Args)]
pub struct NodesArgs {
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List the nodes (the default)
    List,
    /// Give a node no new work; running work continues
    Cordon(NodeArg),
    /// Give a node no new work because it is about to leave; the next process with its name accepts work again
    Drain {
        #[command(flatten)]
        target: NodeArg,
        /// Wait until nothing runs on the node
        #[arg(long)]
        wait: bool,
        /// Time for running tasks, such as 10m; then they are stopped and run elsewhere
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = fabric_types::duration::parse)]
        deadline: Duration,
    },
    /// Give a node work again
    Uncordon(NodeArg),
}

#[derive(Debug, clap::Args)]
struct NodeArg {
    /// The node
    node: NodeId,
}

async fn all(client: &Client) -> Result<Page<Node>, Failure> {
    Ok(PageOptions::collect(10_000, async |paging| client.nodes(&paging).await).await?)
}

/// Runs `fabric nodes`.
pub async fn run(args: &NodesArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let node = match args.command.as_ref().unwrap_or(&Sub::List) {
        Sub::List => return ctx.out.show(&all(&client).await?, |out, page| out.table(&table(page))),
        Sub::Cordon(target) => client.set_node_mode(&target.node, NodeModeRequest::Cordon).await?,
        Sub::Uncordon(target) => client.set_node_mode(&target.node, NodeModeRequest::Uncordon).await?,
        Sub::Drain { target, wait, deadline } => {
            let begun = client.drain(&target.node, Some(*deadline)).await?;
            if *wait { drained(&client, begun, Instant::now() + *deadline + CALLS).await? } else { begun }
        }
    };
    ctx.out.show(&node, |out, node| out.line(format!("{} {}", node.facts.id, node.state)))
}

/// Waits until nothing runs on the node or it has left. Fails after `late`.
async fn drained(client: &Client, mut node: Node, late: Instant) -> Result<Node, Failure> {
    while node.state == "draining" {
        if Instant::now() > late {
            return Err(Failure::coded(
                Code::Conflict,
                format!("node {} still runs {} guests after the time for draining", node.facts.id, node.facts.running),
            )
            .hint(
                "these are calls whose callers wait; they end at their functions' deadlines, or when the process stops",
            ));
        }
        tokio::time::sleep(LOOK).await;
        let page = all(client).await?;
        let Some(now) = page.items.into_iter().find(|n| n.facts.id == node.facts.id) else {
            node.state = "gone".to_owned();
            break;
        };
        node = now;
    }
    if matches!(node.state.as_str(), "drained" | "gone") {
        return Ok(node);
    }
    Err(Failure::coded(Code::Conflict, format!("node {} is {} before it was drained", node.facts.id, node.state))
        .hint("another user uncordoned it, or it sends no heartbeats: see `fabric nodes`"))
}

/// Describes the GPU that guests can use, else the GPUs of the machine.
fn gpu(node: &Node) -> String {
    match (&node.facts.gpu, node.facts.gpus) {
        (Some(gpu), 0 | 1) => format!("{} ({}, {})", gpu.name, gpu.kind, gpu.serves),
        (Some(gpu), n) => format!("1 of {n}: {} ({}, {})", gpu.name, gpu.kind, gpu.serves),
        (None, 0) => "-".to_owned(),
        (None, n) => format!("{n} {}, not for guests", node.facts.gpu_model.as_deref().unwrap_or("GPUs")),
    }
}

fn table(page: &Page<Node>) -> Table {
    let mut table = Table::new(&[
        "NODE", "STATE", ">RUNNING", ">QUEUED", ">MEMORY", "GPU", ">SPEED", ">MODULES", "LABELS", "VERSION", "SEEN",
    ]);
    for n in &page.items {
        table.row([
            n.facts.id.to_string(),
            n.state.clone(),
            format!("{}/{}", n.facts.running, n.facts.cpu_slots),
            n.facts.queued.to_string(),
            format!("{}/{}", ByteSize(n.facts.used_bytes), ByteSize(n.facts.memory_bytes)),
            gpu(n),
            format!("{:.2}", n.facts.speed),
            n.facts.modules.to_string(),
            label::show(&n.facts.labels),
            n.facts.version.clone(),
            times::format_age(n.facts.seen_ms, times::now_ms()),
        ]);
    }
    table
}
