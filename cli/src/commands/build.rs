//! `fabric build`: runs the manifest's build command.

use super::Ctx;
use crate::{failure::Failure, project::Project};
use std::path::PathBuf;

/// Flags of `fabric build`.
#[derive(Debug, clap::Args)]
pub struct BuildArgs {
    /// The project's folder
    #[arg(default_value = ".")]
    pub path: PathBuf,
}

/// Builds the project and writes the module's path.
pub async fn run(args: &BuildArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let module = Project::open(&args.path)?.build(ctx.out, ctx.global.quiet).await?;
    let bytes = std::fs::metadata(&module).map_err(|e| Failure::io(module.display(), e))?.len();
    if ctx.out.json {
        return ctx.out.json(&serde_json::json!({ "module": module, "bytes": bytes }));
    }
    ctx.out.line(module.display().to_string())
}
