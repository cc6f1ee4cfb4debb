//! SQLite access with one writer and several readers. Writes wait in a bounded queue. The writer thread runs all
//! waiting writes in one transaction and answers after its commit, so that concurrent callers share one flush. A
//! conflict is an ordinary answer and does not affect the other writes. If SQLite itself fails, the batch is rolled
//! back and its writes run one by one.

use super::schema::{self, failed};
use fabric_backend::{
    Error,
    in_process::{ChangeSignals, ChangeWatchers},
};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};

/// Writes that the queue holds before callers wait.
const QUEUE: usize = 4096;
/// Maximum number of writes in one transaction, which bounds the latency of a commit.
const BATCH: usize = 1024;
/// Number of read connections.
const READERS: usize = 3;

/// The watchers of the registry and the followers of the journal in this process.
#[derive(Default)]
pub(super) struct Subscribers {
    pub(super) watchers: ChangeWatchers,
    pub(super) followers: ChangeSignals,
}

impl Subscribers {
    fn close(&self) {
        self.watchers.close();
        self.followers.close();
    }
}

/// The context of a write: the connection inside the transaction, and the registry's revision counter.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    pub(super) revision: &'a mut u64,
}

/// A queued write. `apply` may run twice, since the first transaction may have been rolled back.
trait Write: Send {
    fn apply(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()>;
    fn committed(self: Box<Self>, subscribers: &Subscribers);
    fn failed(self: Box<Self>, error: rusqlite::Error);
}

struct Pending<T, R, P> {
    context: &'static str,
    run: R,
    publish: P,
    answer: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, R, P> Write for Pending<T, R, P>
where
    T: Send,
    R: FnMut(&mut Tx<'_>) -> rusqlite::Result<Result<T, Error>> + Send,
    P: FnOnce(&T, &Subscribers) + Send,
{
    fn apply(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        self.answer = Some((self.run)(tx)?);
        Ok(())
    }

    fn committed(self: Box<Self>, subscribers: &Subscribers) {
        let Self { publish, answer, reply, .. } = *self;
        let Some(answer) = answer else { return };
        if let Ok(value) = &answer {
            publish(value, subscribers);
        }
        // The caller may have dropped its receiver. The write stays committed.
        let _ = reply.send(answer);
    }

    fn failed(self: Box<Self>, error: rusqlite::Error) {
        let _ = self.reply.send(Err(failed(self.context, error)));
    }
}

/// The write connection.
struct Core {
    conn: Connection,
    revision: u64,
    subscribers: Arc<Subscribers>,
}

impl Core {
    fn attempt(&mut self, batch: &mut [Box<dyn Write>]) -> rusqlite::Result<()> {
        let before = self.revision;
        let outcome = self.transact(batch);
        if outcome.is_err() {
            self.revision = before;
            if !self.conn.is_autocommit() {
                self.conn.execute_batch("ROLLBACK")?;
            }
        }
        outcome
    }

    fn transact(&mut self, batch: &mut [Box<dyn Write>]) -> rusqlite::Result<()> {
        let before = self.revision;
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for write in batch.iter_mut() {
            write.apply(&mut Tx { conn: &self.conn, revision: &mut self.revision })?;
        }
        if self.revision != before {
            self.conn
                .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'revision'")?
                .execute([sql_int(self.revision)])?;
        }
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn commit(&mut self, mut batch: Vec<Box<dyn Write>>) {
        match self.attempt(&mut batch) {
            Ok(()) => batch.into_iter().for_each(|write| write.committed(&self.subscribers)),
            Err(error) => {
                tracing::warn!(%error, writes = batch.len(), "write batch failed, retrying its writes one by one");
                for write in batch {
                    let mut one = [write];
                    let outcome = self.attempt(&mut one);
                    let [write] = one;
                    match outcome {
                        Ok(()) => write.committed(&self.subscribers),
                        Err(error) => write.failed(error),
                    }
                }
            }
        }
    }
}

enum Mode {
    /// A file: writes run on the writer thread, reads on their own connections.
    File {
        queue: Option<mpsc::Sender<Box<dyn Write>>>,
        thread: Option<JoinHandle<()>>,
        readers: Vec<Mutex<Connection>>,
    },
    /// Memory: everything runs on the caller's thread.
    Memory(Mutex<Core>),
}

/// The open database.
pub(super) struct Database {
    mode: Mode,
    next_reader: AtomicUsize,
    boot: u64,
    subscribers: Arc<Subscribers>,
    lock: Option<File>,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let lock = schema::claim(path)?;
        let (core, boot) = start(schema::open_writer(Some(path))?)?;
        let subscribers = Arc::clone(&core.subscribers);
        let readers =
            (0..READERS).map(|_| schema::open_reader(path).map(Mutex::new)).collect::<Result<Vec<_>, Error>>()?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || write_loop(core, waiting))
            .map_err(|e| Error::Backend {
                backend: "sqlite",
                context: "start the writer thread".to_owned(),
                source: Box::new(e),
                retryable: true,
            })?;
        Ok(Self {
            mode: Mode::File { queue: Some(queue), thread: Some(thread), readers },
            next_reader: AtomicUsize::new(0),
            boot,
            subscribers,
            lock: Some(lock),
        })
    }

    pub(super) fn in_memory() -> Result<Self, Error> {
        let (core, boot) = start(schema::open_writer(None)?)?;
        let subscribers = Arc::clone(&core.subscribers);
        Ok(Self {
            mode: Mode::Memory(Mutex::new(core)),
            next_reader: AtomicUsize::new(0),
            boot,
            subscribers,
            lock: None,
        })
    }

    /// Returns the number of times the file has been opened, including this time.
    pub(super) fn boot(&self) -> u64 {
        self.boot
    }

    pub(super) fn subscribers(&self) -> &Arc<Subscribers> {
        &self.subscribers
    }

    /// Runs `run` in the next transaction. After its commit, calls `publish` with the value before the caller receives
    /// it. Dropping the future does not undo the write.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        context: &'static str,
        run: impl FnMut(&mut Tx<'_>) -> rusqlite::Result<Result<T, Error>> + Send + 'static,
        publish: impl FnOnce(&T, &Subscribers) + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let write: Box<dyn Write> = Box::new(Pending { context, run, publish, answer: None, reply });
        match &self.mode {
            Mode::Memory(core) => core.lock().commit(vec![write]),
            Mode::File { queue, .. } => {
                let Some(queue) = queue else { return Err(closed(context)) };
                queue.send(write).await.map_err(|_| closed(context))?;
            }
        }
        answer.await.map_err(|_| closed(context))?
    }

    /// Reads on the caller's thread. For reads of a few keys.
    pub(super) fn read<T>(
        &self,
        context: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        match &self.mode {
            Mode::Memory(core) => read(&core.lock().conn),
            Mode::File { readers, .. } => {
                if let Some(conn) = readers.iter().find_map(Mutex::try_lock) {
                    read(&conn)
                } else {
                    let turn = self.next_reader.fetch_add(1, Ordering::Relaxed) % readers.len().max(1);
                    match readers.get(turn) {
                        Some(reader) => read(&reader.lock()),
                        None => return Err(closed(context)),
                    }
                }
            }
        }
        .map_err(|e| failed(context, e))
    }

    /// Reads on a blocking thread. For reads that may take long.
    pub(super) async fn scan<T: Send + 'static>(
        self: &Arc<Self>,
        context: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        if matches!(self.mode, Mode::Memory(_)) {
            return self.read(context, read);
        }
        let database = Arc::clone(self);
        tokio::task::spawn_blocking(move || database.read(context, read)).await.map_err(|e| Error::Backend {
            backend: "sqlite",
            context: context.to_owned(),
            source: Box::new(e),
            retryable: true,
        })?
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.subscribers.close();
        if let Mode::File { queue, thread, .. } = &mut self.mode {
            drop(queue.take());
            if let Some(thread) = thread.take()
                && thread.join().is_err()
            {
                tracing::error!("sqlite writer thread panicked");
            }
        }
        // Unlocked explicitly, since a child process between fork and exec briefly holds a copy of the handle.
        if let Some(lock) = self.lock.take()
            && let Err(error) = lock.unlock()
        {
            tracing::warn!(%error, "failed to release the database lock");
        }
    }
}

fn write_loop(mut core: Core, mut waiting: mpsc::Receiver<Box<dyn Write>>) {
    let mut shrinking = true;
    loop {
        // While no write waits, free pages are returned to the file system in small steps.
        let first = match waiting.try_recv() {
            Ok(first) => first,
            Err(mpsc::error::TryRecvError::Empty) if shrinking => {
                shrinking = schema::shrink(&core.conn).unwrap_or_else(|error| {
                    tracing::warn!(%error, "failed to shrink the database");
                    false
                });
                continue;
            }
            Err(_) => match waiting.blocking_recv() {
                Some(first) => first,
                None => return,
            },
        };
        shrinking = true;
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(write) = waiting.try_recv()
        {
            batch.push(write);
        }
        core.commit(batch);
    }
}

/// Counts this opening and reads the counters.
fn start(conn: Connection) -> Result<(Core, u64), Error> {
    let counters = |conn: &Connection| {
        conn.execute("UPDATE meta SET value = value + 1 WHERE name = 'boot'", [])?;
        let value = |name: &str| conn.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0));
        Ok((value("revision")?, value("boot")?))
    };
    let (revision, boot) = counters(&conn).map_err(|e| failed("read the counters", e))?;
    Ok((
        Core { conn, revision: from_sql_int(revision), subscribers: Arc::new(Subscribers::default()) },
        from_sql_int(boot),
    ))
}

fn closed(context: &'static str) -> Error {
    Error::Backend {
        backend: "sqlite",
        context: context.to_owned(),
        source: "the database is closed".into(),
        retryable: false,
    }
}

/// Converts to SQLite's signed integers. All stored values stay far below the limit.
pub(super) fn sql_int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn from_sql_int(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Returns the first byte string after all those that begin with `prefix`, or `None` if there is none.
pub(super) fn after_prefix(prefix: &str) -> Option<Vec<u8>> {
    let mut bytes = prefix.as_bytes().to_vec();
    while let Some(last) = bytes.pop() {
        if last < u8::MAX {
            bytes.push(last + 1);
            return Some(bytes);
        }
    }
    None
}

/// Returns the key range of a list: the inclusive lower bound and the exclusive upper bound. The upper bound of all keys
/// is a byte that does not occur in UTF-8 text.
pub(super) fn range(prefix: &str, after: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let upper = after_prefix(prefix).unwrap_or_else(|| vec![u8::MAX]);
    let from = match after.filter(|after| *after >= prefix) {
        // The successor of a key is the key with a zero byte.
        Some(after) => [after.as_bytes(), &[0]].concat(),
        None => prefix.as_bytes().to_vec(),
    };
    (from, upper)
}
