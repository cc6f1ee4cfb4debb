//! `fabric gc`: removes data whose retention has expired.

use super::Ctx;
use crate::{failure::Failure, table::Table};
use fabric_types::units::ByteSize;

/// Flags of `fabric gc`.
#[derive(Debug, clap::Args)]
pub struct GcArgs {
    /// Only count what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the garbage collection and shows the removed data.
pub async fn run(args: &GcArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let swept = ctx.client()?.sweep(args.dry_run).await?;
    ctx.out.show(&swept, |out, swept| {
        let title = if swept.dry_run { ">TO REMOVE" } else { ">REMOVED" };
        let mut table = Table::new(&["KIND", title, ">BYTES"]);
        for (kind, removed) in swept.kinds() {
            table.row([kind.to_owned(), removed.count.to_string(), ByteSize(removed.bytes).to_string()]);
        }
        out.table(&table)
    })
}
