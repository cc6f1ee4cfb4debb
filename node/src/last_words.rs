//! What a process says at its start of the one before it, where that one died.

use crate::{
    api::now_ms,
    killers::Killers,
    running::{self, Entry},
};
use fabric_engine::{
    Engine,
    deaths::{self, Death, RunningTask, Witness},
};
use fabric_types::Fault;
use std::path::Path;

/// Notes in the registry, and in the folder, what was running when the process before this one died. Call it before the
/// process owns jobs or takes work: the tasks must not run again before.
///
/// # Errors
/// The registry's fault.
pub async fn report_death(engine: &Engine, folder: &Path) -> Result<(), Fault> {
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
        witness: Witness::Node,
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
    deaths::note(engine.registry.as_ref(), &left.node, death).await?;
    let kept = Killers::count(folder, &left.entries, now_ms()).and_then(|()| running::settle(folder));
    if let Err(error) = kept {
        // Such as a full disk. The registry has it, and once more changes nothing there.
        tracing::warn!(folder = %folder.display(), %error, "the death of the process could not be noted");
    }
    Ok(())
}
