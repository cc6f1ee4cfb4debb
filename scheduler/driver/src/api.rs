//! The driver's interface for the gateway.

use crate::{
    clock::now_ms,
    collector::Collector,
    deaths::Deaths,
    invocation,
    job_state::OpenJob,
    meta::{JobKind, Meta},
    metrics::DriverMetrics,
    operator_settings::OperatorSettings,
    orphans,
    owner::{Ask, JobsOwner},
    prepare,
    record::{JobRecord, PARTITIONS_PER_RECORD},
    recover,
    retention::{self, Retention},
    room::{self, OpenJobsAccount},
    tasks,
};
use bytes::Bytes;
use fabric_backend::{Backend, deaths, registry::Expect, upkeep::ROW_BYTES};
use fabric_index::Index;
use fabric_results::ResultStore;
use fabric_scheduler_core::{Event, Time, plan};
use fabric_store::Store;
use fabric_types::{
    Code, EngineClass, Fault,
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

/// Requests that may wait for the owner.
const ASK_DEPTH: usize = 1024;
/// Delay before the lists are rebuilt again after a failure.
const REBUILD_AGAIN: Duration = Duration::from_secs(5);

/// Default of the maximum number of map tasks of a job.
pub const DEFAULT_MAX_TASKS: u32 = 1_000_000;
/// Largest maximum that an operator may configure.
pub const MOST_TASKS: u32 = 10_000_000;

/// Returns the fingerprint of the engine of a class.
pub type Fingerprint = Arc<dyn Fn(EngineClass) -> String + Send + Sync>;

/// The dependencies and settings of a driver.
pub struct Options {
    /// Backends.
    pub backend: Backend,
    /// Object store.
    pub store: Store,
    /// Result store.
    pub results: ResultStore,
    /// Index for lists.
    pub index: Index,
    /// Engine fingerprint for task keys.
    pub fingerprint: Fingerprint,
    /// Settings of the scheduler's core.
    pub config: fabric_scheduler_core::Config,
    /// Maximum map tasks of a job. Default [`DEFAULT_MAX_TASKS`].
    pub max_tasks: u32,
    /// Memory for jobs that have not ended. A tenant may use half of it. Default [`crate::DEFAULT_OPEN_JOBS`].
    pub open_jobs: ByteSize,
    /// Epoch of the lease under which this process owns the jobs of a fleet; `None` for a single process. In a fleet,
    /// other owners may have changed jobs since the index was written, and the processes report about their guests
    /// through the journal.
    pub epoch: Option<u64>,
    /// Retention periods.
    pub retention: Retention,
}

/// The parts that the driver shares with the tasks that it spawns.
#[derive(Clone)]
pub struct Parts {
    pub(crate) backend: Backend,
    pub(crate) store: Store,
    pub(crate) results: ResultStore,
    pub(crate) index: Index,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) config: fabric_scheduler_core::Config,
    pub(crate) max_tasks: u32,
    pub(crate) room: OpenJobsAccount,
    pub(crate) tracker: TaskTracker,
    /// Held while an ended job is changed.
    pub(crate) bins: Arc<Mutex<()>>,
    /// Retention periods.
    pub(crate) retention: Retention,
    /// Held during a retention sweep.
    pub(crate) sweeping: Arc<Mutex<()>>,
}

/// The work of a submission.
#[derive(Debug, Clone)]
pub enum Work {
    /// Map a function over a data set.
    Map(JobSpec),
    /// Call a function once, later: an asynchronous invocation.
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
        /// Its specification, without reduce and output.
        spec: Box<JobSpec>,
        /// The inputs to repeat.
        partitions: Arc<[Partition]>,
    },
}

/// A job to accept.
#[derive(Debug, Clone)]
pub struct Submission {
    /// New job id.
    pub id: JobId,
    /// Owning tenant.
    pub tenant: TenantId,
    /// Submitter, for display.
    pub submitter: String,
    /// Version to run.
    pub deployment: Arc<Deployment>,
    /// Work of the job.
    pub work: Work,
}

/// A filter for lists of tasks.
#[derive(Debug, Clone, Default)]
pub struct TaskFilter {
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks of this stage.
    pub stage: Option<u16>,
}

/// A handle to the driver. Cloning is cheap.
#[derive(Clone)]
pub struct Driver {
    pub(crate) parts: Parts,
    asks: mpsc::Sender<Ask>,
    stop: CancellationToken,
    metrics: DriverMetrics,
}

pub(crate) fn not_found(job: &JobId) -> Fault {
    Fault::new(Code::NotFound, format!("there is no job {job}")).hint("list them with `fabric jobs`")
}

fn stopping() -> Fault {
    Fault::new(Code::Unavailable, "the server is shutting down").hint("try again in a moment")
}

/// Adds jobs of earlier owners to the lists.
async fn rebuild(parts: Parts, stop: CancellationToken) {
    let rebuild = || recover::rebuild(&parts.backend, &parts.index, &parts.bins);
    while let Some(Err(fault)) = stop.run_until_cancelled(rebuild()).await {
        tracing::warn!(%fault, "rebuilding the job lists failed, retrying");
        stop.run_until_cancelled(tokio::time::sleep(REBUILD_AGAIN)).await;
    }
}

impl Driver {
    /// Starts the driver and resumes every unfinished job.
    ///
    /// # Errors
    /// A backend's fault.
    pub async fn start(options: Options) -> Result<Self, Fault> {
        let Options { backend, store, results, index, fingerprint, config, max_tasks, open_jobs, epoch, retention } =
            options;
        let fleet = epoch.is_some();
        let parts = Parts {
            backend,
            store,
            results,
            index,
            fingerprint,
            config,
            max_tasks,
            room: OpenJobsAccount::new(open_jobs),
            tracker: TaskTracker::new(),
            bins: Arc::default(),
            retention,
            sweeping: Arc::default(),
        };
        let metrics = DriverMetrics::default();
        if !fleet && parts.index.is_fresh() {
            recover::rebuild(&parts.backend, &parts.index, &parts.bins).await?;
        }
        let collector = match fleet {
            true => Some(Collector::new(parts.backend.clone(), parts.index.clone()).await?),
            false => None,
        };
        let wishes = OperatorSettings::load(&parts.backend).await?;
        let mut owner = JobsOwner::new(parts.clone(), metrics.clone(), wishes, epoch.unwrap_or(0));
        owner.deaths = Deaths::new(deaths::all(parts.backend.registry.as_ref()).await?);
        for live in recover::unfinished(&parts.backend, !fleet).await? {
            tracing::info!(job_id = %live.id(), state = %live.state(), "job resumed");
            owner.resume(live);
        }
        let outbox = parts.backend.lanes.collect().await?;
        let arrivals = parts.backend.presence.watch();
        let (asks, waiting) = mpsc::channel(ASK_DEPTH);
        let stop = CancellationToken::new();
        parts.tracker.spawn(owner.run(waiting, outbox, arrivals, stop.clone()));
        if let Some(collector) = collector {
            parts.tracker.spawn(collector.run(stop.clone()));
            // In the background: reading a long history takes a while, and the lists may lag.
            parts.tracker.spawn(rebuild(parts.clone(), stop.clone()));
        }
        let driver = Self { parts, asks, stop, metrics };
        if fleet {
            driver.parts.tracker.spawn(orphans::run(driver.clone(), driver.stop.clone()));
        }
        driver.parts.tracker.spawn(retention::run(driver.clone(), driver.stop.clone()));
        Ok(driver)
    }

    /// Returns the driver's metrics.
    #[must_use]
    pub fn metrics(&self) -> &DriverMetrics {
        &self.metrics
    }

    /// Stops the driver. Work in progress continues after the next start.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.parts.tracker.close();
        // The tasks that send to nodes end with the owner, because it drops their queues.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.parts.tracker.wait()).await;
    }

    /// Returns the backends.
    pub(crate) fn backend(&self) -> &Backend {
        &self.parts.backend
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut JobsOwner) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let ask: Ask = Box::new(move |owner| {
            // The caller may have dropped its receiver. The reply is not needed then.
            let _ = reply.send(look(owner));
        });
        self.asks.send(ask).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }

    /// Reads a job of the tenant from memory, or else from the journal.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        job: &JobId,
        look: impl FnOnce(&OpenJob, Option<&fabric_scheduler_core::Core>) -> T + Send + 'static,
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
            Err(look) => Ok(recover::load(&self.parts.backend, tenant, job).await?.map(|live| look(&live, None))),
        }
    }

    /// Accepts a job: plans it, appends it to the journal, and returns when it is durable.
    ///
    /// # Errors
    /// A caller fault for an invalid submission, or a backend's fault.
    pub async fn submit(&self, submission: Submission) -> Result<Job, Fault> {
        let planned = prepare::prepare(&self.parts, &submission).await?;
        let meta = planned.meta.clone();
        // Held until the owner has charged the job itself.
        let _place = self.parts.room.take(&meta.tenant, room::charge(&planned))?;
        let mut records = vec![JobRecord::Accepted(Box::new((*meta).clone())).encode()?];
        for chunk in planned.partitions.chunks(PARTITIONS_PER_RECORD) {
            records.push(JobRecord::Partitions(chunk.to_vec()).encode()?);
        }
        let bytes = records.iter().map(|record| record.len() as u64 + ROW_BYTES).sum();
        let accounts = self.parts.store.accounts();
        let room = accounts.reserve(&meta.tenant, StorageKind::Jobs, bytes).await?;
        // Register the job as active before journaling it. A crash in between leaves a key that recovery removes.
        let active = Meta::active_key(&meta.tenant, &meta.id);
        self.parts.backend.registry.put(&active, Bytes::new(), Expect::Any).await?;
        let len = self.parts.backend.journal.append(&Meta::stream(&meta.tenant, &meta.id), 0, records).await?;
        room.keep(0);
        let mut live = OpenJob::new(planned);
        live.journal_len = len;
        let job = self
            .ask(move |owner| {
                let id = live.id().clone();
                owner.accept(live);
                let core = owner.core.job(&id);
                owner.jobs.get(&id).map(|slot| slot.live.view(core.as_ref(), now_ms()))
            })
            .await?;
        job.ok_or_else(|| Fault::new(Code::Internal, "the owner did not accept the job"))
    }

    /// Returns the partitions and tasks that a job would have, without running it.
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
        // Cache hits of functions that use a GPU are known only on the node that would run them.
        if deployment.is_pure() && !deployment.uses_gpu() && spec.cache {
            let keyer = Keyer::new(deployment, StageKind::Map, meta.buckets(), &meta.params, &meta.engine, &meta.id);
            for partitions in planned.partitions.chunks(1024) {
                let keys = partitions
                    .iter()
                    .map(|p| keyer.key(TaskId { stage: 0, index: 0 }, &TaskInput::Partition(p.clone())));
                let chunk = keys.collect::<Vec<_>>();
                tokio::task::yield_now().await;
                cached += self.parts.backend.results.get_many(tenant, &chunk).await?.iter().flatten().count() as u64;
            }
        }
        Ok(JobPlan { partitions: u64::from(meta.map_tasks), tasks, bytes_in: meta.bytes_in, cached, estimate: None })
    }

    /// Returns a job that is not an invocation; `None` if the tenant has no such job.
    ///
    /// # Errors
    /// A backend's fault.
    pub async fn job(&self, tenant: &TenantId, job: &JobId) -> Result<Option<Job>, Fault> {
        let view = move |live: &OpenJob, core: Option<&fabric_scheduler_core::Core>| {
            let shown = !matches!(live.planned.meta.kind, JobKind::Invoke { .. });
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

    /// Waits until the job has ended or the time has passed, then returns the job like [`Self::job`].
    ///
    /// # Errors
    /// As for [`Self::job`].
    pub async fn wait(&self, tenant: &TenantId, job: &JobId, timeout: Duration) -> Result<Option<Job>, Fault> {
        self.until_ended(tenant, job, timeout).await?;
        self.job(tenant, job).await
    }

    /// Returns an asynchronous invocation, after it ended or `wait` has passed.
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
        let view = |live: &OpenJob, _: Option<&fabric_scheduler_core::Core>| {
            matches!(live.planned.meta.kind, JobKind::Invoke { .. }).then(|| invocation::view(live))
        };
        Ok(self.look(tenant, &job, view).await?.flatten())
    }

    /// Cancels a job and waits up to 5 s for its end.
    ///
    /// # Errors
    /// `conflict` if the job has already ended, `not-found` if there is no such job, or a backend's fault.
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
                let view = |live: &OpenJob, core: Option<&fabric_scheduler_core::Core>| {
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

    /// Returns the result of a task, in any state of the job.
    ///
    /// # Errors
    /// `not-found` if there is no such job or task, or the task has no result; or a backend's fault.
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

    /// Moves a job into the bin or out of it, in memory, journal and index.
    async fn bin(&self, tenant: &TenantId, job: &JobId, binned: bool) -> Result<Job, Fault> {
        let current = self.job(tenant, job).await?.ok_or_else(|| not_found(job))?;
        if !current.state.is_terminal() {
            return Err(Fault::new(Code::Conflict, format!("job {job} is {}", current.state))
                .hint(format!("stop it first: fabric jobs cancel {job}")));
        }
        let _alone = self.parts.bins.lock().await;
        let stream = Meta::stream(tenant, job);
        let len = self.parts.backend.journal.streams(&stream, None, 1).await?.first().map_or(0, |s| s.len);
        let len = self.parts.backend.journal.append(&stream, len, vec![JobRecord::Binned(binned).encode()?]).await?;
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

    /// Moves an ended job into the bin.
    ///
    /// # Errors
    /// `not-found`, `conflict`, or a backend's fault.
    pub async fn delete(&self, tenant: &TenantId, job: &JobId) -> Result<(), Fault> {
        self.bin(tenant, job, true).await.map(|_| ())
    }

    /// Takes a job out of the bin.
    ///
    /// # Errors
    /// `not-found`, or a backend's fault.
    pub async fn restore(&self, tenant: &TenantId, job: &JobId) -> Result<Job, Fault> {
        self.bin(tenant, job, false).await
    }

    /// Returns the events after `after`, up to the terminal one. A job that ended long ago yields only that one.
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

    /// Lists tasks in order of stage and index.
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

    /// Returns the results of a job that succeeded, in order.
    ///
    /// # Errors
    /// `not-found`; `conflict` while it runs; `cancelled` if it was cancelled; the job's own fault if it failed.
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
