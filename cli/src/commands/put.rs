//! `fabric put`: stores files.

use super::Ctx;
use crate::{
    failure::Failure,
    local_input::{name, walk},
    progress,
};
use fabric_client::{Client, Upload, UploadOptions};
use fabric_types::{object_path::ObjectPath, rest::object::ObjectInfo};
use futures::{StreamExt as _, TryStreamExt as _};
use std::path::{Path, PathBuf};

/// Maximum number of concurrent uploads.
const AT_ONCE: usize = 4;

/// Flags of `fabric put`.
#[derive(Debug, clap::Args)]
pub struct PutArgs {
    /// A file, a folder, or - for standard input
    #[arg(value_name = "FILE|-", allow_hyphen_values = true)]
    pub source: String,
    /// Path to store it at; a path that ends in / is a prefix for the file's name or the folder's files
    #[arg(value_name = "PATH")]
    pub path: String,
    /// Fail if the path already has an object
    #[arg(long)]
    pub create: bool,
    /// Media type of the object
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
}

/// Stores files and writes their paths.
pub async fn run(args: &PutArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let options =
        UploadOptions { create: args.create, content_type: args.content_type.clone(), ..UploadOptions::default() };
    if args.source == "-" {
        if args.path.ends_with('/') {
            return Err(Failure::usage("standard input has no name: give the whole path"));
        }
        let stored = client.put(&args.path, Upload::reader(tokio::io::stdin(), None), &options).await?;
        return show(&stored, ctx);
    }
    let source = Path::new(&args.source);
    let meta = std::fs::metadata(source).map_err(|e| Failure::io(source.display(), e))?;
    if !meta.is_dir() {
        let path = if args.path.ends_with('/') { format!("{}{}", args.path, name(source)?) } else { args.path.clone() };
        return show(&one(&client, source, &path, &options, ctx).await?, ctx);
    }
    let prefix = format!("{}/", args.path.strip_suffix('/').unwrap_or(&args.path));
    let work: Vec<(PathBuf, String)> =
        walk(source)?.into_iter().map(|f| (f.path, format!("{prefix}{}", f.name))).collect();
    // Checks all paths before the first upload, so that an invalid one stores nothing.
    for (_, path) in &work {
        ObjectPath::new(path).map_err(fabric_types::Fault::from)?;
    }
    futures::stream::iter(work)
        .map(|(file, path)| {
            let (client, options) = (&client, &options);
            async move { one(client, &file, &path, options, ctx).await }
        })
        .buffered(AT_ONCE)
        .try_for_each(|stored| async move { show(&stored, ctx) })
        .await
}

async fn one(
    client: &Client,
    file: &Path,
    path: &str,
    options: &UploadOptions,
    ctx: &Ctx<'_>,
) -> Result<ObjectInfo, Failure> {
    let size = std::fs::metadata(file).map_err(|e| Failure::io(file.display(), e))?.len();
    let bar = progress::transfer(ctx.out, ctx.global.quiet, size, path);
    let counter = bar.clone();
    let body = Upload::file(file).await?.on_progress(move |n| counter.inc(n));
    let stored = client.put(path, body, options).await;
    bar.finish_and_clear();
    Ok(stored?)
}

fn show(stored: &ObjectInfo, ctx: &Ctx<'_>) -> Result<(), Failure> {
    ctx.out.show(stored, |out, stored| out.line(&stored.path))
}
