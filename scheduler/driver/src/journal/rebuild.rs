//! Rebuilds the index from the journal.

use super::recovery::load;
use crate::{
    clock::now_ms,
    job::{JobKind, invocation},
};
use fabric_backend::Backend;
use fabric_index::Index;
use fabric_types::{
    Code, Fault,
    id::{JobId, TenantId},
};
use futures::{StreamExt as _, stream};
use tokio::sync::Mutex;

/// Journals read at once. Each takes several round trips to the store.
const AT_ONCE: usize = 32;
/// Jobs that go into the index at once.
const BATCH: usize = 64;

/// Adds every ended job in the journal to the index. The owner adds the others. `ended_jobs_lock` is held while a page
/// is read and written, so that no ended job changes in between.
///
/// # Errors
/// A backend's fault. A damaged job is logged and skipped.
pub async fn rebuild(backend: &Backend, index: &Index, ended_jobs_lock: &Mutex<()>) -> Result<(), Fault> {
    let mut after: Option<String> = None;
    let mut count = 0_u64;
    loop {
        let page = backend.journal.streams("t/", after.as_deref(), BATCH).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        let _still = ended_jobs_lock.lock().await;
        let (mut jobs, mut invocations, mut dead_letters) = (Vec::new(), Vec::new(), Vec::new());
        let named = page.into_iter().filter_map(|stream| {
            let (tenant, job) = stream.name.strip_prefix("t/")?.split_once("/jobs/")?;
            Some((TenantId::new(tenant).ok()?, JobId::new(job).ok()?))
        });
        let read = named.map(|(tenant, job)| async move {
            let open_job = load(backend, &tenant, &job).await;
            (tenant, job, open_job)
        });
        let mut read = stream::iter(read).buffered(AT_ONCE);
        while let Some((tenant, job, open_job)) = read.next().await {
            if let Ok(Some(open_job)) = &open_job
                && open_job.ended.is_some()
            {
                dead_letters.extend(open_job.dead.values().map(|dead| (tenant.clone(), open_job.dead_letter(dead))));
            }
            match open_job {
                Ok(Some(open_job)) if open_job.ended.is_none() => {}
                Ok(Some(open_job)) if matches!(open_job.planned.meta.kind, JobKind::Invoke { .. }) => {
                    invocations.push((tenant, invocation::view(&open_job)));
                }
                Ok(Some(open_job)) => jobs.push((tenant, open_job.view(None, now_ms()))),
                Ok(None) => {}
                Err(error) => tracing::error!(%tenant, job_id = %job, %error, "reading a job for the index failed"),
            }
        }
        count += (jobs.len() + invocations.len()) as u64;
        let put = async {
            index.put_jobs(jobs).await?;
            index.put_invocations(invocations).await?;
            index.put_dead_letters(dead_letters).await
        };
        put.await.map_err(|e| Fault::new(Code::Unavailable, e.to_string()))?;
    }
    if count > 0 {
        tracing::info!(count, "index rebuilt from the journal");
    }
    Ok(())
}
