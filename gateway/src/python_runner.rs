//! The Python runner of the server: the module with which clients run Python functions. A client deploys it by its digest
//! instead of uploading it, so that it needs none of its own.

use crate::{Error, error::Result};
use bytes::Bytes;
use fabric_types::{Code, digest::ModuleDigest};
use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// The runner's file. Its bytes are read when they are needed.
#[derive(Debug)]
pub struct PythonRunner {
    path: PathBuf,
    digest: ModuleDigest,
    bytes: u64,
    compiled: AtomicBool,
}

impl PythonRunner {
    /// Reads the file once, for its digest. Blocks.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        Ok(Self {
            path: path.to_owned(),
            digest: ModuleDigest::of(&bytes),
            bytes: bytes.len() as u64,
            compiled: AtomicBool::new(false),
        })
    }

    /// Returns the digest of the module.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.digest
    }

    /// Returns the size of the module in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// Records that the module is compiled for all functions.
    pub fn set_compiled(&self) {
        self.compiled.store(true, Ordering::Relaxed);
    }

    /// Returns `true` once the module is compiled for all functions.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        self.compiled.load(Ordering::Relaxed)
    }

    /// Reads the module.
    ///
    /// # Errors
    /// `unavailable` if the file was removed or replaced since the start.
    pub async fn read(&self) -> Result<Bytes> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || {
            let bytes = std::fs::read(path)?;
            let digest = ModuleDigest::of(&bytes);
            io::Result::Ok((digest, Bytes::from(bytes)))
        });
        match read.await {
            Ok(Ok((digest, bytes))) if digest == self.digest => Ok(bytes),
            Ok(Ok(_)) => Err(changed("it was replaced")),
            Ok(Err(e)) => Err(changed(&e.to_string())),
            Err(e) => Err(Error::new(Code::Internal, format!("reading the Python runner failed: {e}"))),
        }
    }
}

fn changed(why: &str) -> Error {
    Error::new(Code::Unavailable, format!("the server's Python runner cannot be read: {why}"))
        .hint("the operator has to restart the server")
}
