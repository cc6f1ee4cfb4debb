//! The database file: lock, mode, pragmas, tables and migrations.

use fabric_backend::Error;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

/// One step per schema version; `user_version` counts the applied steps. Steps are only ever appended, never edited.
///
/// `results.slot` is the first eight bytes of the key. An index of integers is a third of the size of an index of keys,
/// so a batch of random keys touches fewer pages. The full key is still compared in the row. `results.used` is the time
/// when a result was committed or last read, in seconds since 1970, up to [`fabric_backend::maintenance::USE_RESOLUTION`] late.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
INSERT INTO meta VALUES ('revision', 0), ('boot', 0);
CREATE TABLE registry (key BLOB PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE streams (id INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL UNIQUE, len INTEGER NOT NULL) STRICT;
CREATE TABLE records (stream INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (stream, seq))
    WITHOUT ROWID, STRICT;
CREATE TABLE results (
    id INTEGER PRIMARY KEY, slot INTEGER NOT NULL, tenant TEXT NOT NULL, key BLOB NOT NULL, digest BLOB NOT NULL,
    len INTEGER NOT NULL, fuel INTEGER NOT NULL, content_type TEXT, buckets BLOB, body BLOB
) STRICT;
CREATE INDEX results_slot ON results (slot);
",
    "
ALTER TABLE results ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
UPDATE results SET used = unixepoch();
CREATE INDEX results_used ON results (tenant, used);
",
];

/// Maximum time that a statement waits for another connection of this process.
const BUSY: Duration = Duration::from_secs(10);

/// Converts an error of SQLite.
pub(super) fn failed(context: &str, source: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
    if source.sqlite_error_code() == Some(DiskFull) {
        return Error::Full { backend: "sqlite", context: context.to_owned() };
    }
    let retryable = matches!(source.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked | SystemIoFailure));
    Error::Backend { backend: "sqlite", context: context.to_owned(), source: Box::new(source), retryable }
}

fn failed_io(context: String, source: std::io::Error) -> Error {
    Error::Backend { backend: "sqlite", context, source: Box::new(source), retryable: false }
}

/// Returns the path of the lock file, next to `path`. The lock is not on the database itself, since closing any handle
/// of that file would drop SQLite's own locks.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    name.into()
}

fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let file = options.mode(0o600).open(path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        Ok(file)
    }
    #[cfg(not(unix))]
    options.open(path)
}

/// Locks the file at `path` for the lifetime of the returned handle, and makes the file private.
pub(super) fn claim(path: &Path) -> Result<File, Error> {
    let lock = private_file(&lock_path(path)).map_err(|e| failed_io(format!("open `{}`", path.display()), e))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: path.display().to_string() }),
        Err(TryLockError::Error(e)) => return Err(failed_io(format!("lock `{}`", path.display()), e)),
    }
    private_file(path).map_err(|e| failed_io(format!("open `{}`", path.display()), e))?;
    Ok(lock)
}

/// Opens the write connection and migrates the tables.
pub(super) fn open_writer(path: Option<&Path>) -> Result<Connection, Error> {
    let what = path.map_or_else(|| "memory".to_owned(), |p| p.display().to_string());
    let mut conn = match path {
        Some(path) => Connection::open(path),
        None => Connection::open_in_memory(),
    }
    .map_err(|e| failed(&format!("open `{what}`"), e))?;
    configure(&conn).and_then(|()| journal_mode(&conn)).map_err(|e| failed(&format!("open `{what}`"), e))?;
    if path.is_some()
        && let Err(error) = shrinkable(&conn)
    {
        tracing::warn!(%error, file = what, "failed to enable incremental vacuum, retrying at the next start");
    }
    migrate(&mut conn, &what)?;
    Ok(conn)
}

/// Pages returned to the file system per step: about 4 MiB, a few milliseconds.
const SHRINK_PAGES: i64 = 1024;
/// Free pages that stay in the file for later writes.
const FREE_PAGES: i64 = 1024;

/// Enables incremental vacuum. A file of an earlier release is rewritten once, which temporarily needs the same space
/// again.
fn shrinkable(conn: &Connection) -> rusqlite::Result<()> {
    let mode: i64 = conn.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if mode == 2 {
        return Ok(());
    }
    conn.pragma_update(None, "auto_vacuum", 2)?;
    let pages: i64 = conn.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if pages > 0 {
        tracing::info!(pages, "rewriting the database once so that it can shrink");
        conn.execute_batch("VACUUM")?;
    }
    Ok(())
}

/// Returns up to [`SHRINK_PAGES`] free pages to the file system. Returns `true` if there are more.
pub(super) fn shrink(conn: &Connection) -> rusqlite::Result<bool> {
    let free = |conn: &Connection| conn.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let before = free(conn)?;
    if before <= FREE_PAGES {
        return Ok(false);
    }
    let pages = (before - FREE_PAGES).min(SHRINK_PAGES);
    let mut vacuum = conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    // The statement returns one row per page.
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    drop(vacuum);
    let after = free(conn)?;
    if after <= FREE_PAGES {
        // The file becomes shorter at the next checkpoint of the write-ahead log. Readers may delay it.
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    // No pages are returned if the file does not support incremental vacuum.
    Ok(after > FREE_PAGES && after < before)
}

/// Opens a read-only connection.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
        .and_then(|conn| {
            configure(&conn)?;
            conn.pragma_update(None, "query_only", true)?;
            Ok(conn)
        })
        .map_err(|e| failed(&format!("open `{}`", path.display()), e))
}

fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update(None, "cache_size", -8192)?; // KiB
    conn.pragma_update(None, "mmap_size", 256 << 20)?;
    Ok(())
}

fn journal_mode(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 4000)?;
    conn.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    Ok(())
}

fn migrate(conn: &mut Connection, what: &str) -> Result<(), Error> {
    let context = format!("update the tables of `{what}`");
    let known = MIGRATIONS.len();
    let found: i64 =
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| failed(&context, e))?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > known {
        return Err(Error::Newer { path: what.to_owned(), found, known });
    }
    for (done, step) in MIGRATIONS.iter().enumerate().skip(found) {
        let apply = |conn: &mut Connection| {
            let tx = conn.transaction()?;
            tx.execute_batch(step)?;
            tx.pragma_update(None, "user_version", i64::try_from(done + 1).unwrap_or(i64::MAX))?;
            tx.commit()
        };
        apply(conn).map_err(|e| failed(&context, e))?;
    }
    Ok(())
}
