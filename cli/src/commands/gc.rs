//! `fabric gc`: removes what was kept long enough now.

use super::Ctx;
use crate::{failure::Failure, table::Table};
use fabric_types::units::ByteSize;

/// Flags of `fabric gc`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only count what would be removed
    #[arg(long)]
    pub dry_run: bool,
}

/// Sweeps and shows what was removed.
pub async fn run(args: &Args, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let swept = ctx.client()?.sweep(args.dry_run).await?;
    ctx.out.show(&swept, |out, swept| {
        let title = if swept.dry_run { ">WOULD GO" } else { ">REMOVED" };
        let mut table = Table::new(&["KIND", title, ">BYTES"]);
        for (kind, removed) in swept.kinds() {
            table.row([kind.to_owned(), removed.count.to_string(), ByteSize(removed.bytes).to_string()]);
        }
        out.table(&table)
    })
}
