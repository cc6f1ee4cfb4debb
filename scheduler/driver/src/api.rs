//! What the gateway may ask of the driver.

use crate::{
    clock::now_ms,
    collector::Collector,
    deaths::Deaths,
    invocation,
    live::Live,
    meta::{Kind, Meta},
    metrics::Metrics,
    owner::{Ask, Owner},
    prepare, reconcile,
    record::{PARTITIONS_PER_RECORD, Record},
    recover,
    retention::{self, Retention},
    room::{self, Room},
    tasks,
    wishes::Wishes,
};
use bytes::Bytes;
use fabric_engine::{Engine, deaths, registry::Expect, upkeep::ROW_BYTES};
use fabric_index::Index;
use fabric_results::ResultStore;
use fabric_scheduler_core::{Event, Time, plan};
use fabric_store::Store;
use fabric_types::{
    Code, Fault,
    dataset::Partition,
    function::Deployment,
    id::{InvocationId, JobId, TenantId},
    job::{JobSpec, JobState, StageKind, TaskId, TaskState},
    rest::{
        Page,
        invocation::Invocation,
        job::{Job, JobEvent, JobPlan, Task},
    },
    storage::StorageKind,
    task_key::Keyer,
    units::ByteSize,
    work::{OutputRef, TaskInput},
};
use futures::stream::BoxStream;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Questions that may wait for the owner.
const ASK_DEPTH: usize = 1024;
/// How long to wait when lists could not be brought up to date.
const REBUILD_AGAIN: Duration = Duration::from_secs(5);

/// Map tasks that one job may have unless the operator says otherwise.
pub const DEFAULT_MAX_TASKS: u32 = 1_000_000;
/// The most that an operator may allow.
pub const MOST_TASKS: u32 = 10_000_000;

/// Gives the fingerprint of the engine that pure (`true`) or other functions run in.
pub type Fingerprint = Arc<dyn Fn(bool) -> String + Send + Sync>;

/// What a driver stands on.
pub struct Options {
    /// Backends.
    pub engine: Engine,
    /// Objects.
    pub store: Store,
    /// Results.
    pub results: ResultStore,
    /// Lists.
    pub index: Index,
    /// For task keys.
    pub fingerprint: Fingerprint,
    /// The scheduler's settings.
    pub config: fabric_scheduler_core::Config,
    /// Map tasks that one job may have. Default [`DEFAULT_MAX_TASKS`].
    pub max_tasks: u32,
    /// Memory that jobs which have not ended may take; a tenant may have half. Default [`crate::DEFAULT_OPEN_JOBS`].
    pub open_jobs: ByteSize,
    /// In a fleet, the epoch of the lease under which this process owns the jobs: others may have owned them since the index
    /// was written, and what they note about their guests comes through the journal.
    pub epoch: Option<u64>,
    /// How long things are kept.
    pub retention: Retention,
}

/// The same, shared with what the driver starts.
#[derive(Clone)]
pub struct Parts {
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) results: ResultStore,
    pub(crate) index: Index,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) config: fabric_scheduler_core::Config,
    pub(crate) max_tasks: u32,
    pub(crate) room: Room,
    pub(crate) tracker: TaskTracker,
    /// Held while a job that has ended is changed.
    pub(crate) bins: Arc<Mutex<()>>,
    /// How long things are kept.
    pub(crate) retention: Retention,
    /// Held while what was kept long enough is looked for.
    pub(crate) sweeping: Arc<Mutex<()>>,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Work {
    /// Map a function over a data set.
    Map(JobSpec),
    /// Call it once, later: an asynchronous invocation.
    Invoke {
        /// The request body.
        body: Bytes,
        /// Its media type.
        content_type: Option<String>,
        /// Parameters.
        params: serde_json::Map<String, serde_json::Value>,
    },
    /// Repeat some map tasks of another job.
    Audit {
        /// The other job.
        of: JobId,
        /// Its spec, without reduce and output.
        spec: Box<JobSpec>,
        /// The inputs to repeat.
        partitions: Arc<[Partition]>,
    },
}

/// A job to accept.
#[derive(Debug, Clone)]
pub struct Submission {
    /// A fresh id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who asks, for people.
    pub submitter: String,
    /// The version that will run.
    pub deployment: Arc<Deployment>,
    /// What is to be done.
    pub work: Work,
}

/// Which tasks to list.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only in this state.
    pub state: Option<TaskState>,
    /// Only of this stage.
    pub stage: Option<u16>,
}

/// A handle on the driver. Cloning is cheap.
#[derive(Clone)]
pub struct Driver {
    pub(crate) parts: Parts,
    asks: mpsc::Sender<Ask>,
    stop: CancellationToken,
    metrics: Metrics,
}

pub(crate) fn not_found(job: &JobId) -> Fault {
    Fault::new(Code::NotFound, format!("there is no job {job}")).hint("list them with `fabric jobs`")
}

fn stopping() -> Fault {
    Fault::new(Code::Unavailable, "the server is shutting down").hint("try again in a moment")
}

/// Lists what other owners did.
async fn rebuild(parts: Parts, stop: CancellationToken) {
    let rebuild = || recover::rebuild(&parts.engine, &parts.index, &parts.bins);
    while let Some(Err(fault)) = stop.run_until_cancelled(rebuild()).await {
        tracing::warn!(%fault, "lists of jobs are not complete; trying again");
        stop.run_until_cancelled(tokio::time::sleep(REBUILD_AGAIN)).await;
    }
}

impl Driver {
    /// Takes up every unfinished job and starts.
    ///
    /// # Errors
    /// A backend's fault.
    pub async fn start(options: Options) -> Result<Self, Fault> {
        let Options { engine, store, results, index, fingerprint, config, max_tasks, open_jobs, epoch, retention } =
            options;
        let fleet = epoch.is_some();
        let parts = Parts {
            engine,
            store,
            results,
            index,
            fingerprint,
            config,
            max_tasks,
            room: Room::new(open_jobs),
            tracker: TaskTracker::new(),
            bins: Arc::default(),
            retention,
            sweeping: Arc::default(),
        };
        let metrics = Metrics::default();
        if !fleet && parts.index.is_fresh() {
            recover::rebuild(&parts.engine, &parts.index, &parts.bins).await?;
        }
        let collector = match fleet {
            true => Some(Collector::new(parts.engine.clone(), parts.index.clone()).await?),
            false => None,
        };
        let wishes = Wishes::load(&parts.engine).await?;
        let mut owner = Owner::new(parts.clone(), metrics.clone(), wishes, epoch.unwrap_or(0));
        owner.deaths = Deaths::new(deaths::all(parts.engine.registry.as_ref()).await?);
        for live in recover::unfinished(&parts.engine, !fleet).await? {
            tracing::info!(job_id = %live.id(), state = %live.state(), "job taken up again");
            owner.resume(live);
        }
        let outbox = parts.engine.lanes.collect().await?;
        let arrivals = parts.engine.presence.watch();
        let (asks, waiting) = mpsc::channel(ASK_DEPTH);
        let stop = CancellationToken::new();
        parts.tracker.spawn(owner.run(waiting, outbox, arrivals, stop.clone()));
        if let Some(collector) = collector {
            parts.tracker.spawn(collector.run(stop.clone()));
            // Beside serving: reading a long history takes a while, and lists may lag.
            parts.tracker.spawn(rebuild(parts.clone(), stop.clone()));
        }
        let driver = Self { parts, asks, stop, metrics };
        if fleet {
            driver.parts.tracker.spawn(reconcile::run(driver.clone(), driver.stop.clone()));
        }
        driver.parts.tracker.spawn(retention::run(driver.clone(), driver.stop.clone()));
        Ok(driver)
    }

    /// Its metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Stops; what is under way goes on after the next start.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.parts.tracker.close();
        // The tasks that send to nodes end with the owner, which drops their queues.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.parts.tracker.wait()).await;
    }

    /// The backends.
    pub(crate) fn engine(&self) -> &Engine {
        &self.parts.engine
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Owner) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let ask: Ask = Box::new(move |owner| {
            // The asker may have gone; then nobody minds.
            let _ = reply.send(look(owner));
        });
        self.asks.send(ask).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Looks at a job of the tenant: in memory, else read back from the journal.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        job: &JobId,
        look: impl FnOnce(&Live, Option<&fabric_scheduler_core::Core>) -> T + Send + 'static,
    ) -> Result<Option<T>, Fault> {
        let (id, whose) = (job.clone(), tenant.clone());
        let found = self
            .ask(move |owner| match owner.jobs.get(&id) {
                Some(slot) if slot.live.planned.meta.tenant == whose => Ok(look(&slot.live, Some(&owner.core))),
                _ => Err(look),
            })
            .await?;
        match found {
            Ok(seen) => Ok(Some(seen)),
            Err(look) => Ok(recover::load(&self.parts.engine, tenant, job).await?.map(|live| look(&live, None))),
        }
    }

    /// Takes a job: plans it, journals it, and answers when it is durable.
    ///
    /// # Errors
    /// What is wrong with the submission, or a backend's fault.
    pub async fn submit(&self, submission: Submission) -> Result<Job, Fault> {
        let planned = prepare::prepare(&self.parts, &submission).await?;
        let meta = planned.meta.clone();
        // Held until the owner has charged the job itself.
        let _place = self.parts.room.take(&meta.tenant, room::charge(&planned))?;
        let mut records = vec![Record::Accepted(Box::new((*meta).clone())).encode()?];
        for chunk in planned.partitions.chunks(PARTITIONS_PER_RECORD) {
            records.push(Record::Partitions(chunk.to_vec()).encode()?);
        }
        let bytes = records.iter().map(|record| record.len() as u64 + ROW_BYTES).sum();
        let accounts = self.parts.store.accounts();
        let room = accounts.reserve(&meta.tenant, StorageKind::Jobs, bytes).await.map_err(|e| e.to_fault())?;
        // First among the active ones, then in the journal: a crash in between leaves a name that recovery clears away.
        let active = Meta::active_key(&meta.tenant, &meta.id);
        self.parts.engine.registry.put(&active, Bytes::new(), Expect::Any).await?;
        let len = self.parts.engine.journal.append(&Meta::stream(&meta.tenant, &meta.id), 0, records).await?;
        room.keep(0);
        let mut live = Live::new(planned);
        live.journal_len = len;
        let job = self
            .ask(move |owner| {
                let id = live.id().clone();
                owner.accept(live);
                let core = owner.core.job(&id);
                owner.jobs.get(&id).map(|slot| slot.live.view(core.as_ref(), now_ms()))
            })
            .await?;
        job.ok_or_else(|| Fault::new(Code::Internal, "the job was not taken"))
    }

    /// What a job would take.
    ///
    /// # Errors
    /// As for [`Self::submit`].
    pub async fn plan(
        &self,
        tenant: &TenantId,
        deployment: &Arc<Deployment>,
        spec: &JobSpec,
    ) -> Result<JobPlan, Fault> {
        prepare::check(deployment, spec)?;
        let submission = Submission {
            id: JobId::from_parts(0, 0),
            tenant: tenant.clone(),
            submitter: String::new(),
            deployment: deployment.clone(),
            work: Work::Map(spec.clone()),
        };
        let planned = prepare::prepare(&self.parts, &submission).await?;
        let meta = &planned.meta;
        let tasks = plan::stages(&meta.plan(Time(0))).iter().map(|s| u64::from(s.tasks)).sum();
        let mut cached = 0;
        // What the cache holds of a GPU's results is known where they would run.
        if deployment.is_pure() && !deployment.uses_gpu() && spec.cache {
            let keyer = Keyer::new(deployment, StageKind::Map, meta.buckets(), &meta.params, &meta.engine, &meta.id);
            for partitions in planned.partitions.chunks(1024) {
                let keys = partitions
                    .iter()
                    .map(|p| keyer.key(TaskId { stage: 0, index: 0 }, &TaskInput::Partition(p.clone())));
                let chunk = keys.collect::<Vec<_>>();
                tokio::task::yield_now().await;
                cached += self.parts.engine.results.get_many(tenant, &chunk).await?.iter().flatten().count() as u64;
            }
        }
        Ok(JobPlan { partitions: u64::from(meta.map_tasks), tasks, bytes_in: meta.bytes_in, cached, estimate: None })
    }

    /// A job that is not an invocation; `None` when there is no such job in the tenant.
    ///
    /// # Errors
    /// A backend's fault.
    pub async fn job(&self, tenant: &TenantId, job: &JobId) -> Result<Option<Job>, Fault> {
        let view = move |live: &Live, core: Option<&fabric_scheduler_core::Core>| {
            let shown = !matches!(live.planned.meta.kind, Kind::Invoke { .. });
            shown.then(|| live.view(core.and_then(|c| c.job(live.id())).as_ref(), now_ms()))
        };
        Ok(self.look(tenant, job, view).await?.flatten())
    }

    async fn until_ended(&self, tenant: &TenantId, job: &JobId, timeout: Duration) -> Result<(), Fault> {
        let events = self.look(tenant, job, |live, _| live.ended.is_none().then(|| live.events.clone())).await?;
        if let Some(Some(events)) = events {
            tokio::select! {
                () = events.ended() => {}
                () = tokio::time::sleep(timeout) => {}
                () = self.stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Waits until the job has ended or the time has passed, then as [`Self::job`].
    ///
    /// # Errors
    /// As for [`Self::job`].
    pub async fn wait(&self, tenant: &TenantId, job: &JobId, timeout: Duration) -> Result<Option<Job>, Fault> {
        self.until_ended(tenant, job, timeout).await?;
        self.job(tenant, job).await
    }

    /// An asynchronous invocation, after it ended or `wait` has passed.
    ///
    /// # Errors
    /// A backend's fault.
    pub async fn invocation(
        &self,
        tenant: &TenantId,
        id: &InvocationId,
        wait: Duration,
    ) -> Result<Option<Invocation>, Fault> {
        let job = id.as_job();
        if !wait.is_zero() {
            self.until_ended(tenant, &job, wait).await?;
        }
        let view = |live: &Live, _: Option<&fabric_scheduler_core::Core>| {
            matches!(live.planned.meta.kind, Kind::Invoke { .. }).then(|| invocation::view(live))
        };
        Ok(self.look(tenant, &job, view).await?.flatten())
    }

    /// Cancels; cancelling what has ended is `conflict`, what isn't there `not-found`.
    ///
    /// # Errors
    /// Those, or a backend's fault.
    pub async fn cancel(&self, tenant: &TenantId, job: &JobId) -> Result<Job, Fault> {
        let (id, whose) = (job.clone(), tenant.clone());
        let asked = self
            .ask(move |owner| {
                let slot = owner.jobs.get_mut(&id).filter(|s| s.live.planned.meta.tenant == whose)?;
                if slot.is_over() {
                    return Some(false);
                }
                slot.cancel_asked();
                owner.step([Event::Cancel { job: id.clone() }]);
                owner.append(&id);
                Some(true)
            })
            .await?;
        match asked {
            Some(true) => {
                self.until_ended(tenant, job, Duration::from_secs(5)).await?;
                let view = |live: &Live, core: Option<&fabric_scheduler_core::Core>| {
                    live.view(core.and_then(|c| c.job(live.id())).as_ref(), now_ms())
                };
                self.look(tenant, job, view).await?.ok_or_else(|| not_found(job))
            }
            Some(false) => Err(Fault::new(Code::Conflict, format!("job {job} has ended already"))),
            None => match self.job(tenant, job).await? {
                Some(_) => Err(Fault::new(Code::Conflict, format!("job {job} has ended already"))),
                None => Err(not_found(job)),
            },
        }
    }

    /// The result of a task, whatever became of the job.
    ///
    /// # Errors
    /// `not-found` when there is no such job or task, or the task has no result; or a backend's fault.
    pub async fn output(&self, tenant: &TenantId, job: &JobId, task: TaskId) -> Result<OutputRef, Fault> {
        let found =
            self.look(tenant, job, move |live, _| live.task(task).map(|note| note.done.as_ref().map(|d| d.output)));
        match found.await?.ok_or_else(|| not_found(job))? {
            Some(Some(output)) => Ok(output),
            Some(None) => Err(Fault::new(Code::NotFound, format!("task {task} of job {job} has no result"))
                .hint(format!("list those that have: GET /v1/jobs/{job}/tasks?state=succeeded"))),
            None => Err(Fault::new(Code::NotFound, format!("job {job} has no task {task}"))),
        }
    }

    /// Puts a job into the bin or takes it out, in memory, journal and index.
    async fn bin(&self, tenant: &TenantId, job: &JobId, binned: bool) -> Result<Job, Fault> {
        let current = self.job(tenant, job).await?.ok_or_else(|| not_found(job))?;
        if !current.state.is_terminal() {
            return Err(Fault::new(Code::Conflict, format!("job {job} is {}", current.state))
                .hint(format!("stop it first: fabric jobs cancel {job}")));
        }
        let _alone = self.parts.bins.lock().await;
        let stream = Meta::stream(tenant, job);
        let len = self.parts.engine.journal.streams(&stream, None, 1).await?.first().map_or(0, |s| s.len);
        let len = self.parts.engine.journal.append(&stream, len, vec![Record::Binned(binned).encode()?]).await?;
        let id = job.clone();
        self.ask(move |owner| {
            if let Some(slot) = owner.jobs.get_mut(&id) {
                slot.live.binned = binned;
                slot.live.journal_len = len;
            }
        })
        .await?;
        let changed = Job { deleted: binned, ..current };
        let put = self.parts.index.put_jobs(vec![(tenant.clone(), changed.clone())]).await;
        put.map_err(|e| Fault::new(Code::Unavailable, e.to_string()))?;
        Ok(changed)
    }

    /// To the bin; only when ended.
    ///
    /// # Errors
    /// `not-found`, `conflict`, or a backend's fault.
    pub async fn delete(&self, tenant: &TenantId, job: &JobId) -> Result<(), Fault> {
        self.bin(tenant, job, true).await.map(|_| ())
    }

    /// Out of the bin.
    ///
    /// # Errors
    /// `not-found`, or a backend's fault.
    pub async fn restore(&self, tenant: &TenantId, job: &JobId) -> Result<Job, Fault> {
        self.bin(tenant, job, false).await
    }

    /// Events after `after`, ending after the terminal one. A job that ended long ago gives its end alone.
    ///
    /// # Errors
    /// `not-found`, or a backend's fault.
    pub async fn events(
        &self,
        tenant: &TenantId,
        job: &JobId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, JobEvent>, Fault> {
        let log = self.look(tenant, job, |live, core| {
            if core.is_none() {
                live.publish(live.state().as_str(), None, live.ended.as_ref().map_or(0, |e| e.at_ms));
            }
            live.events.clone()
        });
        log.await?.map(|log| log.stream(after)).ok_or_else(|| not_found(job))
    }

    /// Tasks in order of stage and index.
    ///
    /// # Errors
    /// `not-found`, `bad-request` for a cursor of another list, or a backend's fault.
    pub async fn tasks(
        &self,
        tenant: &TenantId,
        job: &JobId,
        filter: TaskFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Task>, Fault> {
        let cursor = cursor.map(str::to_owned);
        let page = self.look(tenant, job, move |live, core| tasks::page(live, core, &filter, cursor.as_deref(), limit));
        page.await?.ok_or_else(|| not_found(job))?
    }

    /// The results of a job that succeeded, in order.
    ///
    /// # Errors
    /// `not-found`; `conflict` while it runs; the job's own fault when it failed.
    pub async fn outputs(&self, tenant: &TenantId, job: &JobId) -> Result<Vec<OutputRef>, Fault> {
        let found = self.look(tenant, job, |live, _| {
            let error = live.ended.as_ref().and_then(|e| e.error.clone());
            (live.state(), error, live.outputs())
        });
        match found.await?.ok_or_else(|| not_found(job))? {
            (JobState::Succeeded, _, outputs) => Ok(outputs),
            (JobState::Failed, Some(fault), _) => Err(fault),
            (JobState::Cancelled, ..) => {
                Err(Fault::new(Code::Cancelled, format!("job {job} was cancelled and has no result")))
            }
            (state, ..) => Err(Fault::new(Code::Conflict, format!("job {job} is {state} and has no result yet"))
                .hint(format!("wait for it: fabric jobs watch {job}"))),
        }
    }
}
