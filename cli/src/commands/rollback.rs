//! `fabric rollback`: points `live` at an older version.

use super::{Ctx, functions::targets};
use crate::{complete, failure::Failure};
use fabric_types::id::FunctionName;

/// Flags of `fabric rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The function
    #[arg(add = complete::functions())]
    pub function: FunctionName,
    /// The version [default: the one that was live before]
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
    pub to: Option<u32>,
}

/// Runs `fabric rollback`.
pub async fn run(args: &RollbackArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let alias = ctx.client()?.rollback(args.function.as_str(), args.to).await?;
    ctx.out.show(&alias, |out, alias| out.line(format!("{}:{} {}", args.function, alias.name, targets(&alias.targets))))
}
