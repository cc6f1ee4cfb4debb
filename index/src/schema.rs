//! The two database files and their tables.

use crate::Error;
use rusqlite::Connection;
use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    time::Duration,
};

/// Increases with every change of the tables. An index of any other version is recreated.
const INDEX_VERSION: i64 = 3;
/// The position in each activity stream.
const STREAMS: &str = "
CREATE TABLE streams (name TEXT PRIMARY KEY, read INTEGER NOT NULL) WITHOUT ROWID, STRICT;
";

const INDEX: &str = "
CREATE TABLE jobs (
    n INTEGER PRIMARY KEY, tenant TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, function TEXT NOT NULL,
    name TEXT NOT NULL, created INTEGER NOT NULL, deleted INTEGER NOT NULL, tags TEXT NOT NULL, words TEXT NOT NULL,
    body TEXT NOT NULL, UNIQUE (tenant, id)
) STRICT;
CREATE INDEX jobs_state ON jobs (tenant, state, id);
CREATE INDEX jobs_function ON jobs (tenant, function, id);
CREATE VIRTUAL TABLE job_words USING fts5 (words, content = '', contentless_delete = 1, tokenize = 'trigram');
CREATE TABLE invocations (
    tenant TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, function TEXT NOT NULL, created INTEGER NOT NULL,
    body TEXT NOT NULL, PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX invocations_function ON invocations (tenant, function, id);
CREATE TABLE dead_letters (
    tenant TEXT NOT NULL, job TEXT NOT NULL, task INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (tenant, job, task)
) WITHOUT ROWID, STRICT;
CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, at INTEGER NOT NULL, invocation TEXT NOT NULL,
    function TEXT NOT NULL, task TEXT, source TEXT NOT NULL, rank INTEGER NOT NULL, level TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX logs_tenant ON logs (tenant, id);
CREATE INDEX logs_invocation ON logs (tenant, invocation, id);
CREATE INDEX logs_function ON logs (tenant, function, id);
";

/// Migrations of the usage file, since usage must be preserved; its version counts the applied steps. `day` counts UTC
/// days from 1970; see [`usage::compact`](crate::usage::compact).
const USAGE: &[&str] = &[
    "
CREATE TABLE usage (
    tenant TEXT NOT NULL, day INTEGER NOT NULL, function TEXT NOT NULL, invocations INTEGER NOT NULL,
    failed INTEGER NOT NULL, cancelled INTEGER NOT NULL, cached INTEGER NOT NULL, fuel INTEGER NOT NULL,
    guest_us INTEGER NOT NULL, gpu_us INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, function)
) WITHOUT ROWID, STRICT;
",
    STREAMS,
];

/// Returns the path of the usage file of the index at `path`.
pub(crate) fn usage_path(path: &Path) -> PathBuf {
    beside(path, "-usage")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Creates the file with access for its owner only, before SQLite does.
fn private(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|source| Error::File { path: path.display().to_string(), source })
}

fn configure(conn: &Connection, synchronous: &str) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::from_secs(10))?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "cache_size", -8192)?; // KiB
    conn.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))?;
    Ok(())
}

fn version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn create(conn: &Connection, tables: &[&str], version: i64) -> rusqlite::Result<()> {
    let tx = conn.unchecked_transaction()?;
    for table in tables {
        tx.execute_batch(table)?;
    }
    tx.pragma_update(None, "user_version", version)?;
    tx.commit()
}

/// Pages returned to the file system per step: about 4 MiB, a few milliseconds.
const SHRINK_PAGES: i64 = 1024;
/// Free pages that stay in the file for later writes.
const FREE_PAGES: i64 = 512;
/// Size in bytes above which the write-ahead log is emptied while no write waits. SQLite itself checkpoints at four
/// times this size, and keeps the length of the log.
const IDLE_WAL: u64 = 1 << 20;

/// Returns the size of the write-ahead log in bytes; 0 for an index in memory.
fn wal_len(conn: &Connection) -> u64 {
    let wal = conn.path().filter(|path| !path.is_empty()).map(|path| beside(Path::new(path), "-wal"));
    wal.and_then(|wal| std::fs::metadata(wal).ok()).map_or(0, |meta| meta.len())
}

/// Moves the write-ahead log into the database file, which then has its true length. Readers may delay it.
fn empty_wal(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Returns some free pages to the file system. Returns `true` if there are more.
pub(crate) fn shrink(conn: &Connection) -> rusqlite::Result<bool> {
    let free = |conn: &Connection| conn.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let before = free(conn)?;
    if before <= FREE_PAGES {
        if wal_len(conn) > IDLE_WAL {
            empty_wal(conn)?;
        }
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
        empty_wal(conn)?;
    }
    // No pages are returned if the file does not support incremental vacuum.
    Ok(after > FREE_PAGES && after < before)
}

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
        tracing::info!(pages, "rewriting the index once so that it can shrink");
        conn.execute_batch("VACUUM")?;
    }
    Ok(())
}

/// Opens the index for writing. Returns `true` with it if it is new. A file that is not an index of this release is
/// replaced, since it can be rebuilt.
pub(crate) fn open_index(path: &Path) -> Result<(Connection, bool), Error> {
    let attempt = || {
        private(path)?;
        let conn = Connection::open(path)?;
        configure(&conn, "NORMAL")?;
        let found = version(&conn)?;
        if matches!(found, 0 | INDEX_VERSION)
            && let Err(error) = shrinkable(&conn)
        {
            tracing::warn!(%error, "failed to enable incremental vacuum, retrying at the next start");
        }
        Ok::<_, Error>((conn, found))
    };
    match attempt() {
        Ok((conn, INDEX_VERSION)) => return Ok((conn, false)),
        Ok((conn, 0)) => {
            create(&conn, &[INDEX, STREAMS], INDEX_VERSION)?;
            return Ok((conn, true));
        }
        Ok((_, found)) => tracing::info!(found, known = INDEX_VERSION, "index is from another release, recreating it"),
        Err(Error::Sqlite(error))
            if matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt)
            ) =>
        {
            tracing::warn!(%error, "index is damaged, recreating it");
        }
        Err(error) => return Err(error),
    }
    for suffix in ["", "-wal", "-shm"] {
        let file = beside(path, suffix);
        if let Err(source) = std::fs::remove_file(&file)
            && source.kind() != std::io::ErrorKind::NotFound
        {
            return Err(Error::File { path: file.display().to_string(), source });
        }
    }
    let (conn, _) = attempt()?;
    create(&conn, &[INDEX, STREAMS], INDEX_VERSION)?;
    Ok((conn, true))
}

/// Opens an index in memory.
pub(crate) fn memory_index() -> Result<Connection, Error> {
    let conn = Connection::open_in_memory()?;
    configure(&conn, "OFF")?;
    create(&conn, &[INDEX, STREAMS], INDEX_VERSION)?;
    Ok(conn)
}

/// Opens the index for reading.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let conn = Connection::open(path)?;
    configure(&conn, "NORMAL")?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

/// Opens the usage counters. Each commit is flushed to disk.
pub(crate) fn open_usage(path: Option<&Path>) -> Result<Connection, Error> {
    let conn = match path {
        Some(path) => {
            private(path)?;
            Connection::open(path)?
        }
        None => Connection::open_in_memory()?,
    };
    configure(&conn, "FULL")?;
    let (found, known) = (version(&conn)?, i64::try_from(USAGE.len()).unwrap_or(i64::MAX));
    match usize::try_from(found).ok().and_then(|done| USAGE.get(done..)) {
        Some([]) => {}
        Some(steps) => create(&conn, steps, known)?,
        None => {
            let path = path.map(|p| p.display().to_string()).unwrap_or_default();
            return Err(Error::Newer { path, found, known });
        }
    }
    Ok(conn)
}
