//! `fabric version`: shows this binary's version, and with `--server` the caller's identity.

use super::Ctx;
use crate::failure::Failure;

/// Flags of `fabric version`.
#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    /// Also connect to the server and show your identity
    #[arg(long)]
    pub server: bool,
}

/// Runs `fabric version`.
pub async fn run(args: &VersionArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if !args.server {
        return if ctx.out.json {
            ctx.out.json(&serde_json::json!({ "version": version }))
        } else {
            ctx.out.line(format!("fabric {version}"))
        };
    }
    let client = ctx.client()?;
    let who = client.whoami().await?;
    if ctx.out.json {
        return ctx.out.json(&serde_json::json!({ "version": version, "url": client.url(), "identity": who }));
    }
    ctx.out.line(format!("fabric {version}"))?;
    ctx.out.line(format!("server {}, as {} in tenant {}", client.url(), who.name, who.tenant))
}
