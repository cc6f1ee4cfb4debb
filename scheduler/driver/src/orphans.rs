//! Finds orphaned jobs: an owner that lost its connection may accept a job after its successor listed the active jobs.

use crate::{
    api::Driver,
    meta::Meta,
    recover::{self, Name},
};
use fabric_backend::registry::Precondition;
use fabric_types::Fault;
use std::{collections::HashMap, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Interval between scans.
const EVERY: Duration = Duration::from_secs(5);
/// Scans until an active job counts as orphaned. After a single scan, the job may still be on its way to this owner.
const LOOKS: u32 = 2;
/// Scans, over 15 minutes, until a job without a journal counts as never accepted.
const NEVER: u32 = 180;

/// Scans until `stop`.
pub async fn run(driver: Driver, stop: CancellationToken) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = HashMap::new();
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        if let Some(Err(fault)) = stop.run_until_cancelled(look(&driver, &mut seen)).await {
            tracing::warn!(%fault, "scan for orphaned jobs failed");
        }
    }
}

async fn look(driver: &Driver, seen: &mut HashMap<Name, u32>) -> Result<(), Fault> {
    let backend = driver.backend();
    let active = recover::active(backend).await?;
    let nobodys = driver
        .ask(move |owner| {
            let unknown = active.into_iter().filter(|(_, job)| !owner.jobs.contains_key(job));
            unknown.collect::<Vec<_>>()
        })
        .await?;
    seen.retain(|name, _| nobodys.contains(name));
    for name in nobodys {
        let looks = seen.entry(name.clone()).or_default();
        *looks += 1;
        if *looks < LOOKS {
            continue;
        }
        let (tenant, job) = &name;
        match recover::load(backend, tenant, job).await? {
            Some(live) => {
                tracing::info!(job_id = %job, "orphaned job resumed");
                driver.ask(move |owner| owner.resume_unknown(live)).await?;
            }
            None if *looks >= NEVER => {
                backend.journal.delete(&Meta::stream(tenant, job)).await?;
                backend.registry.delete(&Meta::active_key(tenant, job), Precondition::Any).await?;
            }
            None => {}
        }
    }
    Ok(())
}
