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
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
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

/// How old the note of an artefact's last use may become: a later use is written down.
const USE_GRAIN: Duration = Duration::from_secs(3600);
/// When half of a write is taken for left by a process that died.
const LEFT: Duration = Duration::from_secs(86_400);
/// What is written before the folder is looked at again, as one part in so many of the bound.
const LOOK_SHARE: u64 = 16;

/// The artefacts of a data folder.
pub(crate) struct Store {
    root: PathBuf,
    key: [u8; 32],
    /// Bytes that may be kept.
    bound: u64,
    /// Bytes written since the folder was looked at.
    written: AtomicU64,
}

impl Store {
    /// Opens the artefacts under `data_dir`, making the folder and the key when they are absent, and removes those that go
    /// beyond so many bytes.
    pub(crate) fn open(data_dir: &Path, bound: u64) -> Result<Self, Error> {
        let root = data_dir.join("artefacts");
        fs::create_dir_all(&root).map_err(|source| Error::Io { path: root.clone(), source })?;
        let key = key(&data_dir.join("artefact.key"))?;
        let store = Self { root, key, bound, written: AtomicU64::new(0) };
        store.evict();
        Ok(store)
    }

    /// Removes what was not used for longest until the rest is within the bound. An artefact that is gone is compiled again.
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

    /// Notes that an artefact is used.
    fn touch(path: &Path) {
        let touch = || {
            let file = fs::File::open(path)?;
            if file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > USE_GRAIN) {
                file.set_modified(SystemTime::now())?;
            }
            std::io::Result::Ok(())
        };
        // It only goes a little earlier.
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

    /// Reads and checks an artefact. Blocks on the disk.
    pub(crate) fn read(&self, fingerprint: &str, digest: &ModuleDigest) -> Found {
        let path = self.path(fingerprint, digest);
        let Ok(bytes) = fs::read(&path) else { return Found::Absent };
        Self::touch(&path);
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
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let digest = ModuleDigest::of(b"module");
        assert!(matches!(store.read("f", &digest), Found::Absent));
        store.write("f", &digest, &compiled(b"code")).unwrap();
        let Found::Artefact(code) = store.read("f", &digest) else { unreachable!() };
        assert_eq!((code.code(), code.facts()), (&b"code"[..], &compiled(b"").facts));
        assert_eq!((code.bytes.get(code.symbols.clone()).unwrap(), code.code % 16), (&b"table"[..], 0));
        // Opened again, the key is the same.
        assert!(matches!(Store::open(dir.path(), 1 << 20).unwrap().read("f", &digest), Found::Artefact(_)));
        // Moved to another module's or another engine's name, it does not check.
        let other = ModuleDigest::of(b"other");
        fs::copy(store.path("f", &digest), store.path("f", &other)).unwrap();
        assert!(matches!(store.read("f", &other), Found::Corrupt));
        fs::create_dir_all(dir.path().join("artefacts/g")).unwrap();
        fs::copy(store.path("f", &digest), store.path("g", &digest)).unwrap();
        assert!(matches!(store.read("g", &digest), Found::Corrupt));
        // A file made with another folder's key does not check.
        let foreign = tempfile::tempdir().unwrap();
        let theirs = Store::open(foreign.path(), 1 << 20).unwrap();
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
    fn what_was_used_longest_ago_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let digests: Vec<_> = (0..4u8).map(|n| ModuleDigest::of(&[n])).collect();
        let measuring = Store::open(dir.path(), 1 << 20).unwrap();
        measuring.write("f", &digests[0], &compiled(&[0; 268])).unwrap();
        let one = fs::metadata(measuring.path("f", &digests[0])).unwrap().len();
        // Room for three of them.
        let store = Store::open(dir.path(), one * 7 / 2).unwrap();
        let old = |digest, hours: u64| {
            let file = fs::File::open(store.path("f", digest)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        };
        for (digest, hours) in digests[..3].iter().zip([30, 20, 10]) {
            store.write("f", digest, &compiled(&[0; 268])).unwrap();
            old(digest, hours);
        }
        // The oldest is used, so the next goes in its place.
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
