//! Finds jobs that nobody has: an owner that was cut off may accept one after its successor looked what there was.

use crate::{
    api::Driver,
    meta::Meta,
    recover::{self, Name},
};
use fabric_engine::registry::Expect;
use fabric_types::Fault;
use std::{collections::HashMap, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// Looks until an active job is nobody's: in between it may be on its way to this owner by itself.
const LOOKS: u32 = 2;
/// Looks, 15 minutes of them, until a name without a journal counts as never accepted.
const NEVER: u32 = 180;

/// Looks until `stop`.
pub async fn run(driver: Driver, stop: CancellationToken) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = HashMap::new();
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        if let Some(Err(fault)) = stop.run_until_cancelled(look(&driver, &mut seen)).await {
            tracing::warn!(%fault, "jobs that nobody has can't be looked for now");
        }
    }
}

async fn look(driver: &Driver, seen: &mut HashMap<Name, u32>) -> Result<(), Fault> {
    let engine = driver.engine();
    let active = recover::active(engine).await?;
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
        match recover::load(engine, tenant, job).await? {
            Some(live) => {
                tracing::info!(job_id = %job, "a job that an earlier owner accepted is taken up");
                driver.ask(move |owner| owner.resume_unknown(live)).await?;
            }
            None if *looks >= NEVER => {
                engine.journal.delete(&Meta::stream(tenant, job)).await?;
                engine.registry.delete(&Meta::active_key(tenant, job), Expect::Any).await?;
            }
            None => {}
        }
    }
    Ok(())
}
