//! `fabric functions`: lists, shows and deletes functions.

use super::Ctx;
use crate::{failure::Failure, table::Table, times};
use fabric_client::{FunctionFilter, Paging};
use fabric_types::{function::AliasTarget, id::FunctionName};

/// Flags of `fabric functions`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List functions (what the bare command does)
    List(List),
    /// Show one function
    Show {
        /// The function
        name: FunctionName,
    },
    /// Delete a function with its versions and aliases; its jobs keep running
    Delete {
        /// The function
        name: FunctionName,
    },
}

#[derive(Debug, Clone, Default, clap::Args)]
struct List {
    /// Only those with these words in name or description
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
}

/// Does what was asked.
pub async fn run(args: Args, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    match args.command.unwrap_or(Sub::List(args.list)) {
        Sub::List(list) => {
            let page = Paging::collect(list.limit, async |paging| {
                client.functions(&FunctionFilter { q: list.q.clone(), tag: list.tag.clone(), paging }).await
            })
            .await?;
            ctx.out.show(&page, |out, page| {
                let mut table = Table::new(&["NAME", "KIND", "LIVE", ">LATEST", "UPDATED", "DESCRIPTION"]);
                for f in &page.items {
                    let updated = times::ago(f.updated_ms, times::now_ms());
                    table.row([
                        f.name.as_str(),
                        &f.entry.kind.to_string(),
                        &targets(&f.live),
                        &f.latest.to_string(),
                        &updated,
                        &f.description,
                    ]);
                }
                out.table(&table)
            })?;
            ctx.note_more(page.next.as_ref());
            Ok(())
        }
        Sub::Show { name } => {
            let f = client.function(name.as_str()).await?;
            ctx.out.show(&f, |out, f| {
                out.line(format!("name         {}", f.name))?;
                out.line(format!("description  {}", f.description))?;
                out.line(format!("tags         {}", f.tags.join(", ")))?;
                let exports: Vec<_> =
                    [("handler", f.entry.handler), ("mapper", f.entry.mapper), ("reducer", f.entry.reducer)]
                        .iter()
                        .filter_map(|(name, there)| there.then_some(*name))
                        .collect();
                out.line(format!("kind         {} {}", f.entry.kind, exports.join(", ")))?;
                out.line(format!("public       {}", f.public))?;
                out.line(format!("live         {}", targets(&f.live)))?;
                out.line(format!("latest       {}", f.latest))?;
                out.line(format!("updated      {}", times::stamp(f.updated_ms)))
            })
        }
        Sub::Delete { name } => {
            client.delete_function(name.as_str()).await?;
            ctx.note(format!("deleted {name}"));
            Ok(())
        }
    }
}

/// `3`, or `3:90 4:10` where calls are divided.
pub fn targets(targets: &[AliasTarget]) -> String {
    match targets {
        [one] => one.version.to_string(),
        many => many.iter().map(|t| format!("{}:{}", t.version, t.weight)).collect::<Vec<_>>().join(" "),
    }
}
