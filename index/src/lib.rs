//! The index: lists, filters and full-text search over jobs, invocations and logs, and the usage counters.
//!
//! It is a projection: jobs and invocations can be rebuilt from the journal, so a file that is lost, damaged or from
//! another release is recreated (see [`Index::is_fresh`]). Usage cannot be rebuilt; it has its own file next to the
//! index, flushed to disk. All waiting writes share one transaction.

pub mod activity_records;
mod dead_letters;
mod error;
mod fair_drop_queue;
mod filter;
mod follow;
mod ingest;
mod invocations;
mod jobs;
mod logs;
mod schema;
pub mod usage;
mod words;
mod writer;

pub use activity_records::{Outbox, RecordBatch, RecordSink};
pub use dead_letters::LetterCursor;
pub use error::Error;
pub use fair_drop_queue::{FairDropQueue, QueueLimits, TenantItems};
pub use filter::{InvocationFilter, JobFilter, LogFilter};
pub use ingest::{StreamRecord, Totals};

use fabric_types::id::TenantId;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

/// Retention of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Maximum size of a tenant's log lines on disk in bytes, including rows and indexes. The oldest lines are removed
    /// first. Default: 64 MiB.
    pub log_bytes: u64,
    /// Maximum size of all tenants' log lines. Above it, each tenant keeps at least an equal share. Default: 4 GiB.
    pub log_bytes_of_all: u64,
    /// Maximum age of a log line. Default: 7 days.
    pub log_age: Duration,
    /// Maximum number of invocations per tenant. The oldest are removed first. Default: 100,000.
    pub invocations: u64,
    /// Maximum age of an invocation record. Default: 30 days.
    pub invocation_age: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_bytes: 64 << 20,
            log_bytes_of_all: 4 << 30,
            log_age: Duration::from_secs(7 * 86_400),
            invocations: 100_000,
            invocation_age: Duration::from_secs(30 * 86_400),
        }
    }
}

/// A handle to the index. Clones share it. When the last one is dropped, pending writes are completed and the files are
/// closed.
#[derive(Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<writer::Shared>,
    readers: Readers,
    thread: Option<std::thread::JoinHandle<()>>,
    fresh: bool,
}

/// The extent of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadExtent {
    /// Rows found through an index.
    Rows,
    /// All rows of a tenant, for a text search.
    Search,
}

enum Readers {
    File {
        /// The single connection for reads of all rows of a tenant, so that these never delay the other reads.
        searches: Mutex<Connection>,
        others: Vec<Mutex<Connection>>,
    },
    /// Everything runs on the caller's thread, so that tokio's paused time stays exact.
    Memory(Box<Mutex<writer::Store>>),
}

impl Index {
    /// Opens the index at `path` with default [`Options`]. Usage is in `{path}-usage`.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::File`] if the files cannot be opened, [`Error::Newer`] for a usage file of a newer
    /// release.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, Options::default())
    }

    /// Opens the index at `path` with these options.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_with(path: &Path, options: Options) -> Result<Self, Error> {
        let (index, fresh) = schema::open_index(path)?;
        let usage = schema::open_usage(Some(&schema::usage_path(path)))?;
        let searches = Mutex::new(schema::open_reader(path)?);
        let others = (0..2).map(|_| schema::open_reader(path).map(Mutex::new)).collect::<Result<Vec<_>, _>>()?;
        let readers = Readers::File { searches, others };
        let shared = Arc::new(writer::Shared::default());
        let store = writer::Store::new(index, usage, options)?;
        let thread = std::thread::Builder::new()
            .name("index-writer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(&shared, store)
            })
            .map_err(Error::Thread)?;
        Ok(Self { inner: Arc::new(Inner { shared, readers, thread: Some(thread), fresh }) })
    }

    /// Opens an index in memory, for tests.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn in_memory() -> Result<Self, Error> {
        Self::in_memory_with(Options::default())
    }

    /// Opens an index in memory with these options.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn in_memory_with(options: Options) -> Result<Self, Error> {
        let store = writer::Store::new(schema::memory_index()?, schema::open_usage(None)?, options)?;
        let shared = Arc::new(writer::Shared::default());
        let readers = Readers::Memory(Box::new(Mutex::new(store)));
        Ok(Self { inner: Arc::new(Inner { shared, readers, thread: None, fresh: true }) })
    }

    /// Returns `true` if the index was created or recreated by this opening, so that jobs and invocations must be
    /// inserted again from the journal.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.inner.fresh
    }

    /// Waits until all earlier changes are written: jobs and invocations to the operating system, usage to disk.
    ///
    /// # Errors
    /// [`Error::NotWritten`] if a change was not written.
    pub async fn flush(&self) -> Result<(), Error> {
        self.write(writer::Change::Flush).await
    }

    /// Returns the approximate bytes on disk of each tenant's log lines, jobs and invocations.
    ///
    /// # Errors
    /// [`Error::Sqlite`], [`Error::NotWritten`].
    pub async fn sizes(&self) -> Result<HashMap<TenantId, u64>, Error> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.write(writer::Change::LogBytes(Some(reply))).await?;
        let mut sizes = answer.await.map_err(|_| Error::Closed)?;
        let rows = self
            .read(|conn| {
                let mut select = conn.prepare(
                    "SELECT tenant, sum(octet_length(body) + 200) FROM invocations GROUP BY tenant
                     UNION ALL SELECT tenant, sum(octet_length(body) + 3 * octet_length(words) + 300) FROM jobs GROUP BY tenant",
                )?;
                let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?)
            })
            .await?;
        for (tenant, bytes) in rows {
            if let Ok(tenant) = TenantId::new(tenant) {
                *sizes.entry(tenant).or_default() += u64::try_from(bytes).unwrap_or(0);
            }
        }
        Ok(sizes)
    }

    async fn write(&self, change: writer::Change) -> Result<(), Error> {
        let answer = self.inner.shared.send(change).await?;
        if let Readers::Memory(store) = &self.inner.readers {
            store.lock().drain(&self.inner.shared);
        }
        answer.await.map_err(|_| Error::Closed)?
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.read_as(ReadExtent::Rows, read).await
    }

    /// Reads on a connection for this extent.
    async fn read_as<T: Send + 'static>(
        &self,
        reach: ReadExtent,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if let Readers::Memory(store) = &self.inner.readers {
            return read(store.lock().index());
        }
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || match &inner.readers {
            Readers::Memory(store) => read(store.lock().index()),
            Readers::File { searches, .. } if reach == ReadExtent::Search => read(&searches.lock()),
            Readers::File { others, .. } => {
                let free = others.iter().find_map(Mutex::try_lock);
                match free.or_else(|| others.first().map(Mutex::lock)) {
                    Some(conn) => read(&conn),
                    None => Err(Error::Closed),
                }
            }
        })
        .await
        .map_err(|_| Error::Closed)?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
        if let Readers::Memory(store) = &self.readers {
            store.lock().drain(&self.shared);
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("index writer thread panicked");
        }
    }
}
