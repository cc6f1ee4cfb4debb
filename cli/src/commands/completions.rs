//! `fabric completions`: a shell's completion script.

use super::Ctx;
use crate::{args::Cli, failure::Failure};
use clap::CommandFactory as _;

/// Flags of `fabric completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Writes it.
pub fn run(args: &Args, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fabric", &mut script);
    ctx.out.raw(script)
}
