//! Results by task key and modules by digest: objects whose names the fabric makes.

use crate::{Conditions, Error, ObjectBody, ObjectPath, Objects, PutOptions, Range};
use bytes::Bytes;
use fabric_types::{
    digest::{ModuleDigest, TaskKey},
    rest::object::ObjectInfo,
};

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
    ObjectPath::new(format!("{}/{hex}", hex.get(..2).unwrap_or(hex)))
}

async fn commit(objects: &Objects, path: &ObjectPath, bytes: Bytes) -> Result<Commit, Error> {
    match objects.put_bytes(path, bytes, PutOptions { if_absent: true, if_match: None }).await {
        Ok(_) => Ok(Commit::Written),
        Err(Error::PreconditionFailed { .. }) => Ok(Commit::Existed),
        Err(e) => Err(e),
    }
}

/// The results of one tenant's tasks, by task key. Cloning is cheap.
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

    /// Removes a module.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Backend`] if the store fails.
    pub async fn delete(&self, digest: &ModuleDigest) -> Result<(), Error> {
        self.0.delete(&named(&digest.hex())?).await
    }
}
