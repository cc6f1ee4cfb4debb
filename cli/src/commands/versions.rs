//! `fabric versions`: lists a function's versions, and deletes one.

use super::{Ctx, functions::targets};
use crate::{complete, confirm::Confirm, failure::Failure, table::Table, times};
use fabric_client::PageOptions;
use fabric_types::{id::FunctionName, units::ByteSize};

/// Maximum number of versions that are read.
const MOST: usize = 100_000;

/// Flags of `fabric versions`.
#[derive(Debug, clap::Args)]
pub struct VersionsArgs {
    /// The function
    #[arg(add = complete::functions())]
    pub function: FunctionName,
    /// Maximum number to list
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: usize,
    /// Delete a version that no alias points at
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
    pub delete: Option<u32>,
    #[command(flatten)]
    pub confirm: Confirm,
}

/// Lists versions, or deletes one.
pub async fn run(args: &VersionsArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let name = args.function.as_str();
    if let Some(version) = args.delete {
        args.confirm.ask(&format!("delete {name}@{version}"))?;
        client.delete_version(name, version).await?;
        ctx.note(format!("deleted {name}@{version}"));
        return Ok(());
    }
    // The server lists the oldest first; this command shows the newest first.
    let mut page = PageOptions::collect(MOST, async |paging| client.versions(name, &paging).await).await?;
    page.items.reverse();
    let is_cut = page.items.len() > args.limit || page.next.is_some();
    page.items.truncate(args.limit);
    page.next = None;
    if ctx.out.json {
        ctx.out.json(&page)?;
    } else {
        let aliases = client.aliases(name).await?.items;
        let mut table = Table::new(&[">VERSION", "KIND", "MODULE", ">SIZE", "ALIASES", "DEPLOYED", "NOTE"]);
        for v in &page.items {
            let names: Vec<_> = aliases
                .iter()
                .filter(|a| a.targets.iter().any(|t| t.version == v.version))
                .map(|a| {
                    if a.targets.len() > 1 {
                        format!("{}({})", a.name, targets(&a.targets))
                    } else {
                        a.name.to_string()
                    }
                })
                .collect();
            let digest: String = v.module.hex().chars().take(12).collect();
            table.row([
                v.version.to_string(),
                v.entry.kind.to_string(),
                digest,
                ByteSize(v.module_bytes).to_string(),
                names.join(" "),
                times::format_age(v.created_ms, times::now_ms()),
                v.note.clone(),
            ]);
        }
        ctx.out.table(&table)?;
    }
    if is_cut {
        ctx.note("there are older ones: raise --limit");
    }
    Ok(())
}
