//! Opens a fleet: connects to NATS, checks the object store, starts the listeners and assembles the backend.

use crate::{
    Error, handshake,
    journal::FleetJournal,
    lanes::FleetLanes,
    leases::FleetLeases,
    link::{ConnectionState, Counters, Link},
    maintenance::FleetMaintenance,
    notices::FleetNotices,
    objects::Objects,
    options::FleetOptions,
    presence::FleetPresence,
    registry::FleetRegistry,
    results::FleetResults,
    seal,
    tasks::Tasks,
};
use async_nats::{Request, RequestErrorKind};
use bytes::Bytes;
use fabric_backend::Backend;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// An opened fleet. It closes when the last part of the backend is dropped.
pub struct Fleet {
    /// The backends.
    pub backend: Backend,
    /// The fleet's health.
    pub health: Health,
}

/// Counters since the fleet was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FleetStats {
    /// Messages from NATS that could not be decoded and were ignored.
    pub ignored: u64,
    /// Messages from NATS that no process of this fleet sealed, or that were received before.
    pub refused: u64,
    /// Number of times the connection to NATS was re-established.
    pub reconnects: u64,
    /// Number of times a subscription overflowed and lost messages.
    pub overflows: u64,
    /// Conditional writes lost to another writer.
    pub races: u64,
}

/// The health of a fleet. Cheap to clone; does not keep the fleet open.
#[derive(Debug, Clone)]
pub struct Health {
    connection: watch::Receiver<ConnectionState>,
    counters: Arc<Counters>,
    tracker: TaskTracker,
    client: async_nats::Client,
    /// A subject without subscribers.
    silence: String,
    timeout: Duration,
}

impl Health {
    /// Returns `true` if NATS is connected, for readiness probes. The durable backends work without NATS.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection.borrow().connected
    }

    /// Checks that a NATS server responds. A connection to a hung server may stay open for a while.
    ///
    /// # Errors
    /// [`Error::Backend`] if there is no connection, or no answer in time.
    pub async fn ping(&self) -> Result<(), Error> {
        if !self.is_connected() {
            return Err(Link::disconnected_error("ping NATS"));
        }
        let request = Request::new().payload(Bytes::new()).timeout(Some(self.timeout));
        // The server itself answers that there are no subscribers. The outer limit covers a client that hangs before it
        // waits.
        let asked = tokio::time::timeout(self.timeout * 2, self.client.send_request(self.silence.clone(), request));
        let source: Box<dyn std::error::Error + Send + Sync> = match asked.await {
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => return Ok(()),
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => Box::new(error),
            Err(late) => Box::new(late),
        };
        Err(Error::Backend { backend: "nats", context: "ping NATS".to_owned(), source, retryable: true })
    }

    /// Waits until NATS is connected, or disconnected if `connected` is `false`. Returns `false` if the fleet was
    /// closed first. Cancel safe.
    pub async fn until_connected(&self, connected: bool) -> bool {
        self.connection.clone().wait_for(|connection| connection.connected == connected).await.is_ok()
    }

    /// Returns the counters.
    #[must_use]
    pub fn stats(&self) -> FleetStats {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        FleetStats {
            ignored: read(&self.counters.ignored),
            refused: read(&self.counters.refused),
            reconnects: read(&self.counters.reconnects),
            overflows: read(&self.counters.overflows),
            races: read(&self.counters.store_races),
        }
    }

    /// Waits until every background task has ended, which happens after the backend is dropped.
    pub async fn ended(&self) {
        self.tracker.wait().await;
    }
}

impl Fleet {
    /// Connects to NATS, checks that the object store answers and honours conditional writes, and starts the listeners.
    ///
    /// A NATS connection that is lost later is re-established for as long as the backend exists.
    ///
    /// # Errors
    /// [`Error::Setting`] if an address, a certificate or a credentials file is unusable; [`Error::Refused`] if NATS
    /// refuses the login; [`Error::Backend`] of `nats` if no server answers, of `object store` if it does not answer or
    /// ignores conditions, and of `fleet` if the fabric's name is invalid.
    pub async fn open(options: FleetOptions) -> Result<Self, Error> {
        let name = &options.name;
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_name || name.len() > 63 {
            return Err(Error::Backend {
                backend: "fleet",
                context: format!("`{name}` is not a valid fabric name"),
                source: "use 1 to 63 lower-case letters, digits and hyphens".into(),
                retryable: false,
            });
        }
        let times = options.times;
        let root = options.root.clone().join("state").join(name.as_str());
        let objects = Objects::new(Arc::clone(&options.store), root, times.store_request);
        objects.probe().await?;
        let key = seal::key(&objects).await?;
        let (link, sending) = Link::open(&options, key).await?;

        let tasks = Tasks::new();
        tasks.spawn(handshake::listen(&link, sending, &tasks).await?);
        let guard = Arc::new(tasks.guard());
        let registry = FleetRegistry::new(objects.below("registry"), link.clone(), times.poll_interval, &tasks, &guard);
        let journal = FleetJournal::new(objects.below("journal"), link.clone(), times.poll_interval, &tasks, &guard);
        let presence = FleetPresence::new(link.clone(), times.outage_grace, &tasks, &guard);
        let lanes = FleetLanes::new(link.clone(), times.lane_grace, &tasks, &guard);
        let notices = FleetNotices::new(link.clone(), &guard);
        tasks.spawn(registry.listen().await?);
        tasks.spawn(journal.listen().await?);
        tasks.spawn(presence.listen().await?);
        tasks.spawn(notices.listen(tasks.stop()).await?);
        let health = Health {
            connection: link.connection(),
            counters: Arc::clone(&link.counters),
            tracker: tasks.tracker().clone(),
            client: link.client().clone(),
            silence: link.subject(&format!("silence.{:016x}", link.origin)),
            timeout: times.nats_request,
        };
        Ok(Self {
            backend: Backend {
                registry: Arc::new(registry),
                journal: Arc::new(journal),
                results: Arc::new(FleetResults::new(objects.below("results"))),
                leases: Arc::new(FleetLeases::new(objects.below("leases"))),
                presence: Arc::new(presence),
                lanes: Arc::new(lanes),
                notices: Arc::new(notices),
                maintenance: Arc::new(FleetMaintenance::new(
                    objects.below("registry"),
                    objects.below("journal"),
                    objects.below("results"),
                )),
            },
            health,
        })
    }
}
