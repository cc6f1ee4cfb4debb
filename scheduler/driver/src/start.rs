//! Starts the driver and its background tasks.

use crate::{
    background::{Collector, orphans, retention},
    handle::Driver,
    job::memory::OpenJobsAccount,
    journal::{rebuild, recovery},
    metrics::DriverMetrics,
    options::{Options, Parts},
    owner::{Deaths, JobsOwner},
    settings::OperatorSettings,
};
use fabric_backend::deaths;
use fabric_types::Fault;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Commands that may wait for the owner.
const COMMAND_DEPTH: usize = 1024;
/// Delay before the lists are rebuilt again after a failure.
const REBUILD_DELAY: Duration = Duration::from_secs(5);

impl Driver {
    /// Starts the driver and resumes every unfinished job.
    ///
    /// # Errors
    /// A backend's fault.
    pub async fn start(options: Options) -> Result<Self, Fault> {
        let Options { backend, store, results, index, fingerprint, config, max_tasks, open_jobs, epoch, retention } =
            options;
        let fleet = epoch.is_some();
        let parts = Parts {
            backend,
            store,
            results,
            index,
            fingerprint,
            config,
            max_tasks,
            room: OpenJobsAccount::new(open_jobs),
            tracker: TaskTracker::new(),
            ended_jobs_lock: Arc::default(),
            retention,
            sweep_lock: Arc::default(),
        };
        let metrics = DriverMetrics::default();
        if !fleet && parts.index.is_fresh() {
            rebuild::rebuild(&parts.backend, &parts.index, &parts.ended_jobs_lock).await?;
        }
        let collector = match fleet {
            true => Some(Collector::new(parts.backend.clone(), parts.index.clone()).await?),
            false => None,
        };
        let settings = OperatorSettings::load(&parts.backend).await?;
        let deaths = Deaths::new(deaths::all(parts.backend.registry.as_ref()).await?);
        let mut owner = JobsOwner::new(parts.clone(), metrics.clone(), settings, deaths, epoch.unwrap_or(0));
        for open_job in recovery::unfinished(&parts.backend, !fleet).await? {
            tracing::info!(job_id = %open_job.id(), state = %open_job.state(), "job resumed");
            owner.resume(open_job);
        }
        let inbox = parts.backend.lanes.open_inbox().await?;
        let arrivals = parts.backend.presence.watch();
        let (commands, waiting) = mpsc::channel(COMMAND_DEPTH);
        let stop = CancellationToken::new();
        parts.tracker.spawn(owner.run(waiting, inbox, arrivals, stop.clone()));
        if let Some(collector) = collector {
            parts.tracker.spawn(collector.run(stop.clone()));
            // In the background: reading a long history takes a while, and the lists may lag.
            parts.tracker.spawn(rebuild_index(parts.clone(), stop.clone()));
        }
        let driver = Self { parts, commands, stop, metrics };
        if fleet {
            driver.parts.tracker.spawn(orphans::run(driver.clone(), driver.stop.clone()));
        }
        driver.parts.tracker.spawn(retention::run(driver.clone(), driver.stop.clone()));
        Ok(driver)
    }
}

/// Adds jobs of earlier owners to the lists.
async fn rebuild_index(parts: Parts, stop: CancellationToken) {
    let rebuild = || rebuild::rebuild(&parts.backend, &parts.index, &parts.ended_jobs_lock);
    while let Some(Err(fault)) = stop.run_until_cancelled(rebuild()).await {
        tracing::warn!(%fault, "rebuilding the job lists failed, retrying");
        stop.run_until_cancelled(tokio::time::sleep(REBUILD_DELAY)).await;
    }
}
