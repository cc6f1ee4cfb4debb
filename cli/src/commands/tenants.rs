//! `fabric tenants`: shows and sets the quotas of tenants, and shows their usage.

use super::Ctx;
use crate::{confirm::Confirm, failure::Failure, table::Table};
use fabric_client::PageOptions;
use fabric_types::{id::TenantId, quota::Quota, rest::tenant::Tenant, units::ByteSize};
use std::{str::FromStr, time::Duration};

/// Flags of `fabric tenants`.
#[derive(Debug, clap::Args)]
pub struct TenantsArgs {
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List tenants with a quota or with jobs (the default)
    List,
    /// Show one tenant
    Show {
        /// The tenant
        name: TenantId,
    },
    /// Set a tenant's quota; values that are not given do not change
    Set(Box<Set>),
    /// Delete a tenant's quota, so that the server's defaults apply again
    Reset {
        /// The tenant
        name: TenantId,
        #[command(flatten)]
        confirm: Confirm,
    },
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
struct Set {
    /// The tenant
    name: TenantId,
    /// Guaranteed CPU slots
    #[arg(long, value_name = "N", group = "change")]
    guarantee_slots: Option<u32>,
    /// Guaranteed memory, such as 8GiB
    #[arg(long, value_name = "SIZE", group = "change")]
    guarantee_memory: Option<ByteSize>,
    /// Guaranteed GPUs
    #[arg(long, value_name = "N", group = "change")]
    guarantee_gpus: Option<u32>,
    /// Maximum CPU slots, or `none`
    #[arg(long, value_name = "N", group = "change")]
    limit_slots: Option<MaxOrNone<u32>>,
    /// Maximum memory, or `none`
    #[arg(long, value_name = "SIZE", group = "change")]
    limit_memory: Option<MaxOrNone<ByteSize>>,
    /// Maximum GPUs, or `none`
    #[arg(long, value_name = "N", group = "change")]
    limit_gpus: Option<MaxOrNone<u32>>,
    /// Maximum bytes on disk, such as 10GiB, or `none` for the server's default
    #[arg(long, value_name = "SIZE", group = "change")]
    storage: Option<MaxOrNone<ByteSize>>,
    /// Weight against the other tenants, 1 to 1000
    #[arg(long, value_name = "N", group = "change", value_parser = clap::value_parser!(u32).range(1..=1000))]
    weight: Option<u32>,
    /// Highest value that its functions may set for a limit, such as memory-bytes=8GiB; `none` for the server's
    /// ceiling; may be repeated
    #[arg(long = "ceiling", value_name = "LIMIT=VALUE", group = "change", value_parser = pair)]
    ceilings: Vec<(String, String)>,
    /// Grant that its functions may request: clocks, random, env, volumes or gpu with `yes` or `no`; network=HOST adds
    /// a host (HOST:PORT, *.DOMAIN, * for every public host) to the tenant's own list, which replaces the server's,
    /// network=none removes all; `default` for the server's rule; may be repeated
    #[arg(long = "grant", value_name = "GRANT=VALUE", group = "change", value_parser = pair)]
    grants: Vec<(String, String)>,
    /// Retention of its jobs or results, such as jobs=7d or results=90d; `default` for the server's setting; may be
    /// repeated
    #[arg(long = "keep", value_name = "KIND=TIME", group = "change", value_parser = pair)]
    keeps: Vec<(String, String)>,
}

/// Parses `KEY=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}`: write KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A maximum, or `none`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct MaxOrNone<T>(Option<T>);

impl<T: FromStr> FromStr for MaxOrNone<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|most| Self(Some(most))) }
    }
}

impl Set {
    fn change(&self, quota: &mut Quota) -> Result<(), String> {
        let (guarantee, limit) = (&mut quota.guarantee, &mut quota.limit);
        guarantee.cpu_slots = self.guarantee_slots.unwrap_or(guarantee.cpu_slots);
        guarantee.memory_bytes = self.guarantee_memory.unwrap_or(guarantee.memory_bytes);
        guarantee.gpus = self.guarantee_gpus.unwrap_or(guarantee.gpus);
        limit.cpu_slots = self.limit_slots.map_or(limit.cpu_slots, |most| most.0);
        limit.memory_bytes = self.limit_memory.map_or(limit.memory_bytes, |most| most.0);
        limit.gpus = self.limit_gpus.map_or(limit.gpus, |most| most.0);
        limit.storage_bytes = self.storage.map_or(limit.storage_bytes, |most| most.0);
        quota.weight = self.weight.unwrap_or(quota.weight);
        for (key, value) in &self.ceilings {
            quota.ceilings.set(key, value)?;
        }
        for (key, value) in &self.grants {
            quota.grants.set(key, value)?;
        }
        for (kind, time) in &self.keeps {
            let seconds = match time.as_str() {
                "default" => None,
                time => Some(fabric_types::duration::parse(time)?.as_secs()),
            };
            match kind.as_str() {
                "jobs" => quota.keep.jobs_s = seconds,
                "results" => quota.keep.results_s = seconds,
                _ => return Err(format!("`{kind}`: retention is set for `jobs` or `results`")),
            }
        }
        Ok(())
    }
}

/// Returns the retention that the tenant's quota sets, by kind.
fn retention_rows(quota: &Quota) -> Vec<(&'static str, Option<String>)> {
    let show = |seconds: Option<u64>| seconds.map(|s| fabric_types::duration::format(Duration::from_secs(s)));
    vec![("jobs", show(quota.keep.jobs_s)), ("results", show(quota.keep.results_s))]
}

/// Runs `fabric tenants`.
pub async fn run(args: &TenantsArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let tenant = match args.command.as_ref().unwrap_or(&Sub::List) {
        Sub::List => {
            let page = PageOptions::collect(10_000, async |paging| client.tenants(&paging).await).await?;
            return ctx.out.show(&page, |out, page| out.table(&table(&page.items)));
        }
        Sub::Show { name } => client.tenant_quota(name).await?,
        Sub::Set(set) => {
            let mut quota = client.tenant_quota(&set.name).await?.quota;
            set.change(&mut quota).map_err(Failure::usage)?;
            client.set_tenant_quota(&set.name, &quota).await?
        }
        Sub::Reset { name, confirm } => {
            confirm.ask(&format!("delete the quota of tenant {name}"))?;
            client.delete_tenant_quota(name).await?;
            client.tenant_quota(name).await?
        }
    };
    for warning in &tenant.warnings {
        ctx.note(format!("warning: {warning}"));
    }
    ctx.out.show(&tenant, |out, tenant| {
        out.table(&table(std::slice::from_ref(tenant)))?;
        let quota = &tenant.quota;
        let set = |rows: Vec<(&'static str, Option<String>)>| {
            rows.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?))).collect::<Vec<_>>().join(" ")
        };
        for (name, values) in [
            ("ceilings", set(quota.ceilings.rows())),
            ("grants", set(quota.grants.rows())),
            ("keep", set(retention_rows(quota))),
        ] {
            out.line(format!("{name:9} {}", if values.is_empty() { "the server's" } else { &values }))?;
        }
        Ok(())
    })
}

/// Formats usage, guarantee and maximum as cells of a table.
fn span(used: impl ToString, sure: impl ToString, most: Option<impl ToString>) -> [String; 3] {
    [used.to_string(), sure.to_string(), most.map_or_else(|| "-".to_owned(), |m| m.to_string())]
}

fn table(tenants: &[Tenant]) -> Table {
    let mut table = Table::new(&[
        "TENANT", ">WEIGHT", ">SLOTS", ">MIN", ">LIMIT", ">MEMORY", ">MIN", ">LIMIT", ">GPUS", ">MIN", ">LIMIT",
        ">STORED", ">LIMIT",
    ]);
    for t in tenants {
        let (quota, usage) = (&t.quota, &t.usage);
        let (sure, most) = (&quota.guarantee, &quota.limit);
        let mut row = vec![t.tenant.to_string(), quota.weight.to_string()];
        row.extend(span(usage.cpu_slots, sure.cpu_slots, most.cpu_slots));
        row.extend(span(usage.memory_bytes, sure.memory_bytes, most.memory_bytes));
        row.extend(span(usage.gpus, sure.gpus, most.gpus));
        row.push(t.storage.used_bytes.to_string());
        row.push(t.storage.quota_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()));
        table.row(row);
    }
    table
}
