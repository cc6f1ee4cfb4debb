//! The backend of a single machine. Durable data is in one SQLite file, all else in memory.
//!
//! Only one process can open it: a lock file next to the database excludes others. All waiting writes share one
//! transaction, and so one flush to disk ([`database`]). Reads of single keys run on the caller's thread, since they
//! take microseconds; scans run on blocking threads.

mod database;
mod journal;
mod lanes;
mod leases;
mod maintenance;
mod notices;
mod presence;
mod registry;
mod results;
mod schema;

use database::Database;
use fabric_backend::{Backend, Error};
use std::{path::Path, sync::Arc};

/// Opens embedded backends. A backend closes when the last part of its [`Backend`] is dropped: pending writes are
/// completed and the writer thread is joined.
pub struct Embedded;

impl Embedded {
    /// Opens the file at `path` and migrates its schema. Creates the file with mode 0600 if it does not exist.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has it open; [`Error::Newer`] if a newer release wrote it;
    /// [`Error::Backend`] if it cannot be read or written.
    pub fn open(path: &Path) -> Result<Backend, Error> {
        Ok(assemble(Arc::new(Database::open(path)?)))
    }

    /// Opens a backend in memory, for tests. Every write runs on the caller's thread, so tokio's paused time stays
    /// exact.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub fn in_memory() -> Result<Backend, Error> {
        Ok(assemble(Arc::new(Database::in_memory()?)))
    }
}

fn assemble(database: Arc<Database>) -> Backend {
    let boot = database.boot();
    Backend {
        registry: Arc::new(registry::SqliteRegistry::new(Arc::clone(&database))),
        journal: Arc::new(journal::SqliteJournal::new(Arc::clone(&database))),
        results: Arc::new(results::SqliteResults::new(Arc::clone(&database))),
        leases: Arc::new(leases::LocalLeases::new(boot)),
        presence: Arc::new(presence::LocalPresence::new()),
        lanes: Arc::new(lanes::LocalLanes::default()),
        notices: Arc::new(notices::LocalNotices::default()),
        maintenance: Arc::new(maintenance::SqliteMaintenance::new(database)),
    }
}
