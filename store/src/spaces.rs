//! Results by task key and modules by digest: objects whose names the fabric makes.

use crate::{Conditions, Error, ObjectBody, ObjectPath, ObjectPrefix, Objects, PutOptions, Range};
use bytes::Bytes;
use fabric_types::{
    digest::{ModuleDigest, TaskKey},
    rest::object::ObjectInfo,
};
use futures::TryStreamExt as _;

/// What became of a write under a key that only the first writer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// These bytes are there now.
    Written,
    /// Something was there already; nothing was written.
    Existed,
}

fn named(hex: &str) -> Result<ObjectPath, Error> {
    // Two levels, so that no folder of a local store grows without bound.
    Ok(ObjectPath::new(format!("{}/{hex}", hex.get(..2).unwrap_or(hex)))?)
}

/// How old an object may be that a writer finds, milliseconds; an older one is written again, which makes it new. What
/// removes objects that nothing names spares those younger than [`SPARED_MS`], so a writer has the time between the two to
/// make a name.
const FRESH_MS: u64 = 60 * 1000;
/// Objects younger than this are not removed as unnamed, milliseconds.
const SPARED_MS: u64 = 5 * 60 * 1000;

fn now_ms() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn commit(objects: &Objects, path: &ObjectPath, bytes: Bytes) -> Result<Commit, Error> {
    match objects.put_bytes(path, bytes.clone(), PutOptions { if_absent: true, ..PutOptions::default() }).await {
        Ok(_) => return Ok(Commit::Written),
        Err(Error::PreconditionFailed { .. }) => {}
        Err(e) => return Err(e),
    }
    match objects.head(path).await {
        Ok(info) if now_ms().saturating_sub(info.modified_ms) < FRESH_MS => Ok(Commit::Existed),
        Ok(_) | Err(Error::NotFound { .. }) => {
            objects.put_bytes(path, bytes, PutOptions::default()).await.map(|_| Commit::Existed)
        }
        Err(e) => Err(e),
    }
}

/// What a sweep does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepMode {
    /// It removes it.
    Remove,
    /// It counts it.
    Count,
}

/// Removes objects of a space that `named` does not know and that have been there for a while.
async fn sweep(objects: &Objects, mode: SweepMode, named: impl Fn(&[u8; 32]) -> bool) -> Result<Swept, Error> {
    let before_ms = now_ms().saturating_sub(SPARED_MS);
    let mut all = std::pin::pin!(objects.list_all(&ObjectPrefix::default(), None)?);
    let mut swept = Swept::default();
    while let Some(info) = all.try_next().await? {
        let name = info.path.rsplit('/').next().unwrap_or_default();
        let mut digest = [0; 32];
        if info.modified_ms >= before_ms || hex::decode_to_slice(name, &mut digest).is_err() || named(&digest) {
            continue;
        }
        if mode == SweepMode::Count {
            swept.objects += 1;
            swept.bytes += info.size;
        } else if let Some(bytes) = objects.delete_if_older(&ObjectPath::new(&info.path)?, before_ms).await? {
            swept.objects += 1;
            swept.bytes += bytes;
        }
    }
    Ok(swept)
}

/// What a sweep removed, or found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The results of one tenant's tasks, each under a name that stands for its bytes. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Results(Objects);

impl Results {
    pub(crate) fn new(objects: Objects) -> Self {
        Self(objects)
    }

    /// Writes a result unless there is one under the key. Exactly one of several writers gets [`Commit::Written`].
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails; it is then unknown whether the result was written, and writing again
    /// is safe.
    pub async fn commit(&self, key: &TaskKey, bytes: Bytes) -> Result<Commit, Error> {
        commit(&self.0, &named(&key.hex())?, bytes).await
    }

    /// Reads a result of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`], and [`Error::Backend`] if the store fails.
    pub async fn get(&self, key: &TaskKey, limit: u64) -> Result<Bytes, Error> {
        Ok(self.0.get_bytes(&named(&key.hex())?, limit).await?.1)
    }

    /// Reads a result, or part of it, as a stream.
    ///
    /// # Errors
    /// As [`Objects::get`].
    pub async fn stream(&self, key: &TaskKey, range: Range) -> Result<ObjectBody, Error> {
        self.0.get(&named(&key.hex())?, range, &Conditions::default()).await
    }

    /// What is known of a result, or `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn find(&self, key: &TaskKey) -> Result<Option<ObjectInfo>, Error> {
        match self.0.head(&named(&key.hex())?).await {
            Ok(info) => Ok(Some(info)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes results that `named` does not know, but for those of the last minutes.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn sweep(&self, mode: SweepMode, named: impl Fn(&[u8; 32]) -> bool) -> Result<Swept, Error> {
        sweep(&self.0, mode, named).await
    }

    /// Removes a result.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Backend`] if the store fails.
    pub async fn delete(&self, key: &TaskKey) -> Result<(), Error> {
        self.0.delete(&named(&key.hex())?).await
    }
}

/// The modules that one tenant uploaded, by digest. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Modules(Objects);

impl Modules {
    pub(crate) fn new(objects: Objects) -> Self {
        Self(objects)
    }

    /// Stores a module under the digest of its bytes.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn put(&self, bytes: Bytes) -> Result<(ModuleDigest, Commit), Error> {
        let digest = ModuleDigest::of(&bytes);
        let commit = commit(&self.0, &named(&digest.hex())?, bytes).await?;
        Ok((digest, commit))
    }

    /// Reads a module of at most `limit` bytes and checks its digest.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`], [`Error::Corrupt`] if the bytes are not those that the digest
    /// names, and [`Error::Backend`] if the store fails.
    pub async fn get(&self, digest: &ModuleDigest, limit: u64) -> Result<Bytes, Error> {
        let (_, bytes) = self.0.get_bytes(&named(&digest.hex())?, limit).await?;
        if ModuleDigest::of(&bytes) != *digest {
            return Err(Error::Corrupt { what: format!("module {digest}") });
        }
        Ok(bytes)
    }

    /// Whether the module is there.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn has(&self, digest: &ModuleDigest) -> Result<bool, Error> {
        match self.0.head(&named(&digest.hex())?).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Removes modules that `named` does not know, but for those of the last minutes.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn sweep(&self, mode: SweepMode, named: impl Fn(&[u8; 32]) -> bool) -> Result<Swept, Error> {
        sweep(&self.0, mode, named).await
    }

    /// Removes a module.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Backend`] if the store fails.
    pub async fn delete(&self, digest: &ModuleDigest) -> Result<(), Error> {
        self.0.delete(&named(&digest.hex())?).await
    }
}
