//! `fabric ls`: lists objects.

use super::Ctx;
use crate::{failure::Failure, table::Table, times};
use fabric_client::{ObjectQuery, PageOptions};
use fabric_types::units::ByteSize;

/// Flags of `fabric ls`.
#[derive(Debug, clap::Args)]
pub struct LsArgs {
    /// Prefix of the paths to list [default: all]
    #[arg(default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// All levels, not only the first one below the prefix
    #[arg(long, short)]
    pub recursive: bool,
    /// Maximum number to list
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub limit: usize,
}

/// Runs `fabric ls`.
pub async fn run(args: &LsArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let filter = ObjectQuery::below(args.prefix.clone());
    let filter = if args.recursive { filter } else { filter.one_level() };
    let page =
        PageOptions::collect(args.limit, async |paging| client.objects(&filter.clone().page(paging)).await).await?;
    ctx.out.show(&page, |out, page| {
        let mut table = Table::new(&[">SIZE", "MODIFIED", "PATH"]);
        for o in &page.items {
            if o.path.ends_with('/') {
                table.row(["-", "-", &o.path]);
            } else {
                table.row([&ByteSize(o.size).to_string(), &times::format_age(o.modified_ms, times::now_ms()), &o.path]);
            }
        }
        out.table(&table)
    })?;
    ctx.note_more(page.next.as_ref());
    Ok(())
}
