//! `fabric alias`: shows, sets and deletes a function's aliases.

use super::{Ctx, functions::targets};
use crate::{complete, failure::Failure, table::Table, times};
use fabric_api::function::SetAlias;
use fabric_types::{
    function::AliasTarget,
    id::{AliasName, FunctionName},
};
use std::collections::BTreeMap;

/// Flags of `fabric alias`.
#[derive(Debug, clap::Args)]
pub struct AliasArgs {
    /// The function
    #[arg(add = complete::functions())]
    pub function: FunctionName,
    /// Versions for aliases to point at; a name given twice divides the calls by weight [default: show the aliases]
    #[arg(value_name = "NAME=VERSION[:WEIGHT]", value_parser = parse)]
    pub set: Vec<(AliasName, AliasTarget)>,
    /// Delete an alias
    #[arg(long, value_name = "NAME", conflicts_with = "set")]
    pub delete: Option<AliasName>,
}

fn parse(text: &str) -> Result<(AliasName, AliasTarget), String> {
    let bad = || format!("`{text}`: write NAME=VERSION or NAME=VERSION:WEIGHT (weight 1 to 1000)");
    let (name, target) = text.split_once('=').ok_or_else(bad)?;
    let (version, weight) = target.split_once(':').unwrap_or((target, "100"));
    let version = version.trim_start_matches('v').parse().ok().filter(|v| *v > 0).ok_or_else(bad)?;
    let weight = weight.parse().ok().filter(|w| (1..=1000).contains(w)).ok_or_else(bad)?;
    Ok((AliasName::new(name).map_err(|e| e.to_string())?, AliasTarget { version, weight }))
}

/// Runs `fabric alias`.
pub async fn run(args: &AliasArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let function = args.function.as_str();
    if let Some(name) = &args.delete {
        client.delete_alias(function, name.as_str()).await?;
        ctx.note(format!("deleted {function}:{name}"));
        return Ok(());
    }
    let mut wanted: BTreeMap<&AliasName, Vec<AliasTarget>> = BTreeMap::new();
    for (name, target) in &args.set {
        wanted.entry(name).or_default().push(target.clone());
    }
    let mut aliases = Vec::new();
    for (name, targets) in wanted {
        aliases.push(client.set_alias(function, name.as_str(), &SetAlias { targets }).await?);
    }
    if args.set.is_empty() {
        aliases = client.aliases(function).await?.items;
    }
    ctx.out.show(&aliases, |out, aliases| {
        let mut table = Table::new(&["ALIAS", "VERSIONS", "CHANGED"]);
        for a in aliases {
            table.row([a.name.to_string(), targets(&a.targets), times::format_age(a.updated_ms, times::now_ms())]);
        }
        out.table(&table)
    })
}
