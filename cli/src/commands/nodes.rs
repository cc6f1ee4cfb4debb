//! `fabric nodes`: lists the nodes.

use super::Ctx;
use crate::{failure::Failure, table::Table, times};
use fabric_client::Paging;
use fabric_types::units::ByteSize;

/// Flags of `fabric nodes`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Lists them.
pub async fn run(_args: &Args, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let page = Paging::collect(10_000, async |paging| client.nodes(&paging).await).await?;
    ctx.out.show(&page, |out, page| {
        let mut table = Table::new(&["NODE", "STATE", ">RUNNING", ">QUEUED", ">MEMORY", ">MODULES", "VERSION", "SEEN"]);
        for n in &page.items {
            table.row([
                n.id.to_string(),
                n.state.clone(),
                format!("{}/{}", n.running, n.cpu_slots),
                n.queued.to_string(),
                format!("{}/{}", ByteSize(n.used_bytes), ByteSize(n.memory_bytes)),
                n.modules.to_string(),
                n.version.clone(),
                times::ago(n.seen_ms, times::now_ms()),
            ]);
        }
        out.table(&table)
    })
}
