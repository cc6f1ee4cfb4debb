//! `fabric explain`: where a function would run, and why.

use super::Ctx;
use crate::{failure::Failure, table::Table};
use fabric_types::function::FunctionRef;

/// Flags of `fabric explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The function, as NAME, NAME@VERSION or NAME:ALIAS
    pub function: FunctionRef,
}

/// Explains it.
pub async fn run(args: &Args, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let explanation = ctx.client()?.explain(&args.function.to_string()).await?;
    ctx.out.show(&explanation, |out, e| {
        let mut table = Table::new(&["NODE", ">TOTAL", "STEP", "OUTCOME", "WHY"]);
        for n in &e.nodes {
            let total = n.total.map_or_else(|| "-".to_owned(), |t| format!("{t:.1}"));
            for f in &n.filters {
                let outcome = if f.passed { "passes" } else { "refuses" };
                table.row([n.node.as_str(), &total, &f.filter, outcome, &f.reason]);
            }
            for s in &n.scores {
                let outcome = format!("{:.1}", s.value);
                table.row([n.node.as_str(), &total, &s.name, &outcome, &format!("weight {}", s.weight)]);
            }
        }
        out.table(&table)?;
        out.line(&e.remark)
    })
}
