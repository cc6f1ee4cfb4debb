//! Reading jobs back from the journal.

use crate::{
    clock::now_ms,
    invocation,
    job_state::OpenJob,
    meta::{JobKind, Meta},
    record::JobRecord,
};
use fabric_backend::{Backend, registry::Precondition};
use fabric_index::Index;
use fabric_types::{
    Code, Fault,
    id::{JobId, TenantId},
};
use futures::{StreamExt as _, stream};
use tokio::sync::{Mutex, Semaphore};

/// Journals read at once. Each takes several round trips to the store.
const AT_ONCE: usize = 32;
/// Jobs that go into the index at once.
const TOGETHER: usize = 64;
/// Records in one read.
const PAGE: usize = 512;
/// Size of a journal, in bytes, that is replayed on the calling thread: about a millisecond of work.
const LARGE: usize = 256 << 10;
/// Limit of concurrent replays of journals that are longer than a page and larger than [`LARGE`].
static LARGE_READS: Semaphore = Semaphore::const_new(4);

/// Loads a job; `None` if there is no such job, or its acceptance was not complete.
///
/// # Errors
/// The journal's fault, or a damaged record.
pub async fn load(backend: &Backend, tenant: &TenantId, job: &JobId) -> Result<Option<OpenJob>, Fault> {
    let stream = Meta::stream(tenant, job);
    let (mut records, mut bytes, mut turn) = (Vec::new(), 0, None);
    loop {
        let page = backend.journal.read(&stream, records.len() as u64, PAGE).await?;
        let last = page.len() < PAGE;
        for record in page {
            bytes += record.bytes.len();
            records.push(record.bytes);
        }
        if last {
            break;
        }
        if bytes > LARGE && turn.is_none() {
            // The semaphore is never closed.
            turn = LARGE_READS.acquire().await.ok();
        }
    }
    let replay = move || -> Result<Option<OpenJob>, Fault> {
        let _turn = turn;
        let records = records.iter().map(|bytes| JobRecord::decode(bytes)).collect::<Result<Vec<_>, _>>()?;
        Ok(OpenJob::replay(records))
    };
    if bytes <= LARGE {
        return replay();
    }
    let replayed = tokio::task::spawn_blocking(replay).await;
    replayed.map_err(|e| Fault::new(Code::Internal, format!("a journal could not be read back: {e}")))?
}

/// A job's tenant and id.
pub type Name = (TenantId, JobId);

/// Returns the names of all jobs that have not ended, and possibly of jobs that are about to be accepted.
///
/// # Errors
/// The registry's fault.
pub async fn active(backend: &Backend) -> Result<Vec<Name>, Fault> {
    let mut names = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = backend.registry.list("sys/active/", after.as_deref(), 1000).await?;
        let Some(last) = page.last() else { return Ok(names) };
        after = Some(last.key.clone());
        for entry in &page {
            let name = entry.key.strip_prefix("sys/active/").and_then(|k| k.split_once('/'));
            match name.and_then(|(t, j)| Some((TenantId::new(t).ok()?, JobId::new(j).ok()?))) {
                Some(name) => names.push(name),
                None => tracing::error!(key = entry.key, "key of an active job is damaged"),
            }
        }
    }
}

/// Returns every job that had not ended when the last driver stopped. Jobs without complete acceptance are removed if
/// `alone`; otherwise another process may be accepting them now.
///
/// # Errors
/// A backend's fault. A damaged job is logged and skipped, so that it does not keep the others from running.
pub async fn unfinished(backend: &Backend, alone: bool) -> Result<Vec<OpenJob>, Fault> {
    let mut found = Vec::new();
    for (tenant, job) in active(backend).await? {
        match load(backend, &tenant, &job).await {
            Ok(Some(live)) => found.push(live),
            Ok(None) if alone => {
                backend.journal.delete(&Meta::stream(&tenant, &job)).await?;
                backend.registry.delete(&Meta::active_key(&tenant, &job), Precondition::Any).await?;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%tenant, job_id = %job, %error, "resuming a job failed"),
        }
    }
    Ok(found)
}

/// Adds every ended job in the journal to the index. The owner adds the others. `bins` is locked while a page is read
/// and written, so that no ended job changes in between.
///
/// # Errors
/// A backend's fault. A damaged job is logged and skipped.
pub async fn rebuild(backend: &Backend, index: &Index, bins: &Mutex<()>) -> Result<(), Fault> {
    let mut after: Option<String> = None;
    let mut count = 0_u64;
    loop {
        let page = backend.journal.streams("t/", after.as_deref(), TOGETHER).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        let _still = bins.lock().await;
        let (mut jobs, mut invocations, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        let named = page.into_iter().filter_map(|stream| {
            let (tenant, job) = stream.name.strip_prefix("t/")?.split_once("/jobs/")?;
            Some((TenantId::new(tenant).ok()?, JobId::new(job).ok()?))
        });
        let read = named.map(|(tenant, job)| async move {
            let live = load(backend, &tenant, &job).await;
            (tenant, job, live)
        });
        let mut read = stream::iter(read).buffered(AT_ONCE);
        while let Some((tenant, job, live)) = read.next().await {
            if let Ok(Some(live)) = &live
                && live.ended.is_some()
            {
                letters.extend(live.dead.values().map(|dead| (tenant.clone(), live.letter(dead))));
            }
            match live {
                Ok(Some(live)) if live.ended.is_none() => {}
                Ok(Some(live)) if matches!(live.planned.meta.kind, JobKind::Invoke { .. }) => {
                    invocations.push((tenant, invocation::view(&live)));
                }
                Ok(Some(live)) => jobs.push((tenant, live.view(None, now_ms()))),
                Ok(None) => {}
                Err(error) => tracing::error!(%tenant, job_id = %job, %error, "reading a job for the index failed"),
            }
        }
        count += (jobs.len() + invocations.len()) as u64;
        let put = async {
            index.put_jobs(jobs).await?;
            index.put_invocations(invocations).await?;
            index.put_dead_letters(letters).await
        };
        put.await.map_err(|e| Fault::new(Code::Unavailable, e.to_string()))?;
    }
    if count > 0 {
        tracing::info!(count, "index rebuilt from the journal");
    }
    Ok(())
}
