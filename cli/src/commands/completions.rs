//! `fabric completions`: a shell's completion script.

use super::Ctx;
use crate::{complete, failure::Failure};
use clap_complete::env::Shells;

/// Flags of `fabric completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    pub shell: String,
}

/// Writes the script. It queries this binary for candidates, and so completes the names of functions too.
pub fn run(args: &CompletionsArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let shells = Shells::builtins();
    let shell = shells
        .completer(&args.shell)
        .ok_or_else(|| Failure::usage(format!("there is no completion for {}", args.shell)))?;
    let mut script = Vec::new();
    shell
        .write_registration(complete::VARIABLE, "fabric", "fabric", "fabric", &mut script)
        .map_err(|e| Failure::io("the completion script", e))?;
    ctx.out.raw(script)
}
