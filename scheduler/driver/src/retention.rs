//! Removes what has been kept long enough: jobs after their end, results after their last use, modules that nothing runs.
//!
//! A job that has not ended keeps what it needs, however long it takes: its journal, its module, and every result that it
//! may have found or committed.

use crate::{
    api::Driver,
    clock::now_ms,
    meta::{Kind, Meta},
    recover::{self, Name},
};
use fabric_engine::upkeep::{ROW_BYTES, USE_GRAIN};
use fabric_types::{
    Code, Fault,
    function::Deployment,
    id::{JobId, TenantId},
    storage::StorageKind,
};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// Streams, keys or results looked at together.
const PAGE: usize = 1000;

/// How long things are kept.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Jobs and asynchronous invocations after their end. Default 30 days.
    pub jobs: Duration,
    /// Results after their last use. Default 30 days.
    pub results: Duration,
    /// How often it is looked. Default 10 minutes.
    pub every: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let month = Duration::from_secs(30 * 86_400);
        Self { jobs: month, results: month, every: Duration::from_secs(600) }
    }
}

/// What a sweep removed.
#[derive(Debug, Default)]
struct Removed {
    jobs: u64,
    results: u64,
    objects: u64,
    modules: u64,
    bytes: u64,
}

fn ms(of: Duration) -> u64 {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX)
}

fn store_fault(error: fabric_store::Error) -> Fault {
    error.to_fault()
}

/// Sweeps until `stop`.
pub(crate) async fn run(driver: Driver, retention: Retention, stop: CancellationToken) {
    let mut every = interval_at(tokio::time::Instant::now() + retention.every, retention.every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        if let Some(Err(fault)) = stop.run_until_cancelled(sweep(&driver, &retention)).await {
            tracing::warn!(%fault, "what was kept long enough can't be removed now");
        }
    }
}

async fn sweep(driver: &Driver, retention: &Retention) -> Result<(), Fault> {
    let started = Instant::now();
    let active = recover::active(driver.engine()).await?;
    let mut removed = Removed::default();
    let done = async {
        jobs(driver, retention, &active, &mut removed).await?;
        for tenant in driver.parts.store.accounts().tenants() {
            results(driver, retention, &tenant, &active, &mut removed).await?;
            modules(driver, &tenant, &mut removed).await?;
            let staged = driver.parts.store.sweep_staging(&tenant).await.map_err(store_fault)?;
            removed.objects += staged;
        }
        Ok(())
    }
    .await;
    let metrics = &driver.metrics();
    metrics.expired_jobs.inc_by(removed.jobs);
    metrics.expired_results.inc_by(removed.results);
    metrics.expired_bytes.inc_by(removed.bytes);
    let Removed { jobs, results, objects, modules, bytes } = removed;
    if jobs + results + objects + modules > 0 {
        let took_ms = ms(started.elapsed());
        tracing::info!(jobs, results, objects, modules, bytes, took_ms, "removed what was kept long enough");
    }
    done
}

/// Removes jobs that ended long ago.
async fn jobs(driver: &Driver, retention: &Retention, active: &[Name], removed: &mut Removed) -> Result<(), Fault> {
    let active: HashSet<&Name> = active.iter().collect();
    let before = now_ms().saturating_sub(ms(retention.jobs));
    let mut after: Option<String> = None;
    loop {
        let page = driver.engine().journal.streams("t/", after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.name.clone());
        for stream in &page {
            let name = stream.name.strip_prefix("t/").and_then(|rest| rest.split_once("/jobs/"));
            let name = name.and_then(|(t, j)| Some((TenantId::new(t).ok()?, JobId::new(j).ok()?)));
            // None ends before it was made.
            let Some(name) = name.filter(|name| name.1.made_ms() < before && !active.contains(name)) else { continue };
            let ended = match recover::load(driver.engine(), &name.0, &name.1).await {
                Ok(live) => live.and_then(|live| live.ended),
                Err(fault) => {
                    tracing::error!(job_id = %name.1, %fault, "a job can't be read and stays");
                    continue;
                }
            };
            if ended.is_some_and(|ended| ended.at_ms < before) {
                removed.bytes += purge(driver, &name.0, &name.1).await?;
                removed.jobs += 1;
            }
        }
    }
}

/// Removes a job that has ended, for good; gives the bytes of its journal.
pub(crate) async fn purge(driver: &Driver, tenant: &TenantId, job: &JobId) -> Result<u64, Fault> {
    let parts = &driver.parts;
    let _alone = parts.bins.lock().await;
    let stream = Meta::stream(tenant, job);
    let (mut bytes, mut from) = (0u64, 0u64);
    loop {
        let page = parts.engine.journal.read(&stream, from, PAGE).await?;
        bytes += page.iter().map(|record| record.bytes.len() as u64 + ROW_BYTES).sum::<u64>();
        from += page.len() as u64;
        if page.len() < PAGE {
            break;
        }
    }
    parts.engine.journal.delete(&stream).await?;
    parts.store.accounts().remove(tenant, StorageKind::Jobs, bytes);
    let (id, whose) = (job.clone(), tenant.clone());
    driver.ask(move |owner| owner.forget_ended(&whose, &id)).await?;
    let removed = parts.index.remove_job(tenant, job).await;
    removed.map_err(|e| Fault::new(Code::Unavailable, e.to_string()))?;
    Ok(bytes)
}

/// Removes results that were not used for long.
async fn results(
    driver: &Driver,
    retention: &Retention,
    tenant: &TenantId,
    active: &[Name],
    removed: &mut Removed,
) -> Result<(), Fault> {
    let parts = &driver.parts;
    // Whatever a job uses it has used since it was made, give or take the grain.
    let oldest = active.iter().filter(|(of, _)| of == tenant).map(|(_, job)| job.made_ms()).min();
    let in_use = oldest.map_or(u64::MAX, |made| made.saturating_sub(ms(USE_GRAIN)));
    let before = now_ms().saturating_sub(ms(retention.results)).min(in_use);
    let mut any = false;
    loop {
        let expired = parts.engine.upkeep.expire_results(tenant, before, PAGE).await?;
        parts.store.accounts().remove(tenant, StorageKind::Results, expired.bytes);
        removed.results += expired.results;
        removed.bytes += expired.bytes;
        any |= expired.results > 0;
        if expired.results < PAGE as u64 {
            break;
        }
    }
    if any && let Some(named) = parts.engine.upkeep.result_objects(tenant).await? {
        let swept = parts.store.results(tenant).sweep(|digest| named.contains(digest)).await.map_err(store_fault)?;
        removed.objects += swept.objects;
        removed.bytes += swept.bytes;
    }
    Ok(())
}

/// Removes modules that no version names and no unfinished job runs.
async fn modules(driver: &Driver, tenant: &TenantId, removed: &mut Removed) -> Result<(), Fault> {
    let parts = &driver.parts;
    let whose = tenant.clone();
    let mut named: HashSet<[u8; 32]> = driver
        .ask(move |owner| {
            let unfinished = owner.jobs.values().filter(|slot| slot.live.ended.is_none());
            let metas = unfinished.map(|slot| &slot.live.planned.meta).filter(|meta| meta.tenant == whose);
            metas.map(|meta| meta.deployment.module.0).collect()
        })
        .await?;
    let prefix = format!("t/{tenant}/functions/");
    let mut after: Option<String> = None;
    loop {
        let page = parts.engine.registry.list(&prefix, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        for entry in page.iter().filter(|entry| entry.key.contains("/versions/")) {
            match serde_json::from_slice::<Deployment>(&entry.value) {
                Ok(deployment) => drop(named.insert(deployment.module.0)),
                Err(error) => {
                    tracing::error!(key = entry.key, %error, "a version can't be read; the tenant's modules stay");
                    return Ok(());
                }
            }
        }
    }
    let swept = parts.store.modules(tenant).sweep(|digest| named.contains(digest)).await.map_err(store_fault)?;
    removed.modules += swept.objects;
    removed.bytes += swept.bytes;
    Ok(())
}

impl Driver {
    /// Removes a job that has ended for good, with its journal. Its results go when they are not used any more.
    ///
    /// # Errors
    /// `not-found`, `conflict` while it has not ended, or a backend's fault.
    pub async fn purge(&self, tenant: &TenantId, job: &JobId) -> Result<(), Fault> {
        let ended = self
            .look(tenant, job, |live, _| (live.ended.is_some(), matches!(live.planned.meta.kind, Kind::Invoke { .. })));
        match ended.await?.ok_or_else(|| crate::api::not_found(job))? {
            (true, _) => purge(self, tenant, job).await.map(drop),
            (false, invocation) => {
                let stop = if invocation { "POST /v1/invocations/ID/cancel" } else { "fabric jobs cancel JOB" };
                Err(Fault::new(Code::Conflict, format!("job {job} has not ended"))
                    .hint(format!("stop it first: {stop}")))
            }
        }
    }

    /// Removes everything that has been kept long enough now.
    ///
    /// # Errors
    /// A backend's fault.
    pub async fn sweep(&self, retention: &Retention) -> Result<(), Fault> {
        sweep(self, retention).await
    }
}
