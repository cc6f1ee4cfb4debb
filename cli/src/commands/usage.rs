//! `fabric usage`: what the tenant has used.

use super::Ctx;
use crate::{failure::Failure, number::grouped, table::Table, times};
use fabric_types::{rest::node::UsageLine, units::ByteSize};

/// Flags of `fabric usage`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Shows it.
pub async fn run(_args: &Args, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let usage = ctx.client()?.usage().await?;
    ctx.out.show(&usage, |out, usage| {
        let mut table = Table::new(&[
            "FUNCTION",
            ">CALLS",
            ">FAILED",
            ">CANCELLED",
            ">CACHED",
            ">FUEL",
            ">GUEST TIME",
            ">GPU TIME",
            ">READ",
            ">WRITTEN",
        ]);
        let mut row = |name: &str, u: &UsageLine| {
            table.row([
                name,
                &grouped(u.invocations),
                &grouped(u.failed),
                &grouped(u.cancelled),
                &grouped(u.cached),
                &grouped(u.fuel),
                &times::length(u.guest_us / 1000),
                &times::length(u.gpu_us.div_ceil(1000)),
                &ByteSize(u.bytes_in).to_string(),
                &ByteSize(u.bytes_out).to_string(),
            ]);
        };
        for u in &usage.functions {
            row(u.function.as_ref().map_or("-", |f| f.as_str()), u);
        }
        row("TOTAL", &usage.total);
        out.table(&table)?;
        let mut kept = Table::new(&["ON DISK", ">BYTES"]);
        for line in &usage.storage.kinds {
            kept.row([line.kind.as_str(), &line.bytes.to_string()]);
        }
        let quota = usage.storage.quota_bytes.map_or_else(|| "no limit".to_owned(), |bytes| format!("of {bytes}"));
        kept.row(["WITHOUT LOGS", &format!("{} {quota}", usage.storage.used_bytes)]);
        out.table(&kept)?;
        out.line(format!("tenant {}, {} of objects", usage.tenant, ByteSize(usage.object_bytes)))
    })
}
