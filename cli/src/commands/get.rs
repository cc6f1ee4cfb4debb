//! `fabric get`: fetches an object.

use super::Ctx;
use crate::{failure::Failure, progress};
use fabric_client::{Download, GetOptions};
use fabric_types::units::ByteSize;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;

/// Flags of `fabric get`.
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// The object
    #[arg(value_name = "PATH")]
    pub path: String,
    /// File or folder to write to [default: standard output]
    #[arg(value_name = "FILE|-")]
    pub file: Option<PathBuf>,
    /// Only these bytes, as FROM-TO or FROM-
    #[arg(long, value_name = "FROM-TO", value_parser = parse_range)]
    pub range: Option<(u64, Option<u64>)>,
    /// Resume an interrupted download of the same object
    #[arg(long, requires = "file", conflicts_with = "range")]
    pub resume: bool,
}

fn parse_range(text: &str) -> Result<(u64, Option<u64>), String> {
    let bad = || format!("`{text}` is not a range: write 0-1023 or 1024-");
    let (from, to) = text.split_once('-').ok_or_else(bad)?;
    let from = from.parse().map_err(|_| bad())?;
    if to.is_empty() {
        return Ok((from, None));
    }
    let to: u64 = to.parse().map_err(|_| bad())?;
    if to < from { Err(bad()) } else { Ok((from, Some(to - from + 1))) }
}

/// Runs `fabric get`.
pub async fn run(args: &GetArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let (from, len) = args.range.unwrap_or((0, None));
    let options = GetOptions { from, len, ..GetOptions::default() };
    let Some(file) = args.file.as_deref().filter(|f| f.as_os_str() != "-") else {
        return ctx.out.body(client.get(&args.path, &options).await?).await.map(drop);
    };
    let file =
        if file.is_dir() { file.join(args.path.rsplit('/').next().unwrap_or("object")) } else { file.to_owned() };
    if args.resume
        && let Ok(meta) = std::fs::metadata(&file)
    {
        return resume(&client, args, &file, meta.len(), ctx).await;
    }
    let body = client.get(&args.path, &options).await?;
    let bar = progress::transfer(ctx.out, ctx.global.quiet, body.len().unwrap_or_default(), &args.path);
    let counter = bar.clone();
    let bytes = save_with(body, &file, move |n| counter.inc(n)).await?;
    bar.finish_and_clear();
    ctx.note(format!("wrote {} to {}", ByteSize(bytes), file.display()));
    Ok(())
}

/// Fetches the missing bytes and appends them.
async fn resume(
    client: &fabric_client::Client,
    args: &GetArgs,
    file: &Path,
    have: u64,
    ctx: &Ctx<'_>,
) -> Result<(), Failure> {
    let stored = client
        .head(&args.path)
        .await?
        .ok_or_else(|| Failure::coded(fabric_types::Code::NotFound, format!("no object `{}`", args.path)))?;
    if have > stored.size {
        return Err(Failure::local("conflict", format!("{} is longer than the object", file.display())));
    }
    if have == stored.size {
        ctx.note(format!("{} is complete", file.display()));
        return Ok(());
    }
    // The object must not change between the two requests.
    let options = GetOptions { from: have, if_match: Some(stored.etag), ..GetOptions::default() };
    let body = client.get(&args.path, &options).await?;
    if have > 0 && body.range_start() != Some(have) {
        return Err(Failure::local("range-not-satisfiable", "the server sent a different range than requested"));
    }
    let failed = |e| Failure::io(file.display(), e);
    let mut writer = tokio::fs::OpenOptions::new().append(true).open(file).await.map_err(failed)?;
    let bytes = body.copy_to(&mut writer, |_| {}).await?;
    writer.sync_all().await.map_err(failed)?;
    ctx.note(format!("wrote {} more to {}", ByteSize(bytes), file.display()));
    Ok(())
}

/// Writes a body to a file. A regular file is replaced atomically.
pub async fn save(body: Download, file: &Path) -> Result<u64, Failure> {
    save_with(body, file, |_| {}).await
}

async fn save_with(body: Download, file: &Path, seen: impl FnMut(u64)) -> Result<u64, Failure> {
    let failed = |e| Failure::io(file.display(), e);
    // A device or a pipe is written in place, because it can't be replaced.
    if std::fs::metadata(file).is_ok_and(|m| !m.is_file()) {
        let mut writer = tokio::fs::OpenOptions::new().write(true).open(file).await.map_err(failed)?;
        return Ok(body.copy_to(&mut writer, seen).await?);
    }
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let temporary = tempfile::Builder::new().prefix(".fabric-").tempfile_in(folder).map_err(failed)?;
    let mut writer = tokio::fs::File::from_std(temporary.reopen().map_err(failed)?);
    let bytes = body.copy_to(&mut writer, seen).await?;
    writer.shutdown().await.map_err(failed)?;
    // A temporary file is private; the final one has the mode of the file that it replaces, or 0644.
    #[cfg(unix)]
    if let Ok(meta) = std::fs::metadata(file) {
        let _ = std::fs::set_permissions(temporary.path(), meta.permissions());
    } else {
        use std::os::unix::fs::PermissionsExt as _;
        let _ = std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o644));
    }
    temporary.persist(file).map_err(|e| failed(e.error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read() {
        assert_eq!(parse_range("0-9"), Ok((0, Some(10))));
        assert_eq!(parse_range("5-"), Ok((5, None)));
        for bad in ["", "-", "9-1", "a-b", "5"] {
            assert!(parse_range(bad).is_err(), "{bad}");
        }
    }
}
