//! Retention: removes jobs some time after their end, results some time after their last use, and modules that nothing
//! refers to.
//!
//! A job that has not ended retains what it needs, regardless of its duration: its journal, its module, and every
//! result that it may have found or committed.

use crate::{
    clock::now_ms,
    command::{Command, JobRead},
    handle::{Driver, not_found},
    job::{JobKind, Meta},
    journal::{JobName, recovery},
    options::Retention,
};
use fabric_backend::maintenance::{ROW_BYTES, USE_RESOLUTION};
use fabric_store::SweepMode;
use fabric_types::{
    Code, Fault,
    function::Deployment,
    id::{JobId, TenantId},
    quota::Keep,
    rest::sweep::Sweep,
    storage::StorageKind,
};
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

/// Streams, keys or results in a page.
const PAGE: usize = 1000;

/// The retention periods of one tenant.
#[derive(Debug, Clone, Copy)]
struct RetentionPeriods {
    jobs: Duration,
    results: Duration,
}

impl RetentionPeriods {
    /// Returns the server's periods, overridden by those of the tenant's quota.
    fn of(server: &Retention, quota: Option<&Keep>) -> Self {
        let own = |seconds: Option<u64>, usual| seconds.map_or(usual, Duration::from_secs);
        let keep = quota.copied().unwrap_or_default();
        let jobs = own(keep.jobs_s, server.jobs);
        // Results stay at least as long as jobs, because a job without its results has nothing to show.
        Self { jobs, results: own(keep.results_s, server.results).max(jobs) }
    }
}

/// A sweep in progress.
struct SweepRun<'a> {
    driver: &'a Driver,
    retention: &'a Retention,
    /// Periods from the tenants' quotas.
    keeps: HashMap<TenantId, Keep>,
    active: Vec<JobName>,
    mode: SweepMode,
    swept: Sweep,
}

fn ms(of: Duration) -> u64 {
    u64::try_from(of.as_millis()).unwrap_or(u64::MAX)
}

/// Sweeps until `stop`.
pub(crate) async fn run(driver: Driver, stop: CancellationToken) {
    let every = driver.parts.retention.every;
    let mut every = interval_at(tokio::time::Instant::now() + every, every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        if let Some(Err(fault)) = stop.run_until_cancelled(driver.sweep(SweepMode::Remove)).await {
            tracing::warn!(%fault, "retention sweep failed");
        }
    }
}

impl SweepRun<'_> {
    fn periods(&self, tenant: &TenantId) -> RetentionPeriods {
        RetentionPeriods::of(self.retention, self.keeps.get(tenant))
    }

    async fn all(&mut self) -> Result<(), Fault> {
        self.jobs().await?;
        for tenant in self.driver.parts.store.accounts().tenants() {
            self.results(&tenant).await?;
            self.modules(&tenant).await?;
            let staged = self.driver.parts.store.sweep_staging(&tenant, self.mode).await.map_err(Fault::from)?;
            self.swept.unfinished_uploads.add(staged, 0);
        }
        Ok(())
    }

    /// Removes jobs that ended longer ago than their retention period.
    async fn jobs(&mut self) -> Result<(), Fault> {
        let active: HashSet<JobName> = self.active.iter().cloned().collect();
        let mut after: Option<String> = None;
        loop {
            let page = self.driver.backend().journal.streams("t/", after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.name.clone());
            for stream in &page {
                let name = stream.name.strip_prefix("t/").and_then(|rest| rest.split_once("/jobs/"));
                let name = name.and_then(|(t, j)| Some((TenantId::new(t).ok()?, JobId::new(j).ok()?)));
                let Some(name) = name else { continue };
                let before = now_ms().saturating_sub(ms(self.periods(&name.0).jobs));
                // A job cannot end before it was created.
                if name.1.made_ms() < before && !active.contains(&name) {
                    self.job(&name, before).await?;
                }
            }
        }
    }

    async fn job(&mut self, (tenant, job): &JobName, before: u64) -> Result<(), Fault> {
        let ended = match recovery::load(self.driver.backend(), tenant, job).await {
            Ok(open_job) => open_job.and_then(|open_job| open_job.ended),
            Err(fault) => {
                tracing::error!(job_id = %job, %fault, "job cannot be read, not removing it");
                return Ok(());
            }
        };
        if ended.is_some_and(|ended| ended.at_ms < before) {
            let bytes = match self.mode {
                SweepMode::Remove => purge(self.driver, tenant, job).await?,
                SweepMode::Count => journal_bytes(self.driver, &Meta::stream(tenant, job)).await?,
            };
            self.swept.jobs.add(1, bytes);
        }
        Ok(())
    }

    /// Removes results that were last used longer ago than their retention period.
    async fn results(&mut self, tenant: &TenantId) -> Result<(), Fault> {
        let parts = &self.driver.parts;
        // An unfinished job has used its results since its creation, within the precision of the recorded times of use.
        let oldest = self.active.iter().filter(|(of, _)| of == tenant).map(|(_, job)| job.made_ms()).min();
        let in_use = oldest.map_or(u64::MAX, |made| made.saturating_sub(ms(USE_RESOLUTION)));
        let before = now_ms().saturating_sub(ms(self.periods(tenant).results)).min(in_use);
        let mut any = false;
        loop {
            let expired = match self.mode {
                SweepMode::Remove => parts.backend.maintenance.expire_results(tenant, before, PAGE).await?,
                SweepMode::Count => parts.backend.maintenance.count_expired(tenant, before).await?,
            };
            self.swept.results.add(expired.results, expired.bytes);
            any |= expired.results > 0;
            if self.mode == SweepMode::Count {
                break;
            }
            parts.store.accounts().remove(tenant, StorageKind::Results, expired.bytes);
            if expired.results < PAGE as u64 {
                break;
            }
        }
        if any && let Some(named) = parts.backend.maintenance.result_objects(tenant, before).await? {
            let results = parts.store.results(tenant);
            let swept = results.sweep(self.mode, |digest| named.contains(digest)).await.map_err(Fault::from)?;
            self.swept.result_objects.add(swept.objects, swept.bytes);
        }
        Ok(())
    }

    /// Removes modules that no version refers to and no unfinished job runs.
    async fn modules(&mut self, tenant: &TenantId) -> Result<(), Fault> {
        let parts = &self.driver.parts;
        let Some(named) = named_modules(self.driver, tenant).await? else { return Ok(()) };
        let modules = parts.store.modules(tenant);
        let swept = modules.sweep(self.mode, |digest| named.contains(digest)).await.map_err(Fault::from)?;
        self.swept.modules.add(swept.objects, swept.bytes);
        Ok(())
    }
}

async fn journal_bytes(driver: &Driver, stream: &str) -> Result<u64, Fault> {
    let (mut bytes, mut from) = (0u64, 0u64);
    loop {
        let page = driver.backend().journal.read(stream, from, PAGE).await?;
        bytes += page.iter().map(|record| record.bytes.len() as u64 + ROW_BYTES).sum::<u64>();
        from += page.len() as u64;
        if page.len() < PAGE {
            return Ok(bytes);
        }
    }
}

/// Removes an ended job permanently. Returns the size of its journal in bytes.
pub(crate) async fn purge(driver: &Driver, tenant: &TenantId, job: &JobId) -> Result<u64, Fault> {
    let parts = &driver.parts;
    let _alone = parts.ended_jobs_lock.lock().await;
    let stream = Meta::stream(tenant, job);
    let bytes = journal_bytes(driver, &stream).await?;
    parts.backend.journal.delete(&stream).await?;
    parts.store.accounts().remove(tenant, StorageKind::Jobs, bytes);
    let (id, of) = (job.clone(), tenant.clone());
    driver.request(|reply| Command::DropEnded { tenant: of, job: id, reply }).await?;
    let removed = parts.index.remove_job(tenant, job).await;
    removed.map_err(|e| Fault::new(Code::Unavailable, e.to_string()))?;
    Ok(bytes)
}

/// Returns the modules that a version refers to or an unfinished job runs; `None` if a version cannot be read.
async fn named_modules(driver: &Driver, tenant: &TenantId) -> Result<Option<HashSet<[u8; 32]>>, Fault> {
    let parts = &driver.parts;
    let of = tenant.clone();
    let mut named = driver.request(|reply| Command::ActiveModules { tenant: of, reply }).await?;
    let prefix = format!("t/{tenant}/functions/");
    let mut after: Option<String> = None;
    loop {
        let page = parts.backend.registry.list(&prefix, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(Some(named)) };
        after = Some(last.key.clone());
        for entry in page.iter().filter(|entry| entry.key.contains("/versions/")) {
            match serde_json::from_slice::<Deployment>(&entry.value) {
                Ok(deployment) => drop(named.insert(deployment.module.0)),
                Err(error) => {
                    tracing::error!(key = entry.key, %error, "version cannot be read, not removing the tenant's modules");
                    return Ok(None);
                }
            }
        }
    }
}

impl Driver {
    /// Removes an ended job permanently, with its journal. Its results expire after their last use.
    ///
    /// # Errors
    /// `not-found`, `conflict` while it has not ended, or a backend's fault.
    pub async fn purge(&self, tenant: &TenantId, job: &JobId) -> Result<(), Fault> {
        let (planned, state) = self.read_job(tenant, job, JobRead::Planned).await?.ok_or_else(|| not_found(job))?;
        match state.is_terminal() {
            true => purge(self, tenant, job).await.map(drop),
            false => {
                let is_invocation = matches!(planned.meta.kind, JobKind::Invoke { .. });
                let stop = if is_invocation { "POST /v1/invocations/ID/cancel" } else { "fabric jobs cancel JOB" };
                Err(Fault::new(Code::Conflict, format!("job {job} has not ended"))
                    .hint(format!("stop it first: {stop}")))
            }
        }
    }

    /// Removes or counts the data whose retention period has passed. Sweeps run one at a time.
    ///
    /// # Errors
    /// A backend's fault. Removals up to then are counted in the metrics.
    pub async fn sweep(&self, mode: SweepMode) -> Result<Sweep, Fault> {
        let _alone = self.parts.sweep_lock.lock().await;
        let started = Instant::now();
        let keeps = self.request(|reply| Command::RetentionOverrides { reply }).await?;
        let mut sweep = SweepRun {
            driver: self,
            retention: &self.parts.retention,
            keeps,
            active: recovery::active(self.backend()).await?,
            mode,
            swept: Sweep { dry_run: mode == SweepMode::Count, ..Sweep::default() },
        };
        let done = sweep.all().await;
        let mut swept = sweep.swept;
        swept.took_ms = ms(started.elapsed());
        if mode == SweepMode::Remove {
            self.metrics().swept(&swept, started.elapsed());
            if swept.kinds().iter().any(|(_, removed)| removed.count > 0) {
                tracing::info!(
                    jobs = swept.jobs.count,
                    results = swept.results.count,
                    result_objects = swept.result_objects.count,
                    modules = swept.modules.count,
                    unfinished_uploads = swept.unfinished_uploads.count,
                    bytes = swept.kinds().iter().map(|(_, removed)| removed.bytes).sum::<u64>(),
                    took_ms = swept.took_ms,
                    "retention sweep removed expired data"
                );
            }
        }
        done.map(|()| swept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_quota_says_how_long_and_results_outlive_jobs() {
        let day = Duration::from_secs(86_400);
        let server = Retention { jobs: 30 * day, results: 30 * day, every: day };
        let days = |jobs: Option<u64>, results: Option<u64>| {
            let seconds = |days: Option<u64>| days.map(|days| days * 86_400);
            let periods =
                RetentionPeriods::of(&server, Some(&Keep { jobs_s: seconds(jobs), results_s: seconds(results) }));
            (periods.jobs / 86_400, periods.results / 86_400)
        };
        let second = Duration::from_secs(1);
        assert_eq!(days(None, None), (30 * second, 30 * second));
        assert_eq!(days(Some(7), Some(10)), (7 * second, 10 * second));
        assert_eq!(days(Some(90), None), (90 * second, 90 * second));
        assert_eq!(days(Some(7), Some(1)), (7 * second, 7 * second));
    }
}
