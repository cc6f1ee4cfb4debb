//! Results as one object per key, created if absent, with small results inline. They are not packed: a job of many tiny
//! tasks pays one request per task, see `docs/adr/0005-fleet-backends.md`.

use crate::{
    Error, names,
    objects::{Found, Objects, WriteOutcome},
};
use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{
    maintenance::USE_RESOLUTION,
    results::{CommitOutcome, INLINE_BYTES, ResultBody, ResultRecord, Results},
};
use fabric_types::{
    digest::{ContentDigest, TaskKey},
    id::TenantId,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Concurrent requests per call.
const AT_ONCE: usize = 32;
/// The first byte of an object: the version of its format.
const FORM: u8 = 1;
/// Maximum size of an object in bytes: the inline bytes, and room for buckets and the media type.
const LONGEST: u64 = 16 << 20;

const _: () = assert!((INLINE_BYTES as u64) < LONGEST);

/// The stored form of a result.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Random number of this write, by which a writer recognises its own object.
    nonce: u64,
    digest: ContentDigest,
    len: u64,
    inline: Option<Bytes>,
    content_type: Option<String>,
    buckets: Vec<u64>,
    fuel: u64,
}

fn encode(record: &ResultRecord) -> Result<Bytes, Error> {
    let stored = Stored {
        nonce: rand::random(),
        digest: record.digest,
        len: record.len,
        inline: match &record.body {
            ResultBody::Inline(bytes) => Some(bytes.clone()),
            ResultBody::Object => None,
        },
        content_type: record.content_type.clone(),
        buckets: record.buckets.clone(),
        fuel: record.fuel,
    };
    postcard::to_extend(&stored, vec![FORM])
        .map(Bytes::from)
        .map_err(|e| Error::Damaged(format!("cannot encode a result: {e}")))
}

fn decode(path: &Path, found: &Found) -> Result<ResultRecord, Error> {
    let damaged = || Error::Damaged(format!("`{path}` is not a result"));
    let (form, rest) = found.bytes.split_first().ok_or_else(damaged)?;
    if *form != FORM {
        return Err(damaged());
    }
    let stored: Stored = postcard::from_bytes(rest).map_err(|_| damaged())?;
    Ok(ResultRecord {
        digest: stored.digest,
        len: stored.len,
        body: stored.inline.map_or(ResultBody::Object, ResultBody::Inline),
        content_type: stored.content_type,
        buckets: stored.buckets,
        fuel: stored.fuel,
    })
}

pub(crate) struct FleetResults {
    objects: Objects,
}

impl FleetResults {
    pub(crate) fn new(objects: Objects) -> Self {
        Self { objects }
    }

    fn path(&self, tenant: &TenantId, key: &TaskKey) -> Result<Path, Error> {
        let hex = key.hex();
        names::leaf(self.objects.root(), &format!("{tenant}/{}/{hex}", hex.get(..2).unwrap_or_default()))
    }

    async fn one(&self, path: Path, record: &ResultRecord) -> Result<(CommitOutcome, ContentDigest), Error> {
        match self.objects.create(&path, encode(record)?).await? {
            WriteOutcome::Written(_) | WriteOutcome::Missing => Ok((CommitOutcome::Stored, record.digest)),
            WriteOutcome::Conflict(found) => {
                let digest = decode(&path, &found)?.digest;
                Ok((compare(digest, record), digest))
            }
        }
    }
}

/// Returns `true` if the last write is so old that a new use must be recorded.
fn is_long_ago(written_ms: u64) -> bool {
    let grain = USE_RESOLUTION.as_millis() as u64;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as u64;
    written_ms.saturating_add(grain) < now
}

fn compare(there: ContentDigest, record: &ResultRecord) -> CommitOutcome {
    if there == record.digest { CommitOutcome::Same } else { CommitOutcome::Differs(there) }
}

#[async_trait]
impl Results for FleetResults {
    async fn get_many(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<Vec<Option<ResultRecord>>, Error> {
        let paths = keys.iter().map(|key| self.path(tenant, key)).collect::<Result<Vec<_>, _>>()?;
        stream::iter(paths)
            .map(async |path| {
                let Some(found) = self.objects.get(&path, LONGEST).await? else { return Ok(None) };
                let record = decode(&path, &found)?;
                if is_long_ago(found.written_ms) {
                    // Rewriting renews the object's time, so that a result in use does not expire.
                    self.objects.replace(&path, &found.etag, encode(&record)?).await?;
                }
                Ok(Some(record))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        results: Vec<(TaskKey, ResultRecord)>,
    ) -> Result<Vec<CommitOutcome>, Error> {
        // The first result of each key is written. Later ones of the same key are compared with the stored one.
        let mut first: HashMap<TaskKey, usize> = HashMap::with_capacity(results.len());
        let mut writes = Vec::with_capacity(results.len());
        for (at, (key, record)) in results.iter().enumerate() {
            if let std::collections::hash_map::Entry::Vacant(entry) = first.entry(*key) {
                entry.insert(at);
                let path = self.path(tenant, key)?;
                writes.push(async move { Ok::<_, Error>((at, self.one(path, record).await?)) });
            }
        }
        let written: HashMap<usize, (CommitOutcome, ContentDigest)> =
            stream::iter(writes).buffer_unordered(AT_ONCE).try_collect().await?;
        let answer = |at: usize, key: &TaskKey, record: &ResultRecord| {
            let (commit, there) = first.get(key).and_then(|at| written.get(at))?;
            Some(if first.get(key) == Some(&at) { *commit } else { compare(*there, record) })
        };
        let answers = results.iter().enumerate().map(|(at, (key, record))| answer(at, key, record));
        answers
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::Damaged("the store did not answer for every result".to_owned()))
    }

    async fn delete(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<(), Error> {
        let paths = keys.iter().map(|key| self.path(tenant, key)).collect::<Result<Vec<_>, _>>()?;
        stream::iter(paths)
            .map(async |path| self.objects.delete(&path).await)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}
