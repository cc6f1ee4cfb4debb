//! The owner task: the only place that changes jobs. It feeds the core, carries out the core's actions, and updates the
//! journal, the index and the event listeners.
//!
//! The task never waits for the journal, the store or a node: slow operations are futures in `doing`, and their results
//! come back as a [`Finished`].

use crate::{
    api::Parts,
    assign::{self, Picks},
    clock::now_ms,
    deaths::Deaths,
    invocation,
    job_state::OpenJob,
    journaled_job::JournaledJob,
    meta::{JobKind, Meta},
    metrics::DriverMetrics,
    operator_settings::{NodeMode, OperatorSettings},
    record::{DeadTask, DoneTask, DoneTasks, FailedTask, JobEnd, JobRecord},
    room, write_output,
};
use bytes::Bytes;
use fabric_backend::{
    deaths::Death,
    lane::{ATTEMPT_LEASE, FromNode, SchedulerInbox, ToNode},
    presence::Arrival,
    registry::Expect,
};
use fabric_scheduler_core::{Action, Config, Core, Event, JobOutcome, Time};
use fabric_types::{
    Fault,
    id::{JobId, NodeId, TenantId},
    job::{JobState, TaskState},
    rest::{
        job::{DeadLetter, Job},
        node::Node,
    },
    work::Completion,
};
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Interval at which progress goes to the index and to listeners.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
/// Maximum messages from nodes in one turn of the loop.
const MESSAGES_PER_TURN: usize = 64;
/// Jobs, and tasks of jobs, that stay in memory after their end for fast access. Older jobs are read from the journal.
const ENDED_JOBS: usize = 256;
const ENDED_TASKS: usize = 200_000;
/// Delay before a failed write is retried.
pub(crate) const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// Silence after which a node may be dead: one and a half of its heartbeat intervals.
const SILENCE_US: u64 = 1_500_000;

/// A closure that reads or changes the owner's state.
pub type Ask = Box<dyn FnOnce(&mut JobsOwner) + Send>;

/// The result of a slow operation.
pub enum Finished {
    /// An append to a job's journal succeeded or failed.
    Appended(JobId, Vec<Bytes>, Result<u64, fabric_backend::Error>),
    /// The results of a job were written to its output path, or the write failed.
    OutputWritten(JobId, Result<(), Fault>),
    /// A job's journal was read again after a length conflict.
    Read(JobId, Result<Option<Box<OpenJob>>, Fault>),
    /// The job was removed from the active ones.
    Retired,
    /// The deaths of a node were read after the node joined (`here`) or left.
    Looked {
        /// The node.
        node: NodeId,
        /// Presumed death that was to be recorded.
        presumed: Option<Death>,
        /// Facts of the node, if it joined.
        here: Option<Box<Node>>,
        /// All deaths of the node.
        known: Result<Vec<Death>, fabric_backend::Error>,
    },
    /// The append to a job's journal is to be retried.
    Again(JobId),
}

/// The state of the owner task.
pub struct JobsOwner {
    /// Pure core of the scheduler.
    pub core: Core,
    /// Jobs that have not ended, and the latest that have.
    pub jobs: HashMap<JobId, JournaledJob>,
    /// Announced facts of each node.
    pub nodes: BTreeMap<NodeId, Node>,
    pub(crate) parts: Parts,
    pub(crate) metrics: DriverMetrics,
    /// Epoch of the lease on the jobs; 0 if no other process can own them.
    pub(crate) epoch: u64,
    pub(crate) wishes: OperatorSettings,
    pub(crate) deaths: Deaths,
    /// Mode of each node in the core.
    pub(crate) modes: BTreeMap<NodeId, NodeMode>,
    ended: VecDeque<(JobId, usize)>,
    ended_tasks: usize,
    dirty: BTreeSet<JobId>,
    /// Dead letters that are not in the index yet.
    letters: Vec<(TenantId, DeadLetter)>,
    /// `true` if the last write to the index failed.
    index_lags: bool,
    flush_now: bool,
    pub(crate) doing: FuturesUnordered<BoxFuture<'static, Finished>>,
    pub(crate) posts: HashMap<NodeId, mpsc::UnboundedSender<ToNode>>,
    actions: Vec<Action>,
    wake: Option<Time>,
    origin: Instant,
    origin_us: u64,
}

impl JobsOwner {
    /// Creates an owner without jobs.
    pub fn new(parts: Parts, metrics: DriverMetrics, wishes: OperatorSettings, epoch: u64) -> Self {
        let lease_us = u64::try_from(ATTEMPT_LEASE.as_micros()).unwrap_or(u64::MAX);
        let mut owner = Self {
            core: Core::new(Config { lease_us, straggler_silence_us: SILENCE_US, ..parts.config.clone() }),
            jobs: HashMap::new(),
            nodes: BTreeMap::new(),
            parts,
            metrics,
            epoch,
            wishes,
            deaths: Deaths::default(),
            modes: BTreeMap::new(),
            ended: VecDeque::new(),
            ended_tasks: 0,
            dirty: BTreeSet::new(),
            letters: Vec::new(),
            index_lags: false,
            flush_now: false,
            doing: FuturesUnordered::new(),
            posts: HashMap::new(),
            actions: Vec::new(),
            wake: None,
            origin: Instant::now(),
            origin_us: now_ms().saturating_mul(1000),
        };
        let quotas: Vec<_> = owner.wishes.quotas().map(|(tenant, quota)| (tenant.clone(), quota.clone())).collect();
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
        mut asks: mpsc::Receiver<Ask>,
        mut outbox: Box<dyn SchedulerInbox>,
        mut arrivals: BoxStream<'static, Arrival>,
        stop: CancellationToken,
    ) {
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.carry_out();
        loop {
            let wake = self.wake.map(|w| Duration::from_micros(w.since_us(self.now())));
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ask) = asks.recv() => ask(&mut self),
                Some(message) = outbox.recv() => {
                    self.message(message);
                    // More messages may be waiting, and the core decides better about many at once.
                    for _ in 0..MESSAGES_PER_TURN {
                        match outbox.recv().now_or_never() {
                            Some(Some(message)) => self.message(message),
                            _ => break,
                        }
                    }
                }
                Some(arrival) = arrivals.next() => self.arrival(arrival),
                Some(done) = self.doing.next(), if !self.doing.is_empty() => self.finished(done),
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
        while let Some(done) = self.doing.next().await {
            if let Finished::Appended(job, ..) | Finished::Again(job) = &done
                && self.jobs.get(job).is_some_and(|s| !s.has_unwritten() && s.ending.is_none())
            {
                continue;
            }
            if !matches!(done, Finished::Again(_) | Finished::Read(..) | Finished::Looked { .. }) {
                self.finished(done);
            }
        }
    }

    /// Passes events to the core.
    pub fn step(&mut self, events: impl IntoIterator<Item = Event>) {
        let now = self.now();
        self.core.step_all(events, now, &mut self.actions);
    }

    /// Adds a job that is already durable.
    pub fn accept(&mut self, live: OpenJob) {
        if self.jobs.contains_key(live.id()) {
            return;
        }
        let event = Event::Submit(live.planned.meta.plan(self.now()));
        let hint = Event::Hint { job: live.id().clone(), nodes: self.holders(&live.planned.meta.deployment.module) };
        self.insert(live, "accepted");
        self.metrics.jobs_accepted.inc();
        self.step([event, hint]);
        self.carry_out();
    }

    /// Resumes a job of an earlier driver.
    pub fn resume(&mut self, live: OpenJob) {
        let id = live.id().clone();
        let letters = live.dead.values().map(|dead| live.letter(dead));
        self.letters.extend(letters.map(|letter| (live.planned.meta.tenant.clone(), letter)));
        if live.ended.is_some() {
            self.retire(&live.planned.meta.tenant, &id);
            self.dirty.insert(id.clone());
            self.insert(live, "");
            self.keep_ended(&id);
            return;
        }
        let cancel = live.cancel_asked;
        let accepted = Time(live.planned.meta.created_ms.saturating_mul(1000));
        let event = Event::Restore { plan: live.planned.meta.plan(accepted), tasks: live.restored() };
        self.insert(live, "resumed");
        if self.epoch > 0
            && let Some(slot) = self.jobs.get_mut(&id)
        {
            slot.note(&JobRecord::Owned(self.epoch));
            self.append(&id);
        }
        let deaths = self.deaths_of(&id);
        self.step([event].into_iter().chain(deaths));
        if cancel {
            self.step([Event::Cancel { job: id }]);
        }
    }

    /// Resumes a job unless the owner already has it.
    pub fn resume_unknown(&mut self, live: OpenJob) {
        if !self.jobs.contains_key(live.id()) {
            self.resume(live);
        }
    }

    fn insert(&mut self, live: OpenJob, kind: &str) {
        let id = live.id().clone();
        if !kind.is_empty() {
            live.publish(kind, None, now_ms());
            self.metrics.jobs_active.inc();
        }
        self.dirty.insert(id.clone());
        let place = live
            .ended
            .is_none()
            .then(|| self.parts.room.take_accepted(&live.planned.meta.tenant, room::charge(&live.planned)));
        self.jobs.insert(
            id,
            JournaledJob {
                live,
                pending: Vec::new(),
                unsure: Vec::new(),
                writing: false,
                ending: None,
                sources: None,
                place,
            },
        );
    }

    fn message(&mut self, message: FromNode) {
        match message {
            FromNode::Heartbeat { node } => self.step([Event::Heartbeat { node }]),
            FromNode::Holds { node, attempts } => self.step([Event::Holds { node, attempts }]),
            FromNode::Completed { node, completion } => self.completed(&node, completion),
        }
    }

    fn completed(&mut self, node: &NodeId, completion: Completion) {
        let Some(slot) = self.jobs.get_mut(&completion.job) else { return };
        if slot.live.planned.meta.tenant != completion.tenant || slot.live.ended.is_some() || slot.ending.is_some() {
            return;
        }
        let mut done = DoneTasks { node: node.clone(), tasks: Vec::with_capacity(completion.outcomes.len()) };
        let mut events = Vec::with_capacity(completion.outcomes.len());
        for outcome in completion.outcomes {
            let is_blocked = |task: fabric_scheduler_core::TaskView| task.state == TaskState::Blocked;
            if outcome.task.stage > 0 && self.core.task(&completion.job, outcome.task).is_some_and(is_blocked) {
                // An earlier owner sent it and knew of more results than the journal. Its inputs come first.
                continue;
            }
            let (job, task, attempt, node) = (completion.job.clone(), outcome.task, outcome.attempt, node.clone());
            match outcome.result {
                Ok(result) => {
                    let (fuel, wall_us, cached) = (result.cost.fuel, result.cost.wall_us, result.cached);
                    self.metrics.tasks_succeeded.inc();
                    self.metrics.tasks_cached.inc_by(u64::from(cached));
                    self.metrics.fuel.inc_by(fuel);
                    if let Some(mine) = result.differs {
                        self.metrics.results_differing.inc();
                        tracing::error!(job_id = %job, %task, key = %result.output.key, committed = %result.output.digest, computed = %mine, "task result differs from the committed one");
                    }
                    done.tasks.push(DoneTask { task, attempt, done: result });
                    events.push(Event::TaskDone { job, task, attempt, node, fuel, wall_us, cached });
                }
                Err(fault) => {
                    self.metrics.attempts_failed.inc();
                    let (retryable, code, fuel) = (fault.is_retryable(), fault.code, fault.fuel);
                    let failed = FailedTask { task, attempt, node: node.clone(), fault };
                    slot.note(&JobRecord::Failed(failed.clone()));
                    slot.live.apply_failed(failed);
                    events.push(Event::TaskFailed { job, task, attempt, node, retryable, code, fuel });
                }
            }
        }
        if !done.tasks.is_empty() {
            slot.live.apply_done(&done);
            slot.note(&JobRecord::Done(done));
        }
        self.dirty.insert(completion.job.clone());
        self.step(events);
        self.append(&completion.job);
    }

    /// Carries out the core's actions.
    fn carry_out(&mut self) {
        while !self.actions.is_empty() {
            let actions = std::mem::take(&mut self.actions);
            let over: BTreeSet<JobId> = actions
                .iter()
                .filter_map(|a| match a {
                    Action::JobFinished { job, .. } => Some(job.clone()),
                    _ => None,
                })
                .collect();
            let mut picks: Vec<(NodeId, JobId, Picks)> = Vec::new();
            for action in actions {
                match action {
                    Action::Dispatch { node, job, task, attempt, .. } => match picks.last_mut() {
                        Some((n, j, list)) if *n == node && *j == job => list.push((task, attempt)),
                        _ => picks.push((node, job, vec![(task, attempt)])),
                    },
                    Action::Abort { node, job, task, attempt } => {
                        // No single aborts for an ended job: a failed or cancelled job is stopped on every node, below.
                        if !over.contains(&job) {
                            self.post(&node, ToNode::Abort { job, task, attempt });
                        }
                    }
                    Action::JobStarted { job } => self.started(&job),
                    Action::TaskRetry { job, .. } => {
                        self.publish(&job, "retry");
                    }
                    Action::TaskDead { job, task, code } => self.dead(&job, DeadTask { task, code, at_ms: now_ms() }),
                    Action::JobFinished { job, outcome } => self.job_finished(&job, outcome),
                    Action::WakeAt(at) => self.wake = Some(at),
                }
            }
            for (node, job, list) in picks {
                let Some(slot) = self.jobs.get_mut(&job) else { continue };
                for batch in assign::batches(&mut slot.live, &list, &mut slot.sources) {
                    self.post(&node, ToNode::Run(Arc::new(batch)));
                }
            }
        }
    }

    /// Passes a message to the task that sends to `node`. The core bounds the number of waiting messages: it never has
    /// more attempts on a node than slots times depth.
    pub(crate) fn post(&mut self, node: &NodeId, message: ToNode) {
        let lanes = &self.parts.backend.lanes;
        let post = self.posts.entry(node.clone()).or_insert_with(|| {
            let (post, mut waiting) = mpsc::unbounded_channel();
            let (lanes, node) = (lanes.clone(), node.clone());
            self.parts.tracker.spawn(async move {
                while let Some(message) = waiting.recv().await {
                    if let Err(error) = lanes.send(&node, message).await {
                        // The attempt's lease expires, and the core retries the task.
                        tracing::warn!(%node, %error, "sending a message to a node failed");
                    }
                }
            });
            post
        });
        if post.send(message).is_err() {
            self.posts.remove(node);
        }
    }

    fn publish(&self, job: &JobId, kind: &str) {
        if let Some(slot) = self.jobs.get(job) {
            slot.live.publish(kind, self.core.job(job).as_ref(), now_ms());
        }
    }

    fn started(&mut self, job: &JobId) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        if slot.live.started_ms.is_none() {
            let at_ms = now_ms();
            slot.live.started_ms = Some(at_ms);
            slot.note(&JobRecord::Started(at_ms));
            self.dirty.insert(job.clone());
            self.publish(job, "started");
        }
    }

    fn dead(&mut self, job: &JobId, dead: DeadTask) {
        self.note_killed(job, &dead);
        let Some(slot) = self.jobs.get_mut(job) else { return };
        slot.note(&JobRecord::Dead(dead.clone()));
        self.letters.push((slot.live.planned.meta.tenant.clone(), slot.live.letter(&dead)));
        slot.live.dead.insert(dead.task, dead);
        self.dirty.insert(job.clone());
    }

    fn job_finished(&mut self, job: &JobId, outcome: JobOutcome) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        let end = |state, error| JobEnd { state, error, at_ms: now_ms() };
        match outcome {
            JobOutcome::Succeeded => {
                if let Some(to) = slot.live.planned.meta.spec.output.clone() {
                    let (parts, meta, outputs) =
                        (self.parts.clone(), slot.live.planned.meta.clone(), slot.live.outputs());
                    self.doing.push(Box::pin(async move {
                        let written =
                            write_output::write(&parts.results, &parts.store, &meta.tenant, &outputs, &to).await;
                        Finished::OutputWritten(meta.id.clone(), written)
                    }));
                    return;
                }
                self.end(job, end(JobState::Succeeded, None));
            }
            JobOutcome::Failed { task, code } => {
                let fault = slot.live.failure(task, code);
                self.stop_everywhere(job);
                self.end(job, end(JobState::Failed, Some(fault)));
            }
            JobOutcome::Cancelled => {
                self.stop_everywhere(job);
                self.end(job, end(JobState::Cancelled, None));
            }
        }
    }

    fn stop_everywhere(&mut self, job: &JobId) {
        for node in self.posts.keys().cloned().collect::<Vec<_>>() {
            self.post(&node, ToNode::AbortJob { job: job.clone() });
        }
    }

    /// Starts to end a job. The end is visible to others once it is in the journal.
    fn end(&mut self, job: &JobId, ended: JobEnd) {
        if let Some(slot) = self.jobs.get_mut(job)
            && slot.ending.is_none()
            && slot.live.ended.is_none()
        {
            slot.note(&JobRecord::JobEnd(ended.clone()));
            slot.ending = Some(ended);
            self.append(job);
        }
    }

    fn finished(&mut self, finished: Finished) {
        match finished {
            Finished::Appended(job, records, written) => self.appended(&job, records, written),
            Finished::Again(job) => self.append_again(&job),
            Finished::Read(job, found) => self.read(job, found),
            Finished::OutputWritten(job, written) => {
                let (state, error) = match written {
                    Ok(()) => (JobState::Succeeded, None),
                    Err(mut fault) => {
                        fault.message = format!("the results could not be written: {}", fault.message);
                        (JobState::Failed, Some(fault))
                    }
                };
                self.end(&job, JobEnd { state, error, at_ms: now_ms() });
            }
            Finished::Retired => {}
            Finished::Looked { node, presumed, here, known } => {
                self.looked(node, presumed, here.map(|here| *here), known);
            }
        }
    }

    pub(crate) fn has_ended(&mut self, job: &JobId) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        slot.sources = None;
        slot.place = None;
        let meta = slot.live.planned.meta.clone();
        slot.live.publish(slot.live.state().as_str(), None, now_ms());
        self.metrics.jobs_active.dec();
        self.dirty.insert(job.clone());
        self.flush_now = true;
        self.retire(&meta.tenant, job);
        self.keep_ended(job);
    }

    fn retire(&self, tenant: &TenantId, job: &JobId) {
        let (registry, key) = (self.parts.backend.registry.clone(), Meta::active_key(tenant, job));
        self.doing.push(Box::pin(async move {
            if let Err(error) = registry.delete(&key, Expect::Any).await {
                // The next start finds the ended job and removes the key.
                tracing::warn!(key, %error, "removing an ended job from the active ones failed");
            }
            Finished::Retired
        }));
    }

    /// Drops an ended job that is about to be removed.
    pub(crate) fn forget_ended(&mut self, tenant: &TenantId, job: &JobId) {
        let ended = |slot: &JournaledJob| slot.live.ended.is_some() && slot.live.planned.meta.tenant == *tenant;
        if self.jobs.get(job).is_some_and(ended) {
            self.dirty.remove(job);
            self.jobs.remove(job);
        }
    }

    fn keep_ended(&mut self, job: &JobId) {
        let tasks = |slot: &JournaledJob| slot.live.stages.iter().map(|s| s.tasks.len()).sum::<usize>();
        let count = self.jobs.get(job).map_or(0, tasks);
        self.ended.push_back((job.clone(), count));
        self.ended_tasks += count;
        while self.ended.len() > ENDED_JOBS || (self.ended_tasks > ENDED_TASKS && self.ended.len() > 1) {
            let Some((oldest, count)) = self.ended.pop_front() else { break };
            self.ended_tasks = self.ended_tasks.saturating_sub(count);
            // A job that the index does not have yet must stay until the next flush.
            if self.dirty.contains(&oldest) {
                self.ended.push_back((oldest, count));
                self.ended_tasks += count;
                break;
            }
            self.jobs.remove(&oldest);
        }
    }

    /// Updates the index and the listeners.
    pub async fn flush(&mut self) {
        if self.dirty.is_empty() {
            return;
        }
        let stats = self.core.stats();
        // The core counts, and the metrics follow.
        self.metrics.speculated.inc_by(stats.speculated.saturating_sub(self.metrics.speculated.get()));
        self.metrics.preempted.inc_by(stats.preempted.saturating_sub(self.metrics.preempted.get()));
        let mut jobs = Vec::new();
        let mut invocations = Vec::new();
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            let Some(slot) = self.jobs.get(id) else { continue };
            let core = self.core.job(id);
            let meta = &slot.live.planned.meta;
            if slot.live.state() == JobState::Running {
                slot.live.publish("progress", core.as_ref(), now_ms());
            }
            if matches!(meta.kind, JobKind::Invoke { .. }) {
                invocations.push((meta.tenant.clone(), invocation::view(&slot.live)));
            } else {
                // The reason for waiting holds only at this moment, and lists would show it long afterwards.
                let job = Job { waiting: None, ..slot.live.view(core.as_ref(), now_ms()) };
                jobs.push((meta.tenant.clone(), job));
            }
        }
        let letters = std::mem::take(&mut self.letters);
        let index = &self.parts.index;
        let dead = if letters.is_empty() { Ok(()) } else { index.put_dead_letters(letters.clone()).await };
        let listed = index.put_jobs(jobs).await.and(index.put_invocations(invocations).await);
        let failed = dead.as_ref().err().or(listed.as_ref().err());
        if let Some(error) = failed
            && !self.index_lags
        {
            tracing::error!(%error, "index write failed, lists lag until it succeeds");
        }
        self.index_lags = failed.is_some();
        // Nothing is lost: failed writes are retried at the next flush.
        if dead.is_err() {
            self.letters = letters;
        }
        if listed.is_err() {
            self.dirty.extend(dirty);
        }
    }
}
