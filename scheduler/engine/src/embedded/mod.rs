//! The engine of one machine: what must last is in one SQLite file, what may be lost is in memory.
//!
//! Not for several processes: a lock beside the file keeps a second one out. Writes of all callers that wait at the same
//! moment share one transaction, and so one flush to disk ([`database`]). Reads of single keys happen on the caller's
//! thread, since they cost microseconds; scans happen on blocking threads.

mod bell;
mod database;
mod journal;
mod lanes;
mod leases;
mod notices;
mod presence;
mod registry;
mod results;
mod schema;
mod upkeep;

use crate::{Engine, Error};
use database::Database;
use std::{path::Path, sync::Arc};

/// Opens embedded engines. Everything closes when the last part of the [`Engine`] is dropped: what waits is written and the
/// writer thread is joined.
pub struct Embedded;

impl Embedded {
    /// Opens the file at `path`, made (with mode 0600) when it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it open; [`Error::Newer`] when a newer release wrote it;
    /// [`Error::Backend`] when it can't be read or written.
    pub fn open(path: &Path) -> Result<Engine, Error> {
        Ok(assemble(Arc::new(Database::open(path)?)))
    }

    /// The same over memory, for tests. Every write happens on the caller's thread, so tokio's paused time stays exact.
    ///
    /// # Errors
    /// [`Error::Backend`].
    pub fn in_memory() -> Result<Engine, Error> {
        Ok(assemble(Arc::new(Database::in_memory()?)))
    }
}

fn assemble(database: Arc<Database>) -> Engine {
    let boot = database.boot();
    Engine {
        registry: Arc::new(registry::SqliteRegistry::new(Arc::clone(&database))),
        journal: Arc::new(journal::SqliteJournal::new(Arc::clone(&database))),
        results: Arc::new(results::SqliteResults::new(Arc::clone(&database))),
        leases: Arc::new(leases::LocalLeases::new(boot)),
        presence: Arc::new(presence::LocalPresence::new()),
        lanes: Arc::new(lanes::LocalLanes::default()),
        notices: Arc::new(notices::LocalNotices::new()),
        upkeep: Arc::new(upkeep::SqliteUpkeep::new(database)),
    }
}
