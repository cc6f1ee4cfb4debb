//! Reading jobs back from the journal.

use super::{record::JobRecord, replay::replay};
use crate::job::{Meta, OpenJob};
use fabric_backend::{Backend, registry::Precondition};
use fabric_types::{
    Code, Fault,
    id::{JobId, TenantId},
};
use tokio::sync::Semaphore;

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
    let read = move || -> Result<Option<OpenJob>, Fault> {
        let _turn = turn;
        let records = records.iter().map(|bytes| JobRecord::decode(bytes)).collect::<Result<Vec<_>, _>>()?;
        Ok(replay(records))
    };
    if bytes <= LARGE {
        return read();
    }
    let replayed = tokio::task::spawn_blocking(read).await;
    replayed.map_err(|e| Fault::new(Code::Internal, format!("a journal could not be read back: {e}")))?
}

/// A job's tenant and id.
pub type JobName = (TenantId, JobId);

/// Returns the names of all jobs that have not ended, and possibly of jobs that are about to be accepted.
///
/// # Errors
/// The registry's fault.
pub async fn active(backend: &Backend) -> Result<Vec<JobName>, Fault> {
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
            Ok(Some(open_job)) => found.push(open_job),
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
