//! `fabric rm`: deletes objects.

use super::Ctx;
use crate::{confirm::Confirm, failure::Failure};
use fabric_client::{ObjectQuery, PageOptions};

/// Flags of `fabric rm`.
#[derive(Debug, clap::Args)]
pub struct RmArgs {
    /// The object, or with -r a prefix ending in /
    pub path: String,
    /// Delete everything under the prefix
    #[arg(long, short)]
    pub recursive: bool,
    /// Confirmation, with -r only
    #[command(flatten)]
    pub confirm: Confirm,
}

/// Runs `fabric rm`.
pub async fn run(args: &RmArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    if !args.recursive {
        if args.path.ends_with('/') {
            return Err(Failure::usage(format!("`{}` is a prefix", args.path)).hint("delete all under it with -r"));
        }
        client.delete_object(&args.path).await?;
        ctx.note(format!("deleted {}", args.path));
        return Ok(());
    }
    if !args.path.ends_with('/') {
        return Err(Failure::usage("with -r, give a prefix that ends in /, so that no other path is deleted"));
    }
    let listing = ObjectQuery::below(args.path.clone()).page(PageOptions::first(1000));
    let found = client.objects(&listing).await?;
    if found.items.is_empty() {
        ctx.note(format!("there is nothing under {}", args.path));
        return Ok(());
    }
    let more = if found.next.is_some() { " and more" } else { "" };
    args.confirm.ask(&format!("delete {} objects{more} under {}", found.items.len(), args.path))?;
    let mut deleted = 0_u64;
    loop {
        // Always the first page, because the objects of the previous one are deleted.
        let listing = ObjectQuery::below(args.path.clone()).page(PageOptions::first(1000));
        let page = client.objects(&listing).await?;
        if page.items.is_empty() {
            break;
        }
        for object in &page.items {
            match client.delete_object(&object.path).await {
                Ok(()) => deleted += 1,
                // Another client has deleted it.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    ctx.note(format!("deleted {deleted} objects"));
    Ok(())
}
