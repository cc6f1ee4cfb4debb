//! `fabric usage`: shows the tenant's usage.

use super::Ctx;
use crate::{failure::Failure, number::grouped, table::Table, times};
use fabric_types::{price, rest::node::UsageLine, units::ByteSize};

/// Flags of `fabric usage`.
#[derive(Debug, clap::Args)]
pub struct UsageArgs {
    /// Only from this UTC day on: 7d (ago), 2026-11-01, or a full time. Days more than two months ago count as the
    /// first of their month
    #[arg(long, value_name = "WHEN", value_parser = times::moment)]
    pub since: Option<times::Moment>,
    /// Only up to this UTC day, that day included
    #[arg(long, value_name = "WHEN", value_parser = times::moment)]
    pub until: Option<times::Moment>,
}

/// Runs `fabric usage`.
pub async fn run(args: &UsageArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let ms = |moment: Option<times::Moment>| moment.map(|moment| moment.ms(times::now_ms()));
    let usage = ctx.client()?.usage(ms(args.since), ms(args.until)).await?;
    ctx.out.show(&usage, |out, usage| {
        let mut columns = vec![
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
        ];
        columns.extend(usage.prices.as_ref().map(|_| ">PRICE"));
        let mut table = Table::new(&columns);
        let mut row = |name: &str, u: &UsageLine| {
            let mut cells = vec![
                name.to_owned(),
                grouped(u.invocations),
                grouped(u.failed),
                grouped(u.cancelled),
                grouped(u.cached),
                grouped(u.cost.fuel),
                times::format_duration(u.cost.wall_us / 1000),
                times::format_duration(u.cost.gpu_us.div_ceil(1000)),
                ByteSize(u.cost.bytes_in).to_string(),
                ByteSize(u.cost.bytes_out).to_string(),
            ];
            cells.extend(usage.prices.as_ref().map(|p| price::text(u.price.unwrap_or(0.0), &p.currency)));
            table.row(cells);
        };
        for u in &usage.functions {
            row(u.function.as_ref().map_or("-", |f| f.as_str()), u);
        }
        row("TOTAL", &usage.total);
        out.table(&table)?;
        if usage.since_ms.is_some() || usage.until_ms.is_some() {
            let since = usage.since_ms.map_or_else(|| "the beginning".to_owned(), times::format_timestamp);
            let until = usage.until_ms.map_or_else(|| "now".to_owned(), times::format_timestamp);
            out.line(format!("from {since} to {until}\n"))?;
        }
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
