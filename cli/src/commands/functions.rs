//! `fabric functions`: lists, shows and deletes functions.

use super::Ctx;
use crate::{confirm::Confirm, failure::Failure, table::Table, text::one_line, times};
use fabric_client::{FunctionQuery, PageOptions};
use fabric_types::{function::AliasTarget, id::FunctionName, units::ByteSize};

/// Flags of `fabric functions`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct FunctionsArgs {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List functions (the default)
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
        #[command(flatten)]
        confirm: Confirm,
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
    /// Maximum number to list
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
}

/// Runs `fabric functions`.
pub async fn run(args: FunctionsArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    match args.command.unwrap_or(Sub::List(args.list)) {
        Sub::List(list) => {
            let filter = FunctionQuery { q: list.q, tag: list.tag, ..FunctionQuery::default() };
            let page =
                PageOptions::collect(list.limit, async |paging| client.functions(&filter.clone().page(paging)).await)
                    .await?;
            ctx.out.show(&page, |out, page| {
                let mut table = Table::new(&["NAME", "KIND", "LIVE", ">LATEST", "UPDATED", "DESCRIPTION"]);
                for f in &page.items {
                    let updated = times::format_age(f.updated_ms, times::now_ms());
                    table.row([
                        f.name.as_str(),
                        &f.entry.kind.to_string(),
                        &targets(&f.live),
                        &f.latest.to_string(),
                        &updated,
                        &brief(&f.description),
                    ]);
                }
                out.table(&table)
            })?;
            ctx.note_more(page.next.as_ref());
            Ok(())
        }
        Sub::Show { name } => {
            let f = client.function(name.as_str()).await?;
            if ctx.out.json {
                return ctx.out.json(&f);
            }
            // The manifest of the version that a call reaches has the parameters, limits and grants.
            let version = f.live.first().map_or(f.latest, |t| t.version);
            let deployment = client.version(name.as_str(), version).await?;
            ctx.out.show(&f, |out, f| {
                out.line(format!("name         {}", f.name))?;
                out.line(format!("description  {}", one_line(&f.description)))?;
                if !f.tags.is_empty() {
                    out.line(format!("tags         {}", one_line(&f.tags.join(", "))))?;
                }
                let exports: Vec<_> =
                    [("handler", f.entry.handler), ("mapper", f.entry.mapper), ("reducer", f.entry.reducer)]
                        .iter()
                        .filter_map(|(name, there)| there.then_some(*name))
                        .collect();
                out.line(format!("kind         {} {}", f.entry.kind, exports.join(", ")))?;
                out.line(format!("public       {}", f.public))?;
                out.line(format!("live         {}", targets(&f.live)))?;
                out.line(format!("latest       {}", f.latest))?;
                out.line(format!("updated      {}", times::format_timestamp(f.updated_ms)))?;
                out.line(format!("results      {}", if deployment.is_pure() { "pure, cached" } else { "not cached" }))?;
                out.line(format!("module       {} ({})", deployment.module, ByteSize(deployment.module_bytes)))?;
                let pretty =
                    |value: serde_json::Result<String>| value.map_err(|e| Failure::local("internal", e.to_string()));
                let manifest = &deployment.manifest;
                out.line(format!("limits       {}", pretty(serde_json::to_string(&manifest.limits))?))?;
                out.line(format!("grants       {}", pretty(serde_json::to_string(&manifest.grants))?))?;
                match &manifest.params {
                    Some(schema) => out.line(format!("parameters   {}", pretty(serde_json::to_string_pretty(schema))?)),
                    None => Ok(()),
                }
            })
        }
        Sub::Delete { name, confirm } => {
            confirm.ask(&format!("delete {name} with its versions and aliases"))?;
            client.delete_function(name.as_str()).await?;
            ctx.note(format!("deleted {name}"));
            Ok(())
        }
    }
}

/// Shortens a description for a table: its first sentence, at most 60 characters.
fn brief(description: &str) -> String {
    let line = one_line(description);
    let sentence = line.split_once(". ").map_or(line.as_str(), |(first, _)| first);
    let short: String = sentence.chars().take(60).collect();
    if short.len() == line.len() { line } else { format!("{}…", short.trim_end_matches(['.', ' '])) }
}

/// Formats targets as `3`, as `3:90 4:10` if calls are divided, or as `-` if there are none.
pub fn targets(targets: &[AliasTarget]) -> String {
    match targets {
        [] => "-".to_owned(),
        [one] => one.version.to_string(),
        many => many.iter().map(|t| format!("{}:{}", t.version, t.weight)).collect::<Vec<_>>().join(" "),
    }
}
