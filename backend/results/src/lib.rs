//! Storage of task results. Small results are inline in the backend's results table, large ones are objects in the
//! object store under their content digest. Readers and writers do not see the difference.

use bytes::Bytes;
use fabric_backend::{
    maintenance::ROW_BYTES,
    results::{CommitOutcome, INLINE_BYTES, ResultBody, ResultRecord, Results},
};
use fabric_store::{Range, Reservation, Store};
use fabric_types::{
    Code, Fault,
    digest::{ContentDigest, TaskKey},
    id::TenantId,
    memory::Charge,
    storage::StorageKind,
    work::OutputRef,
};
use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use std::sync::Arc;

/// A result that is not committed yet.
#[derive(Debug, Clone)]
pub struct NewResult {
    /// The task key to commit it under.
    pub key: TaskKey,
    /// The complete result.
    pub bytes: Bytes,
    /// The media type.
    pub content_type: Option<String>,
    /// For a shuffle output: the start of each bucket in bytes, followed by the end of the output. Otherwise empty.
    pub buckets: Vec<u64>,
    /// Fuel spent to compute it.
    pub fuel: u64,
}

/// The outcome of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The output now stored under the key.
    pub output: OutputRef,
    /// The digest of the rejected bytes, if different bytes were already stored under the key.
    pub rejected_digest: Option<ContentDigest>,
}

/// A result opened for reading.
pub struct OpenResult {
    /// The media type.
    pub content_type: Option<String>,
    /// Length of the whole result in bytes.
    pub len: u64,
    /// The bytes of the requested range.
    pub body: BoxStream<'static, Result<Bytes, Fault>>,
}

/// Commits and reads results. Cheap to clone.
#[derive(Clone)]
pub struct ResultStore {
    table: Arc<dyn Results>,
    store: Store,
}

/// Converts the error of reading the object of a committed result. A missing object is a fault of the store, since the
/// record exists: the caller can retry, and must not take the result for absent.
fn object_fault(digest: ContentDigest, error: fabric_store::Error) -> Fault {
    if matches!(&error, fabric_store::Error::NotFound { .. }) {
        let message = format!("the result exists, but its object {} is missing from the store", object_name(digest));
        return Fault::new(Code::StoreUnavailable, message);
    }
    Fault::from(error)
}

/// Returns the object name of a large result: its content digest, as the results space is laid out by task keys.
fn object_name(digest: ContentDigest) -> TaskKey {
    TaskKey(digest.0)
}

fn clamp(range: Option<std::ops::Range<u64>>, len: u64) -> std::ops::Range<u64> {
    let range = range.unwrap_or(0..len);
    range.start.min(len)..range.end.min(len)
}

impl ResultStore {
    /// Creates a result store over the backend's results table and the object store.
    #[must_use]
    pub fn new(table: Arc<dyn Results>, store: Store) -> Self {
        Self { table, store }
    }

    /// Commits each result whose key is free, and compares the others with the stored ones. The answers are in the
    /// order of `results`.
    ///
    /// # Errors
    /// A retryable fault if a backend fails; committing again is safe. `storage-quota` or `disk-full` if a result
    /// cannot be stored.
    pub async fn commit(&self, tenant: &TenantId, results: Vec<NewResult>) -> Result<Vec<Committed>, Fault> {
        self.commit_each(tenant, results).await?.into_iter().collect()
    }

    /// Like [`Self::commit`], but a result that exceeds the tenant's quota or the disk does not prevent the others from
    /// being committed.
    ///
    /// # Errors
    /// A retryable fault if a backend fails; committing again is safe. Per result: `storage-quota` or `disk-full`.
    pub async fn commit_each(
        &self,
        tenant: &TenantId,
        results: Vec<NewResult>,
    ) -> Result<Vec<Result<Committed, Fault>>, Fault> {
        let mut taken = Vec::with_capacity(results.len());
        let mut records = Vec::with_capacity(results.len());
        for result in results {
            taken.push(match self.admit(tenant, result).await {
                Ok((output, record, reservation)) => {
                    records.push((output.key, record));
                    Ok((output, reservation))
                }
                Err(fault) if matches!(fault.code, Code::StorageQuota | Code::DiskFull) => Err(fault),
                Err(fault) => return Err(fault),
            });
        }
        let mut commits =
            if records.is_empty() { Vec::new() } else { self.table.commit(tenant, records).await? }.into_iter();
        let mut committed = Vec::with_capacity(taken.len());
        for taken in taken {
            let (mine, reservation) = match taken {
                Ok(taken) => taken,
                Err(fault) => {
                    committed.push(Err(fault));
                    continue;
                }
            };
            committed.push(Ok(match commits.next() {
                Some(CommitOutcome::Stored) => {
                    reservation.keep(0);
                    Committed { output: mine, rejected_digest: None }
                }
                Some(CommitOutcome::Same) => Committed { output: mine, rejected_digest: None },
                Some(CommitOutcome::Differs(_)) => {
                    let there = self.find(tenant, &[mine.key]).await?.into_iter().flatten().next();
                    Committed { output: there.map_or(mine, |(output, _)| output), rejected_digest: Some(mine.digest) }
                }
                None => return Err(Fault::new(Code::Internal, "the results table did not answer for every result")),
            }));
        }
        Ok(committed)
    }

    /// Reserves quota for a result, and writes a large one to the object store.
    async fn admit(
        &self,
        tenant: &TenantId,
        result: NewResult,
    ) -> Result<(OutputRef, ResultRecord, Reservation), Fault> {
        let digest = ContentDigest::of(&result.bytes);
        let len = result.bytes.len() as u64;
        let small = result.bytes.len() <= INLINE_BYTES;
        let row = ROW_BYTES + 8 * result.buckets.len() as u64 + if small { len } else { 0 };
        let reservation = self.store.accounts().reserve(tenant, StorageKind::Results, row).await?;
        let NewResult { key, bytes, content_type, buckets, fuel } = result;
        let body = if small {
            ResultBody::Inline(bytes)
        } else {
            self.store.results(tenant).commit(&object_name(digest), bytes).await?;
            ResultBody::Object
        };
        let record = ResultRecord { digest, len, body, content_type, buckets, fuel };
        Ok((OutputRef { key, digest, len }, record, reservation))
    }

    /// Returns the outputs stored under `keys` with their records, in the order of `keys`.
    ///
    /// # Errors
    /// A retryable fault if the backend fails.
    pub async fn find(
        &self,
        tenant: &TenantId,
        keys: &[TaskKey],
    ) -> Result<Vec<Option<(OutputRef, ResultRecord)>>, Fault> {
        let found = self.table.get_many(tenant, keys).await?;
        let pairs = keys.iter().zip(found);
        Ok(pairs.map(|(key, r)| r.map(|r| (OutputRef { key: *key, digest: r.digest, len: r.len }, r))).collect())
    }

    async fn record(&self, tenant: &TenantId, output: &OutputRef) -> Result<ResultRecord, Fault> {
        let record = self.table.get_many(tenant, &[output.key]).await?.into_iter().flatten().next();
        record.ok_or_else(|| missing(&output.key))
    }

    /// Opens a result for reading, or the given `range` of it, without loading it into memory.
    ///
    /// # Errors
    /// `not-found` if no result is stored under the key; `store-unavailable` if its object is missing; or the store's
    /// fault.
    pub async fn open(
        &self,
        tenant: &TenantId,
        output: &OutputRef,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<OpenResult, Fault> {
        let record = self.record(tenant, output).await?;
        let range = clamp(range, record.len);
        let body = match record.body {
            ResultBody::Inline(bytes) => {
                let (from, to) = (range.start as usize, range.end as usize);
                let piece = if from < to && to <= bytes.len() { bytes.slice(from..to) } else { Bytes::new() };
                stream::once(async move { Ok(piece) }).boxed()
            }
            ResultBody::Object if range.is_empty() => stream::empty().boxed(),
            ResultBody::Object => {
                let name = object_name(record.digest);
                let range = Range::Bytes(range.start, range.end);
                let opened = self.store.results(tenant).stream(&name, range).await;
                let opened = opened.map_err(|error| object_fault(record.digest, error))?;
                opened.stream.map_err(Fault::from).boxed()
            }
        };
        Ok(OpenResult { content_type: record.content_type, len: record.len, body })
    }

    /// Reads a whole result of at most `limit` bytes.
    ///
    /// # Errors
    /// `too-large`, or as for [`Self::open`].
    pub async fn read(&self, tenant: &TenantId, output: &OutputRef, limit: u64) -> Result<Bytes, Fault> {
        let record = self.record(tenant, output).await?;
        self.body(tenant, &record, limit).await
    }

    /// Reads the bytes of a record that was fetched before.
    ///
    /// # Errors
    /// `too-large`; `store-unavailable` if the result's object is missing; or the store's fault.
    pub async fn body(&self, tenant: &TenantId, record: &ResultRecord, limit: u64) -> Result<Bytes, Fault> {
        if record.len > limit {
            let message =
                format!("a result of {} bytes is larger than the {limit} bytes that may be read at once", record.len);
            return Err(Fault::new(Code::TooLarge, message));
        }
        match &record.body {
            ResultBody::Inline(bytes) => Ok(bytes.clone()),
            ResultBody::Object => {
                let read = self.store.results(tenant).get(&object_name(record.digest), limit).await;
                read.map_err(|error| object_fault(record.digest, error))
            }
        }
    }

    /// Reads one bucket of each shuffle output in `sources`, in their order. The bytes are charged before they are
    /// read.
    ///
    /// # Errors
    /// As for [`Self::open`]; `internal` if a result has no such bucket.
    pub async fn buckets(
        &self,
        tenant: &TenantId,
        sources: &[OutputRef],
        bucket: u32,
        charge: &Charge,
    ) -> Result<Vec<Bytes>, Fault> {
        let mut found = Vec::with_capacity(sources.len());
        for chunk in sources.chunks(1024) {
            let keys: Vec<_> = chunk.iter().map(|s| s.key).collect();
            for (source, record) in chunk.iter().zip(self.table.get_many(tenant, &keys).await?) {
                let record = record.ok_or_else(|| missing(&source.key))?;
                found.push(self.bucket(tenant, source, &record, bucket, charge).await?);
            }
        }
        Ok(found)
    }

    async fn bucket(
        &self,
        tenant: &TenantId,
        source: &OutputRef,
        record: &ResultRecord,
        bucket: u32,
        charge: &Charge,
    ) -> Result<Bytes, Fault> {
        let at = bucket as usize;
        let (Some(&start), Some(&end)) = (record.buckets.get(at), record.buckets.get(at + 1)) else {
            return Err(Fault::new(Code::Internal, format!("the result under {} has no bucket {bucket}", source.key)));
        };
        if let ResultBody::Inline(bytes) = &record.body {
            // A slice keeps the whole buffer alive, so all of it is charged.
            charge.grow(bytes.len() as u64)?;
            let (from, to) = (start as usize, end as usize);
            let inside = from <= to && to <= bytes.len();
            return inside
                .then(|| bytes.slice(from..to))
                .ok_or_else(|| Fault::new(Code::Internal, "a bucket lies outside its result"));
        }
        charge.grow(end.saturating_sub(start))?;
        let mut body = self.open(tenant, source, Some(start..end)).await?.body;
        let mut whole = Vec::with_capacity(usize::try_from(end.saturating_sub(start)).unwrap_or(0));
        while let Some(piece) = body.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }
}

fn missing(key: &TaskKey) -> Fault {
    Fault::new(Code::NotFound, format!("there is no result under {key}"))
}
