//! Finds orphaned jobs: an owner that lost its connection may accept a job after its successor listed the active jobs.

use crate::{
    command::Command,
    handle::Driver,
    job::Meta,
    journal::{JobName, recovery},
};
use fabric_backend::registry::Precondition;
use fabric_types::Fault;
use std::{collections::HashMap, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Interval between scans.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);
/// Scans until an active job counts as orphaned. After a single scan, the job may still be on its way to this owner.
const ORPHAN_SCANS: u32 = 2;
/// Scans, over 15 minutes, until a job without a journal counts as never accepted.
const ABANDONED_SCANS: u32 = 180;

/// Scans until `stop`.
pub async fn run(driver: Driver, stop: CancellationToken) {
    let mut every = interval(SCAN_INTERVAL);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = HashMap::new();
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        if let Some(Err(fault)) = stop.run_until_cancelled(scan(&driver, &mut seen)).await {
            tracing::warn!(%fault, "scan for orphaned jobs failed");
        }
    }
}

async fn scan(driver: &Driver, seen: &mut HashMap<JobName, u32>) -> Result<(), Fault> {
    let backend = driver.backend();
    let active = recovery::active(backend).await?;
    let unowned = driver.request(|reply| Command::UnknownJobs { active, reply }).await?;
    seen.retain(|name, _| unowned.contains(name));
    for name in unowned {
        let scans = seen.entry(name.clone()).or_default();
        *scans += 1;
        if *scans < ORPHAN_SCANS {
            continue;
        }
        let (tenant, job) = &name;
        match recovery::load(backend, tenant, job).await? {
            Some(open_job) => {
                tracing::info!(job_id = %job, "orphaned job resumed");
                driver.request(|reply| Command::ResumeOrphan { job: Box::new(open_job), reply }).await?;
            }
            None if *scans >= ABANDONED_SCANS => {
                backend.journal.delete(&Meta::stream(tenant, job)).await?;
                backend.registry.delete(&Meta::active_key(tenant, job), Precondition::Any).await?;
            }
            None => {}
        }
    }
    Ok(())
}
