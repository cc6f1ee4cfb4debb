//! Opens a fleet: connects, checks the store, starts what listens, and hands out the engine.

use crate::{
    Error,
    journal::FleetJournal,
    lanes::FleetLanes,
    leases::FleetLeases,
    link::{Counters, Hearing, Link},
    meet,
    notices::FleetNotices,
    objects::Objects,
    options::FleetOptions,
    presence::FleetPresence,
    registry::FleetRegistry,
    results::FleetResults,
    seal,
    tasks::Tasks,
    upkeep::FleetUpkeep,
};
use async_nats::{Request, RequestErrorKind};
use bytes::Bytes;
use fabric_engine::Engine;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// An opened fleet. Everything closes when the last part of the engine is dropped.
pub struct Fleet {
    /// The backends.
    pub engine: Engine,
    /// How it goes.
    pub health: Health,
}

/// Counts since the fleet was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Messages from NATS that made no sense and were ignored.
    pub ignored: u64,
    /// Messages from NATS that no process of this fleet sent, or that were heard before.
    pub refused: u64,
    /// Times that NATS was lost and found again.
    pub reconnects: u64,
    /// Times that a subscription overflowed and messages were lost.
    pub overflows: u64,
    /// Conditional writes that another writer won.
    pub races: u64,
}

/// How a fleet goes. Cloning is cheap; it doesn't keep the fleet open.
#[derive(Debug, Clone)]
pub struct Health {
    hearing: watch::Receiver<Hearing>,
    counters: Arc<Counters>,
    tracker: TaskTracker,
    client: async_nats::Client,
    /// A subject that nobody listens to.
    silence: String,
    timeout: Duration,
}

impl Health {
    /// Whether NATS is there, for readiness. What must last works without it.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.hearing.borrow().connected
    }

    /// Asks a NATS server for a sign of life. A connection may stand for a while to a server that does nothing.
    ///
    /// # Errors
    /// [`Error::Backend`] when there is no connection, or no answer in time.
    pub async fn ping(&self) -> Result<(), Error> {
        if !self.is_connected() {
            return Err(Link::away("ask for a sign of life"));
        }
        let request = Request::new().payload(Bytes::new()).timeout(Some(self.timeout));
        // The server itself answers that nobody listens. The outer limit is for a client that is stuck before it waits.
        let asked = tokio::time::timeout(self.timeout * 2, self.client.send_request(self.silence.clone(), request));
        let source: Box<dyn std::error::Error + Send + Sync> = match asked.await {
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => return Ok(()),
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => Box::new(error),
            Err(late) => Box::new(late),
        };
        Err(Error::Backend { backend: "nats", context: "ask for a sign of life".to_owned(), source, retryable: true })
    }

    /// Resolves once NATS is there, or is not; `false` when the fleet was closed first. Cancel safe.
    pub async fn until_connected(&self, connected: bool) -> bool {
        self.hearing.clone().wait_for(|hearing| hearing.connected == connected).await.is_ok()
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            ignored: read(&self.counters.ignored),
            refused: read(&self.counters.refused),
            reconnects: read(&self.counters.reconnects),
            overflows: read(&self.counters.overflows),
            races: read(&self.counters.store_races),
        }
    }

    /// Resolves when every background task has ended, which they do once the engine was dropped.
    pub async fn ended(&self) {
        self.tracker.wait().await;
    }
}

impl Fleet {
    /// Connects to NATS, checks that the object store answers and keeps conditional writes, and starts to listen.
    ///
    /// Once opened, NATS may go and come: it is looked for as long as the engine lives.
    ///
    /// # Errors
    /// [`Error::Backend`] of `nats` when no server answers, an address is wrong or the login is refused, with a hint; of
    /// `object store` when it doesn't answer or ignores conditions. Retryable ones are worth trying again.
    pub async fn open(options: FleetOptions) -> Result<Self, Error> {
        let name = &options.name;
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_name || name.len() > 63 {
            return Err(Error::Backend {
                backend: "fleet",
                context: format!("`{name}` can't name a fabric"),
                source: "use 1 to 63 lower-case letters, digits and hyphens".into(),
                retryable: false,
            });
        }
        let times = options.times;
        let root = options.root.clone().join("engine").join(name.as_str());
        let objects = Objects::new(Arc::clone(&options.store), root, times.store_request);
        objects.probe().await?;
        let key = seal::key(&objects).await?;
        let (link, sending) = Link::open(&options, key).await?;

        let tasks = Tasks::new();
        tasks.spawn(meet::listen(&link, sending, &tasks).await?);
        let keep = Arc::new(tasks.guard());
        let registry = FleetRegistry::new(objects.below("registry"), link.clone(), times.look_every, &tasks, &keep);
        let journal = FleetJournal::new(objects.below("journal"), link.clone(), times.look_every, &tasks, &keep);
        let presence = FleetPresence::new(link.clone(), times.deaf, &tasks, &keep);
        let lanes = FleetLanes::new(link.clone(), times.lane_grace, &tasks, &keep);
        let notices = FleetNotices::new(link.clone(), &keep);
        tasks.spawn(registry.listen().await?);
        tasks.spawn(journal.listen().await?);
        tasks.spawn(presence.listen().await?);
        tasks.spawn(notices.listen(tasks.stop()).await?);
        let health = Health {
            hearing: link.hearing(),
            counters: Arc::clone(&link.counters),
            tracker: tasks.tracker().clone(),
            client: link.client().clone(),
            silence: link.subject(&format!("silence.{:016x}", link.origin)),
            timeout: times.nats_request,
        };
        Ok(Self {
            engine: Engine {
                registry: Arc::new(registry),
                journal: Arc::new(journal),
                results: Arc::new(FleetResults::new(objects.below("results"))),
                leases: Arc::new(FleetLeases::new(objects.below("leases"))),
                presence: Arc::new(presence),
                lanes: Arc::new(lanes),
                notices: Arc::new(notices),
                upkeep: Arc::new(FleetUpkeep::new(
                    objects.below("registry"),
                    objects.below("journal"),
                    objects.below("results"),
                )),
            },
            health,
        })
    }
}
