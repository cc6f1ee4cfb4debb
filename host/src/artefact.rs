//! Compiled modules on disk, and the only place that turns stored bytes into machine code.
//!
//! `artefacts/{fingerprint}/{digest}.cwasm` holds 32 bytes of keyed BLAKE3 over (fingerprint, module digest, code),
//! then the code. The key is made once for each data folder and readable by its owner only: whoever can't read it can't
//! make a file that checks, so a file from elsewhere, of another module or with a flipped bit is never loaded.
#![allow(unsafe_code)]

use crate::error::Error;
use fabric_types::digest::ModuleDigest;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use wasmtime::{Engine, Module, component::Component};

/// Machine code that passed its check: nothing else can be deserialised.
pub(crate) struct Checked {
    code: Vec<u8>,
    at: usize,
}

impl Checked {
    fn code(&self) -> &[u8] {
        self.code.get(self.at..).unwrap_or_default()
    }

    /// Bytes of machine code.
    pub(crate) fn len(&self) -> usize {
        self.code().len()
    }

    /// Whether it is a component or a core module.
    pub(crate) fn kind(&self) -> Option<wasmtime::Precompiled> {
        Engine::detect_precompiled(self.code())
    }

    pub(crate) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `Checked` is only made by `Store`, from bytes that our own compile worker returned in this process
        // or whose keyed BLAKE3 was verified in `Store::read`; both are output of `Engine::precompile_component`.
        unsafe { Component::deserialize(engine, self.code()) }
    }

    pub(crate) fn module(&self, engine: &Engine) -> wasmtime::Result<Module> {
        // SAFETY: as above; the digest check in `Store::read` covers core modules alike.
        unsafe { Module::deserialize(engine, self.code()) }
    }
}

/// What reading an artefact gave.
pub(crate) enum Found {
    Artefact(Checked),
    Absent,
    /// It was there and did not check.
    Corrupt,
}

/// The artefacts of a data folder.
pub(crate) struct Store {
    root: PathBuf,
    key: [u8; 32],
}

impl Store {
    /// Opens the artefacts under `data_dir`, making the folder and the key when they are absent.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, Error> {
        let root = data_dir.join("artefacts");
        fs::create_dir_all(&root).map_err(|source| Error::Io { path: root.clone(), source })?;
        let key = key(&data_dir.join("artefact.key"))?;
        Ok(Self { root, key })
    }

    fn path(&self, fingerprint: &str, digest: &ModuleDigest) -> PathBuf {
        self.root.join(fingerprint).join(format!("{}.cwasm", digest.hex()))
    }

    fn mac(&self, fingerprint: &str, digest: &ModuleDigest, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&(fingerprint.len() as u64).to_le_bytes());
        hasher.update(fingerprint.as_bytes());
        hasher.update(&digest.0);
        hasher.update(code);
        hasher.finalize()
    }

    /// Reads and checks an artefact. Blocks on the disk.
    pub(crate) fn read(&self, fingerprint: &str, digest: &ModuleDigest) -> Found {
        let Ok(bytes) = fs::read(self.path(fingerprint, digest)) else { return Found::Absent };
        let Some((mac, code)) = bytes.split_first_chunk::<32>() else { return Found::Corrupt };
        // blake3::Hash compares in constant time.
        if self.mac(fingerprint, digest, code) == blake3::Hash::from_bytes(*mac) {
            Found::Artefact(Checked { code: bytes, at: 32 })
        } else {
            Found::Corrupt
        }
    }

    /// Keeps what the compile worker returned. A full disk costs a compilation later, not this call.
    pub(crate) fn write(&self, fingerprint: &str, digest: &ModuleDigest, code: Vec<u8>) -> Checked {
        if let Err(error) = self.try_write(fingerprint, digest, &code) {
            tracing::warn!(module_digest = %digest, %error, "compiled module not kept on disk");
        }
        Checked { code, at: 0 }
    }

    fn try_write(&self, fingerprint: &str, digest: &ModuleDigest, code: &[u8]) -> std::io::Result<()> {
        let path = self.path(fingerprint, digest);
        let folder = self.root.join(fingerprint);
        fs::create_dir_all(&folder)?;
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|e| std::io::Error::other(e.to_string()))?;
        let temporary = folder.join(format!("{}.{}.tmp", digest.hex(), hex::encode(nonce)));
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(self.mac(fingerprint, digest, code).as_bytes())?;
            file.write_all(code)?;
            fs::rename(&temporary, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// The folder's key: 32 random bytes that only the owner may read.
fn key(path: &Path) -> Result<[u8; 32], Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut key = [0; 32];
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            getrandom::fill(&mut key).map_err(|e| Error::Random(e.to_string()))?;
            file.write_all(&key).map_err(io)?;
            file.sync_all().map_err(io)?;
            Ok(key)
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::read(path).map_err(io)?.try_into().map_err(|_| Error::Key(path.to_owned()))
        }
        Err(e) => Err(io(e)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn only_what_this_folder_wrote_checks() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = ModuleDigest::of(b"module");
        assert!(matches!(store.read("f", &digest), Found::Absent));
        store.write("f", &digest, b"code".to_vec());
        let Found::Artefact(code) = store.read("f", &digest) else { unreachable!() };
        assert_eq!(code.code(), b"code");
        // Opened again, the key is the same.
        assert!(matches!(Store::open(dir.path()).unwrap().read("f", &digest), Found::Artefact(_)));
        // Moved to another module's or another engine's name, it does not check.
        let other = ModuleDigest::of(b"other");
        fs::copy(store.path("f", &digest), store.path("f", &other)).unwrap();
        assert!(matches!(store.read("f", &other), Found::Corrupt));
        fs::create_dir_all(dir.path().join("artefacts/g")).unwrap();
        fs::copy(store.path("f", &digest), store.path("g", &digest)).unwrap();
        assert!(matches!(store.read("g", &digest), Found::Corrupt));
        // A file made with another folder's key does not check.
        let foreign = tempfile::tempdir().unwrap();
        let theirs = Store::open(foreign.path()).unwrap();
        theirs.write("f", &digest, b"evil".to_vec());
        fs::copy(theirs.path("f", &digest), store.path("f", &digest)).unwrap();
        assert!(matches!(store.read("f", &digest), Found::Corrupt));
        fs::write(store.path("f", &digest), b"short").unwrap();
        assert!(matches!(store.read("f", &digest), Found::Corrupt));
    }

    #[test]
    fn the_key_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        Store::open(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join("artefact.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
