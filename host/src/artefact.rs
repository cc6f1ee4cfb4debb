//! Compiled modules on disk, and the only place that turns stored bytes into machine code.
//!
//! `artefacts/{fingerprint}/{digest}.cwasm` holds 32 bytes of keyed BLAKE3, then what it authenticates together with the
//! fingerprint and the module's digest: three lengths, the module's facts, its table of names and lines, and the machine
//! code at a multiple of 16 bytes. The key is made once for each data folder and readable by its owner only: whoever
//! can't read it can't make a file that checks, so a file from elsewhere, of another module or with a flipped bit is never
//! loaded.
#![allow(unsafe_code)]

use crate::{
    compile::{Compiled, protocol::Facts},
    error::Error,
    symbols::table::Symbols,
};
use fabric_types::digest::ModuleDigest;
use std::{
    fs,
    io::Write as _,
    ops::Range,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use wasmtime::{Engine, Module, component::Component};

/// Says which arrangement of a file's bytes the digest is for.
const FORMAT: &[u8] = b"fabric artefact 2";

/// Bytes before the facts: the digest, three lengths, and room for one more.
const HEAD: usize = 32 + 4 * 4;

/// Machine code that passed its check: nothing else can be deserialised.
pub(crate) struct Checked {
    facts: Facts,
    bytes: Vec<u8>,
    symbols: Range<usize>,
    code: usize,
}

impl Checked {
    fn code(&self) -> &[u8] {
        self.bytes.get(self.code..).unwrap_or_default()
    }

    /// Bytes of machine code.
    pub(crate) fn len(&self) -> usize {
        self.code().len()
    }

    /// The module's facts.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its table of names and lines.
    pub(crate) fn symbols(&self) -> Symbols {
        Symbols::new(self.bytes.get(self.symbols.clone()).unwrap_or_default().to_vec())
    }

    /// Whether it is a component or a core module.
    pub(crate) fn kind(&self) -> Option<wasmtime::Precompiled> {
        Engine::detect_precompiled(self.code())
    }

    pub(crate) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `Checked` is only made by `Store`, from bytes that our own compile worker returned in this process
        // or whose keyed BLAKE3 was verified in `Store::read`; both are output of `Engine::precompile_component`, in a worker
        // that could open no file of ours.
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

    fn mac(&self, fingerprint: &str, digest: &ModuleDigest, content: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(FORMAT);
        hasher.update(&(fingerprint.len() as u64).to_le_bytes());
        hasher.update(fingerprint.as_bytes());
        hasher.update(&digest.0);
        hasher.update(content);
        hasher.finalize()
    }

    /// Reads and checks an artefact. Blocks on the disk.
    pub(crate) fn read(&self, fingerprint: &str, digest: &ModuleDigest) -> Found {
        let Ok(bytes) = fs::read(self.path(fingerprint, digest)) else { return Found::Absent };
        let Some((mac, content)) = bytes.split_first_chunk::<32>() else { return Found::Corrupt };
        // blake3::Hash compares in constant time.
        if self.mac(fingerprint, digest, content) != blake3::Hash::from_bytes(*mac) {
            return Found::Corrupt;
        }
        arranged(bytes).map_or(Found::Corrupt, Found::Artefact)
    }

    /// Keeps what the compile worker returned. A full disk costs a compilation later, not this call.
    pub(crate) fn write(&self, fingerprint: &str, digest: &ModuleDigest, compiled: &Compiled) -> Option<Checked> {
        let mut bytes = arrange(compiled)?;
        let content = bytes.get(32..)?;
        let mac = self.mac(fingerprint, digest, content);
        bytes.get_mut(..32)?.copy_from_slice(mac.as_bytes());
        if let Err(error) = self.try_write(fingerprint, digest, &bytes) {
            tracing::warn!(module_digest = %digest, %error, "compiled module not kept on disk");
        }
        arranged(bytes)
    }

    fn try_write(&self, fingerprint: &str, digest: &ModuleDigest, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.path(fingerprint, digest);
        let folder = self.root.join(fingerprint);
        fs::create_dir_all(&folder)?;
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|e| std::io::Error::other(e.to_string()))?;
        let temporary = folder.join(format!("{}.{}.tmp", digest.hex(), hex::encode(nonce)));
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            fs::rename(&temporary, &path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// A file's bytes, with room for the digest. `None` when a part is longer than a file can say.
fn arrange(compiled: &Compiled) -> Option<Vec<u8>> {
    let facts = postcard::to_stdvec(&compiled.facts).ok()?;
    let code = (HEAD + facts.len() + compiled.symbols.len()).next_multiple_of(16);
    let mut bytes = Vec::with_capacity(code + compiled.code.len());
    bytes.resize(32, 0);
    for length in [facts.len(), compiled.symbols.len(), code, 0] {
        bytes.extend(u32::try_from(length).ok()?.to_le_bytes());
    }
    bytes.extend_from_slice(&facts);
    bytes.extend_from_slice(&compiled.symbols);
    bytes.resize(code, 0);
    bytes.extend_from_slice(&compiled.code);
    Some(bytes)
}

/// Finds the parts of a file that checks.
fn arranged(bytes: Vec<u8>) -> Option<Checked> {
    let length = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?) as usize);
    let (facts, symbols, code) = (length(32)?, length(36)?, length(40)?);
    let from = HEAD.checked_add(facts)?;
    let symbols = from..from.checked_add(symbols)?;
    let facts = postcard::from_bytes(bytes.get(HEAD..from)?).ok()?;
    (symbols.end <= code && code < bytes.len()).then_some(Checked { facts, bytes, symbols, code })
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

    fn compiled(code: &[u8]) -> Compiled {
        let kind = fabric_types::function::EntryKind::Command;
        let entry = fabric_types::function::Entry { kind, handler: false, mapper: true, reducer: true };
        let facts = Facts { entry, describes: false, memory: 1 << 16, pure: true };
        Compiled { facts, code: code.to_vec(), symbols: b"table".to_vec() }
    }

    #[test]
    fn only_what_this_folder_wrote_checks() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = ModuleDigest::of(b"module");
        assert!(matches!(store.read("f", &digest), Found::Absent));
        store.write("f", &digest, &compiled(b"code")).unwrap();
        let Found::Artefact(code) = store.read("f", &digest) else { unreachable!() };
        assert_eq!((code.code(), code.facts()), (&b"code"[..], &compiled(b"").facts));
        assert_eq!((code.bytes.get(code.symbols.clone()).unwrap(), code.code % 16), (&b"table"[..], 0));
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
        theirs.write("f", &digest, &compiled(b"evil")).unwrap();
        fs::copy(theirs.path("f", &digest), store.path("f", &digest)).unwrap();
        assert!(matches!(store.read("f", &digest), Found::Corrupt));
        // One flipped bit anywhere, in the facts and names too.
        store.write("f", &digest, &compiled(b"code")).unwrap();
        let whole = fs::read(store.path("f", &digest)).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(store.path("f", &digest), flipped).unwrap();
            assert!(matches!(store.read("f", &digest), Found::Corrupt), "byte {at}");
        }
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
