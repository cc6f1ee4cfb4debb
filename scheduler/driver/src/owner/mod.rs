//! The owner task: the only place that changes jobs. It feeds the core, carries out the core's actions, and updates the
//! journal, the index and the event listeners.
//!
//! The task never waits for the journal, the store or a node: slow operations are futures in `pending_ops`, and their
//! results come back as an [`OperationResult`].

mod actions;
mod assign;
mod commands;
mod completions;
mod deaths;
mod index_updates;
mod journal;
mod journaled_job;
mod lifecycle;
mod nodes;
mod tenants;
mod write_output;

pub(crate) use deaths::Deaths;

use crate::{
    clock::now_ms,
    command::Command,
    job::{JobEnd, OpenJob},
    metrics::DriverMetrics,
    options::Parts,
    settings::{NodeMode, OperatorSettings},
};
use bytes::Bytes;
use fabric_backend::{
    deaths::Death,
    lane::{ATTEMPT_LEASE, SchedulerInbox, ToNode},
    presence::PresenceChange,
};
use fabric_scheduler_core::{Action, Config, Core, Event, Time};
use fabric_types::{
    Fault,
    id::{JobId, NodeId, TenantId},
    job::JobState,
    node::NodeFacts,
    rest::job::DeadLetter,
};
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use journaled_job::JournaledJob;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// Interval at which progress goes to the index and to listeners.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
/// Maximum messages from nodes in one turn of the loop.
const MESSAGES_PER_TURN: usize = 64;
/// Delay before a failed write is retried.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Silence after which a node may be dead: one and a half of its heartbeat intervals.
const SILENCE_US: u64 = 1_500_000;

/// The result of a slow operation.
enum OperationResult {
    /// An append to a job's journal succeeded or failed.
    Appended(JobId, Vec<Bytes>, Result<u64, fabric_backend::Error>),
    /// The results of a job were written to its output path, or the write failed.
    OutputWritten(JobId, Result<(), Fault>),
    /// A job's journal was read again after a length conflict.
    Read(JobId, Result<Option<Box<OpenJob>>, Fault>),
    /// The job was removed from the active ones.
    Retired,
    /// The deaths of a node were read after the node joined (`here`) or left.
    DeathsLoaded {
        /// The node.
        node: NodeId,
        /// Presumed death that was to be recorded.
        presumed: Option<Death>,
        /// Facts of the node, if it joined.
        here: Option<Box<NodeFacts>>,
        /// All deaths of the node.
        known: Result<Vec<Death>, fabric_backend::Error>,
    },
    /// The append to a job's journal is to be retried.
    RetryAppend(JobId),
}

/// The state of the owner task.
pub struct JobsOwner {
    /// Pure core of the scheduler.
    core: Core,
    /// Jobs that have not ended, and the latest that have.
    jobs: HashMap<JobId, JournaledJob>,
    /// Announced facts of each node.
    nodes: BTreeMap<NodeId, NodeFacts>,
    parts: Parts,
    metrics: DriverMetrics,
    /// Epoch of the lease on the jobs; 0 if no other process can own them.
    epoch: u64,
    settings: OperatorSettings,
    deaths: Deaths,
    /// Mode of each node in the core.
    modes: BTreeMap<NodeId, NodeMode>,
    ended: VecDeque<(JobId, usize)>,
    ended_tasks: usize,
    dirty: BTreeSet<JobId>,
    /// Dead letters that are not in the index yet.
    dead_letters: Vec<(TenantId, DeadLetter)>,
    /// `true` if the last write to the index failed.
    index_lags: bool,
    flush_now: bool,
    pending_ops: FuturesUnordered<BoxFuture<'static, OperationResult>>,
    node_senders: HashMap<NodeId, mpsc::UnboundedSender<ToNode>>,
    actions: Vec<Action>,
    wake: Option<Time>,
    origin: Instant,
    origin_us: u64,
}

impl JobsOwner {
    /// Creates an owner without jobs.
    pub fn new(parts: Parts, metrics: DriverMetrics, settings: OperatorSettings, deaths: Deaths, epoch: u64) -> Self {
        let lease_us = u64::try_from(ATTEMPT_LEASE.as_micros()).unwrap_or(u64::MAX);
        let mut owner = Self {
            core: Core::new(Config { lease_us, straggler_silence_us: SILENCE_US, ..parts.config.clone() }),
            jobs: HashMap::new(),
            nodes: BTreeMap::new(),
            parts,
            metrics,
            epoch,
            settings,
            deaths,
            modes: BTreeMap::new(),
            ended: VecDeque::new(),
            ended_tasks: 0,
            dirty: BTreeSet::new(),
            dead_letters: Vec::new(),
            index_lags: false,
            flush_now: false,
            pending_ops: FuturesUnordered::new(),
            node_senders: HashMap::new(),
            actions: Vec::new(),
            wake: None,
            origin: Instant::now(),
            origin_us: now_ms().saturating_mul(1000),
        };
        let quotas: Vec<_> = owner.settings.quotas().map(|(tenant, quota)| (tenant.clone(), quota.clone())).collect();
        owner.step(quotas.into_iter().map(|(tenant, quota)| Event::SetQuota { tenant, quota }));
        owner
    }

    /// Returns the core's time, which never goes back, even if the wall clock does.
    fn now(&self) -> Time {
        Time(self.origin_us.saturating_add(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)))
    }

    /// Runs until `stop`, then writes the pending records.
    pub async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut inbox: Box<dyn SchedulerInbox>,
        mut arrivals: BoxStream<'static, PresenceChange>,
        stop: CancellationToken,
    ) {
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.carry_out();
        loop {
            let wake = self.wake.map(|w| Duration::from_micros(w.since_us(self.now())));
            tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = commands.recv() => self.command(command),
                Some(message) = inbox.recv() => {
                    self.message(message);
                    // More messages may be waiting, and the core decides better about many at once.
                    for _ in 0..MESSAGES_PER_TURN {
                        match inbox.recv().now_or_never() {
                            Some(Some(message)) => self.message(message),
                            _ => break,
                        }
                    }
                }
                Some(arrival) = arrivals.next() => self.arrival(arrival),
                Some(done) = self.pending_ops.next(), if !self.pending_ops.is_empty() => self.finished(done),
                () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {
                    self.wake = None;
                    self.step([Event::Tick]);
                }
                _ = flush.tick() => self.flush().await,
            }
            self.carry_out();
            // A client that waited for a job's end may request lists next.
            if std::mem::take(&mut self.flush_now) {
                self.flush().await;
            }
        }
        self.flush().await;
        while let Some(done) = self.pending_ops.next().await {
            if let OperationResult::Appended(job, ..) | OperationResult::RetryAppend(job) = &done
                && self.jobs.get(job).is_some_and(|s| !s.writer.has_unwritten() && s.ending.is_none())
            {
                continue;
            }
            if !matches!(
                done,
                OperationResult::RetryAppend(_) | OperationResult::Read(..) | OperationResult::DeathsLoaded { .. }
            ) {
                self.finished(done);
            }
        }
    }

    /// Passes events to the core.
    fn step(&mut self, events: impl IntoIterator<Item = Event>) {
        let now = self.now();
        self.core.step_all(events, now, &mut self.actions);
    }

    fn finished(&mut self, result: OperationResult) {
        match result {
            OperationResult::Appended(job, records, written) => self.appended(&job, records, written),
            OperationResult::RetryAppend(job) => self.retry_append(&job),
            OperationResult::Read(job, found) => self.read(job, found),
            OperationResult::OutputWritten(job, written) => {
                let (state, error) = match written {
                    Ok(()) => (JobState::Succeeded, None),
                    Err(mut fault) => {
                        fault.message = format!("the results could not be written: {}", fault.message);
                        (JobState::Failed, Some(fault))
                    }
                };
                self.end(&job, JobEnd { state, error, at_ms: now_ms() });
            }
            OperationResult::Retired => {}
            OperationResult::DeathsLoaded { node, presumed, here, known } => {
                self.deaths_loaded(node, presumed, here.map(|here| *here), known);
            }
        }
    }
}
