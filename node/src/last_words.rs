//! Reports the death of the previous process at the start of this one.

use crate::{
    api::now_ms,
    killers::Killers,
    running::{self, Entry},
};
use fabric_backend::{
    Backend,
    deaths::{self, Death, DeathReporter, RunningTask},
};
use fabric_types::Fault;
use std::path::Path;

/// Records in the registry and in the folder the tasks that were running when the previous process died. Call it before
/// the process owns jobs or accepts work, so that the tasks do not run again before they are counted.
///
/// # Errors
/// The registry's fault.
pub async fn report_death(backend: &Backend, folder: &Path) -> Result<(), Fault> {
    let Some(left) = running::left(folder) else { return Ok(()) };
    let tasks = left.entries.iter().filter_map(|entry| match entry {
        Entry::Task { tenant, job, task } => {
            Some(RunningTask { tenant: tenant.clone(), job: job.clone(), task: *task })
        }
        Entry::Call { .. } => None,
    });
    let tasks: Vec<_> = tasks.collect();
    let calls = left.entries.iter().filter(|entry| matches!(entry, Entry::Call { .. })).count();
    let death = Death {
        started_ms: left.started_ms,
        at_ms: now_ms(),
        reported_by: DeathReporter::Node,
        tasks,
        calls: u32::try_from(calls).unwrap_or(u32::MAX),
    };
    for entry in &left.entries {
        match entry {
            Entry::Task { tenant, job, task } => {
                tracing::warn!(%tenant, job_id = %job, %task, "a task was running when the process died");
            }
            Entry::Call { tenant, function, module } => {
                tracing::warn!(%tenant, %function, module_digest = %module, "a call was running when the process died");
            }
        }
    }
    deaths::record(backend.registry.as_ref(), &left.node, death).await?;
    let kept = Killers::count(folder, &left.entries, now_ms()).and_then(|()| running::settle(folder));
    if let Err(error) = kept {
        // For instance because of a full disk. The registry has the death, and another report does not change it.
        tracing::warn!(folder = %folder.display(), %error, "failed to record the death of the previous process");
    }
    Ok(())
}
