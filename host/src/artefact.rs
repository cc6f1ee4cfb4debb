//! Compiled modules on disk. This is the only module that turns stored bytes into machine code.
//!
//! `artefacts/{fingerprint}/{digest}.cwasm` starts with a 32-byte keyed BLAKE3 hash. The hash authenticates the rest of
//! the file together with the engine fingerprint and the module digest. The rest is three lengths, the module's facts,
//! its symbol table, and the machine code at a multiple of 16 bytes. The key is created once per data folder and is
//! readable only by its owner. A file that was written without the key, belongs to another module, or has a flipped bit
//! fails the check and is never loaded.
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
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};
use wasmtime::{Engine, Module, component::Component};

/// Identifies the file layout in the hash.
const FORMAT: &[u8] = b"fabric artefact 3";

/// Bytes before the facts: the hash, three lengths, and one reserved word.
const HEAD: usize = 32 + 4 * 4;

/// Machine code that passed its check. Only this type can be deserialised.
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

    /// Returns the size of the machine code in bytes.
    pub(crate) fn len(&self) -> usize {
        self.code().len()
    }

    /// Returns the module's facts.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Returns the module's symbol table.
    pub(crate) fn symbols(&self) -> Symbols {
        Symbols::new(self.bytes.get(self.symbols.clone()).unwrap_or_default().to_vec())
    }

    /// Detects the kind of machine code: component or core module.
    pub(crate) fn kind(&self) -> Option<wasmtime::Precompiled> {
        Engine::detect_precompiled(self.code())
    }

    pub(crate) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: only `Store` creates a `Checked`, from bytes that this process received from its own compile worker
        // or whose keyed BLAKE3 hash `Store::read` verified. Both are output of `Engine::precompile_component`, from a
        // worker that could not open any file of the host.
        unsafe { Component::deserialize(engine, self.code()) }
    }

    pub(crate) fn module(&self, engine: &Engine) -> wasmtime::Result<Module> {
        // SAFETY: as in `component`. The check in `Store::read` also covers core modules.
        unsafe { Module::deserialize(engine, self.code()) }
    }
}

/// The result of reading an artefact.
pub(crate) enum Found {
    Artefact(Checked),
    Absent,
    /// The file exists but failed the check.
    Corrupt,
}

/// Age of an artefact's recorded use at which a new use is recorded.
const USE_GRAIN: Duration = Duration::from_secs(3600);
/// Age at which a temporary file is considered abandoned by a process that died.
const LEFT: Duration = Duration::from_secs(86_400);
/// Divisor of the bound: after this share of it has been written, the folder is scanned again.
const LOOK_SHARE: u64 = 16;

/// The artefact store of a data folder.
pub(crate) struct Store {
    root: PathBuf,
    key: [u8; 32],
    /// Maximum size of all artefacts, in bytes.
    bound: u64,
    /// Bytes written since the last scan of the folder.
    written: AtomicU64,
}

impl Store {
    /// Opens the store under `data_dir` and evicts artefacts beyond `bound` bytes. Creates the folder and the key if
    /// they do not exist.
    pub(crate) fn open(data_dir: &Path, bound: u64) -> Result<Self, Error> {
        let root = data_dir.join("artefacts");
        fs::create_dir_all(&root).map_err(|source| Error::Io { path: root.clone(), source })?;
        let key = key(&data_dir.join("artefact.key"))?;
        let store = Self { root, key, bound, written: AtomicU64::new(0) };
        store.evict();
        Ok(store)
    }

    /// Removes the least recently used artefacts until the rest is within the bound. A removed artefact is compiled
    /// again at its next load.
    fn evict(&self) {
        self.written.store(0, Ordering::Relaxed);
        let folders = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        let mut all: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        let mut total = 0u64;
        for file in files {
            let (path, Ok(meta)) = (file.path(), file.metadata()) else { continue };
            let used = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if path.extension().is_some_and(|e| e == "tmp") {
                if used.elapsed().is_ok_and(|age| age > LEFT) {
                    let _ = fs::remove_file(&path);
                }
                continue;
            }
            total = total.saturating_add(meta.len());
            all.push((used, meta.len(), path));
        }
        all.sort();
        let (mut removed, mut bytes) = (0, 0u64);
        for (_, len, path) in all {
            if total <= self.bound {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total = total.saturating_sub(len);
                (removed, bytes) = (removed + 1, bytes + len);
            }
        }
        if removed > 0 {
            tracing::info!(removed, bytes, "compiled modules removed to stay within the bound");
        }
    }

    /// Records a use of an artefact.
    fn touch(path: &Path) {
        let touch = || {
            let file = fs::File::open(path)?;
            if file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > USE_GRAIN) {
                file.set_modified(SystemTime::now())?;
            }
            std::io::Result::Ok(())
        };
        // If this fails, the artefact is only evicted earlier.
        let _ = touch();
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

    /// Reads an artefact and checks its hash. Blocks on disk I/O.
    pub(crate) fn read(&self, fingerprint: &str, digest: &ModuleDigest) -> Found {
        let path = self.path(fingerprint, digest);
        let Ok(bytes) = fs::read(&path) else { return Found::Absent };
        Self::touch(&path);
        let Some((mac, content)) = bytes.split_first_chunk::<32>() else { return Found::Corrupt };
        // `blake3::Hash` compares in constant time.
        if self.mac(fingerprint, digest, content) != blake3::Hash::from_bytes(*mac) {
            return Found::Corrupt;
        }
        arranged(bytes).map_or(Found::Corrupt, Found::Artefact)
    }

    /// Stores the compile worker's output and returns it. A failed write is only logged: a full disk costs a later
    /// compilation, not this call. Returns `None` if a part is too long for the file layout.
    pub(crate) fn write(&self, fingerprint: &str, digest: &ModuleDigest, compiled: &Compiled) -> Option<Checked> {
        let mut bytes = arrange(compiled)?;
        let content = bytes.get(32..)?;
        let mac = self.mac(fingerprint, digest, content);
        bytes.get_mut(..32)?.copy_from_slice(mac.as_bytes());
        if let Err(error) = self.try_write(fingerprint, digest, &bytes) {
            tracing::warn!(module_digest = %digest, %error, "compiled module not stored on disk");
        }
        let len = bytes.len() as u64;
        if self.written.fetch_add(len, Ordering::Relaxed) + len > self.bound / LOOK_SHARE {
            self.evict();
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

/// Serialises a module into the file layout, with a zeroed hash. Returns `None` if a part is too long for its length
/// field.
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

/// Parses a file. The caller has checked or computed its hash.
fn arranged(bytes: Vec<u8>) -> Option<Checked> {
    let length = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk::<4>()?) as usize);
    let (facts, symbols, code) = (length(32)?, length(36)?, length(40)?);
    let from = HEAD.checked_add(facts)?;
    let symbols = from..from.checked_add(symbols)?;
    let facts = postcard::from_bytes(bytes.get(HEAD..from)?).ok()?;
    (symbols.end <= code && code < bytes.len()).then_some(Checked { facts, bytes, symbols, code })
}

/// Reads the folder's key, or creates it: 32 random bytes that only the owner can read.
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
    use super::*;
    use fabric_types::EngineClass;

    fn compiled(code: &[u8]) -> Compiled {
        let kind = fabric_types::function::EntryKind::Command;
        let entry = fabric_types::function::Entry { kind, handler: false, mapper: true, reducer: true };
        let facts = Facts { entry, describes: false, memory: 1 << 16, class: EngineClass::Deterministic };
        Compiled { facts, code: code.to_vec(), symbols: b"table".to_vec() }
    }

    #[test]
    fn only_what_this_folder_wrote_checks() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let digest = ModuleDigest::of(b"module");
        assert!(matches!(store.read("f", &digest), Found::Absent));
        store.write("f", &digest, &compiled(b"code")).unwrap();
        let Found::Artefact(code) = store.read("f", &digest) else { unreachable!() };
        assert_eq!((code.code(), code.facts()), (&b"code"[..], &compiled(b"").facts));
        assert_eq!((code.bytes.get(code.symbols.clone()).unwrap(), code.code % 16), (&b"table"[..], 0));
        // The key survives reopening the store.
        assert!(matches!(Store::open(dir.path(), 1 << 20).unwrap().read("f", &digest), Found::Artefact(_)));
        // An artefact that is renamed to another module or engine fails the check.
        let other = ModuleDigest::of(b"other");
        fs::copy(store.path("f", &digest), store.path("f", &other)).unwrap();
        assert!(matches!(store.read("f", &other), Found::Corrupt));
        fs::create_dir_all(dir.path().join("artefacts/g")).unwrap();
        fs::copy(store.path("f", &digest), store.path("g", &digest)).unwrap();
        assert!(matches!(store.read("g", &digest), Found::Corrupt));
        // An artefact written with another folder's key fails the check.
        let foreign = tempfile::tempdir().unwrap();
        let theirs = Store::open(foreign.path(), 1 << 20).unwrap();
        theirs.write("f", &digest, &compiled(b"evil")).unwrap();
        fs::copy(theirs.path("f", &digest), store.path("f", &digest)).unwrap();
        assert!(matches!(store.read("f", &digest), Found::Corrupt));
        // One flipped bit anywhere fails the check, including in the facts and symbols.
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
    fn what_was_used_longest_ago_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let digests: Vec<_> = (0..4u8).map(|n| ModuleDigest::of(&[n])).collect();
        let measuring = Store::open(dir.path(), 1 << 20).unwrap();
        measuring.write("f", &digests[0], &compiled(&[0; 268])).unwrap();
        let one = fs::metadata(measuring.path("f", &digests[0])).unwrap().len();
        // Room for three artefacts.
        let store = Store::open(dir.path(), one * 7 / 2).unwrap();
        let old = |digest, hours: u64| {
            let file = fs::File::open(store.path("f", digest)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        };
        for (digest, hours) in digests[..3].iter().zip([30, 20, 10]) {
            store.write("f", digest, &compiled(&[0; 268])).unwrap();
            old(digest, hours);
        }
        // The oldest artefact is read, so the next oldest is evicted instead.
        assert!(matches!(store.read("f", &digests[0]), Found::Artefact(_)));
        store.write("f", &digests[3], &compiled(&[0; 268])).unwrap();
        let kept: Vec<_> = digests.iter().map(|d| matches!(store.read("f", d), Found::Artefact(_))).collect();
        assert_eq!(kept, [true, false, true, true]);
    }

    #[test]
    fn the_key_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        Store::open(dir.path(), 1 << 20).unwrap();
        let mode = fs::metadata(dir.path().join("artefact.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
