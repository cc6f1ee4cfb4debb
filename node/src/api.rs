//! The node's interface for the gateway, and the state that its parts share.

use crate::{
    commit,
    guest_threads::GuestThreads,
    held_attempts::HeldAttempts,
    http, invoke,
    invoke::Remembered,
    killers::Killers,
    lane,
    metrics::NodeMetrics,
    offer::{Offer, Offered},
    policies::Policies,
    presence,
    record_shipper::RecordShipper,
    running::RunningFile,
    storage::{self, StorageOptions},
    work,
};
use bytes::Bytes;
use fabric_backend::Backend;
use fabric_host::Host;
use fabric_index::{FairDropQueue, QueueLimits, RecordSink};
use fabric_results::ResultStore;
use fabric_store::{Objects, Store};
use fabric_types::{
    Code, Cost, Fault,
    digest::{ModuleDigest, TaskKey},
    function::{Deployment, Entry},
    gpu::GpuSupport,
    id::{FunctionName, InvocationId, NodeId, TenantId},
    label::Labels,
    limits::Limits,
    memory::MemoryAccount,
    policy::Policy,
    rest::invocation::Invocation,
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Chunks that may wait for a guest thread. The core's queue depth limits their number further.
const CHUNKS: usize = 4096;
/// Maximum number of invocation records that wait for the index, over all tenants. Above it, the oldest records of the
/// tenant with the most are dropped.
const RECORDS: QueueLimits = QueueLimits { items: 4096, bytes: usize::MAX };
/// Maximum time to wait for the scheduler's release while the node holds no attempts: three heartbeat intervals.
const ANSWER: Duration = Duration::from_secs(3);
/// Interval between writes of invocation records to the index.
const RECORD_EVERY: Duration = Duration::from_millis(200);
/// Maximum size of the cache of results of pure synchronous calls, in bytes.
const REMEMBERED_BYTES: u64 = 64 << 20;
/// Returns the share of the memory account that cached results may use, in bytes.
#[must_use]
pub fn remembered_bytes(memory: u64) -> u64 {
    REMEMBERED_BYTES.min(memory / 16)
}

/// Maximum size of a cached result in bytes.
pub(crate) const REMEMBERED_MAX: usize = 1 << 20;

/// Returns the current time in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The configuration and dependencies of a node.
pub struct Options {
    /// The node's name.
    pub id: NodeId,
    /// Number of this process among those that have had this name; 0 without a fleet.
    pub epoch: u64,
    /// Maximum number of concurrent guests, usually the number of cores. With 0 the node accepts neither tasks nor
    /// calls and is not announced: it only checks and compiles uploads.
    pub slots: u32,
    /// URL at which other processes forward calls to this node.
    pub url: Option<String>,
    /// The resources of the node.
    pub offer: Offer,
    /// The backends.
    pub backend: Backend,
    /// Objects and modules.
    pub store: Store,
    /// Results.
    pub results: ResultStore,
    /// Destination of logs, invocation records and usage. In a fleet they go to a journal stream with this node's name.
    pub notes: RecordSink,
    /// The sandbox.
    pub host: Host,
    /// The process's data folder, in which running tasks are recorded. Without it, the next process cannot report a
    /// death of this one.
    pub folder: Option<PathBuf>,
    /// Ceilings and grants of tenants without a quota of their own.
    pub policy: Policy,
    /// Metrics. The sandbox was started with their observer.
    pub metrics: NodeMetrics,
    /// Options of storage accounting.
    pub storage: StorageOptions,
}

/// State shared by the node's parts.
pub struct NodeState {
    pub(crate) id: NodeId,
    pub(crate) epoch: u64,
    pub(crate) slots: u32,
    pub(crate) url: Option<String>,
    pub(crate) offered: Offered,
    /// Attempts that the node received and has not reported.
    pub(crate) holding: HeldAttempts,
    /// Notified when no heartbeat was accepted for almost the attempt lease: all attempts are stopped.
    pub(crate) lapsed: Notify,
    /// Notified when the scheduler has released a leaving node.
    pub(crate) released: Notify,
    /// `true` when the node is leaving and accepts no more work.
    pub(crate) leaving: watch::Sender<bool>,
    /// Cancelled when the lane was closed although the node was not stopped.
    pub(crate) lane_closed: CancellationToken,
    pub(crate) started_ms: u64,
    pub(crate) backend: Backend,
    pub(crate) store: Store,
    pub(crate) results: ResultStore,
    pub(crate) notes: RecordSink,
    pub(crate) host: Host,
    /// The record of running tasks, for the next process.
    pub(crate) running: Arc<RunningFile>,
    /// Modules that killed earlier processes.
    pub(crate) killers: Killers,
    pub(crate) metrics: NodeMetrics,
    /// Notified when the last waiting task has been taken by a thread.
    pub(crate) drained: Notify,
    pub(crate) remembered: moka::future::Cache<(TenantId, TaskKey), Remembered>,
    pub(crate) policies: Policies,
    /// Held by the one task that retries after it was refused memory.
    pub(crate) memory_turn: Mutex<()>,
    limits: moka::sync::Cache<(TenantId, FunctionName, u32, u32), Arc<Semaphore>>,
    guests: GuestThreads,
    records: Records,
}

impl NodeState {
    /// Returns the tenant's objects.
    pub(crate) fn objects(&self, tenant: &TenantId) -> Objects {
        self.store.objects(tenant)
    }

    /// Acquires a concurrency permit for one call of the function.
    ///
    /// # Errors
    /// `too-many-requests`.
    pub(crate) fn permit(&self, deployment: &Deployment, limits: &Limits) -> Result<OwnedSemaphorePermit, Fault> {
        let most = limits.concurrency;
        let key = (deployment.tenant.clone(), deployment.function.clone(), deployment.version, most);
        let room = self.limits.get_with(key, || Arc::new(Semaphore::new(most as usize)));
        room.try_acquire_owned().map_err(|_| {
            let message = format!("function {} already runs {most} concurrent calls", deployment.function);
            Fault::new(Code::TooManyRequests, message)
                .hint("try again soon, or raise `limits.concurrency` in fabric.toml")
        })
    }

    /// Returns the current limits for a call of the function.
    ///
    /// # Errors
    /// `denied` if the deployment has a grant that its tenant no longer has.
    pub(crate) fn call_limits(&self, deployment: &Deployment) -> Result<Limits, Fault> {
        self.policies.of(&deployment.tenant).limits(deployment)
    }

    /// Returns a handle to the guest threads.
    ///
    /// # Errors
    /// `unavailable` if they have ended.
    pub(crate) fn guest_handle(&self) -> Result<Handle, Fault> {
        let handle = self.guests.handle().cloned();
        handle.ok_or_else(|| Fault::new(Code::Unavailable, "the node is shutting down"))
    }

    /// Queues an invocation record. Records are dropped if the index is too slow, so that calls are never delayed by
    /// it.
    pub(crate) fn note_invocation(&self, tenant: &TenantId, invocation: Invocation) {
        self.records.waiting.lock().push(tenant.clone(), 0, invocation);
        self.records.some.notify_one();
    }
}

/// Invocation records that wait for the index.
struct Records {
    waiting: parking_lot::Mutex<FairDropQueue<Invocation>>,
    some: Notify,
}

impl Records {
    fn take(&self) -> Vec<(TenantId, Invocation)> {
        let mut all = Vec::new();
        for taken in self.waiting.lock().take() {
            if taken.dropped > 0 {
                let (tenant, dropped) = (&taken.tenant, taken.dropped);
                tracing::warn!(%tenant, dropped, "invocation records dropped, the index is too slow");
            }
            all.extend(taken.items.into_iter().map(|invocation| (taken.tenant.clone(), invocation)));
        }
        all
    }
}

async fn keep_records(shared: Arc<NodeState>, stop: CancellationToken) {
    while stop.run_until_cancelled(shared.records.some.notified()).await.is_some() {
        keep(&shared).await;
        // Gathers the records of many calls into one write.
        stop.run_until_cancelled(tokio::time::sleep(RECORD_EVERY)).await;
    }
    keep(&shared).await;
}

async fn keep(shared: &NodeState) {
    let batch = shared.records.take();
    if !batch.is_empty()
        && let Err(error) = shared.notes.put_invocations(batch).await
    {
        tracing::warn!(%error, "failed to write invocation records");
    }
}

/// A synchronous call of a task or command function.
#[derive(Debug, Clone)]
pub struct Invoke {
    /// A new invocation id, used in log lines.
    pub id: InvocationId,
    /// The request body.
    pub body: Bytes,
    /// The body's media type.
    pub content_type: Option<String>,
    /// Parameters.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Runs the call even if its result is cached.
    pub fresh: bool,
}

/// The answer to a call.
#[derive(Debug, Clone)]
pub struct Invoked {
    /// The result.
    pub body: Bytes,
    /// The result's media type.
    pub content_type: Option<String>,
    /// Cost of the call; 0 if cached.
    pub cost: Cost,
    /// `true` if the result came from the cache and no guest ran.
    pub cached: bool,
}

/// An inspected and stored module.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// The digest.
    pub module: ModuleDigest,
    /// The exported entry.
    pub entry: Entry,
    /// JSON Schema of the parameters, if the module describes them.
    pub params: Option<serde_json::Value>,
    /// The module's description, if it has one.
    pub description: Option<String>,
    /// Compilation time in milliseconds; 0 if the artefact existed.
    pub compile_ms: u64,
    /// Warnings for the deployer.
    pub warnings: Vec<String>,
}

/// The body type of responses of http functions.
pub type HttpBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The load of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Number of running guests and waiting tasks.
    pub busy: u32,
    /// Maximum number of concurrent guests; 0 if the node accepts neither tasks nor calls.
    pub slots: u32,
}

/// A handle to this node. Cheap to clone.
#[derive(Clone)]
pub struct NodeHandle {
    shared: Arc<NodeState>,
    stop: CancellationToken,
    tracker: TaskTracker,
    posting: RecordShipper,
}

impl NodeHandle {
    /// Starts the node: its guest threads, lane and presence.
    ///
    /// # Errors
    /// If threads cannot be started, or a backend's fault.
    pub async fn start(options: Options) -> Result<Self, Fault> {
        let Options {
            id,
            epoch,
            slots,
            offer,
            url,
            backend,
            store,
            results,
            notes,
            host,
            folder,
            policy,
            metrics,
            storage,
        } = options;
        let started_ms = now_ms();
        let running = match &folder {
            Some(folder) => RunningFile::begin(folder, &id, started_ms).unwrap_or_else(|error| {
                // For instance because of a full disk. A death of this process is then detected only from outside.
                tracing::warn!(folder = %folder.display(), %error, "failed to create the record of running tasks");
                RunningFile::default()
            }),
            None => RunningFile::default(),
        };
        let killers = folder.as_deref().map(Killers::load).unwrap_or_default();
        let (policies, quota_changes) = Policies::open(backend.clone(), policy).await?;
        let guests =
            GuestThreads::start(slots).map_err(|e| Fault::new(Code::Internal, format!("guest threads: {e}")))?;
        let remembered = moka::future::Cache::builder()
            .max_capacity(remembered_bytes(host.memory().size()))
            .weigher(|_: &(TenantId, TaskKey), r: &Remembered| {
                // A result above the limit has the maximum weight, so it is evicted at once.
                let bytes = r.body.len() + 128;
                if bytes > REMEMBERED_MAX { u32::MAX } else { u32::try_from(bytes).unwrap_or(u32::MAX) }
            })
            .build();
        let shared = Arc::new(NodeState {
            id,
            epoch,
            slots,
            url,
            offered: Offered::new(offer),
            holding: HeldAttempts::default(),
            lapsed: Notify::new(),
            released: Notify::new(),
            leaving: watch::Sender::new(false),
            lane_closed: CancellationToken::new(),
            started_ms,
            backend,
            store,
            results,
            notes: notes.clone(),
            host,
            running: Arc::new(running),
            killers,
            metrics,
            drained: Notify::new(),
            remembered,
            policies,
            memory_turn: Mutex::new(()),
            limits: moka::sync::Cache::new(100_000),
            guests,
            records: Records { waiting: parking_lot::Mutex::new(FairDropQueue::new(RECORDS)), some: Notify::new() },
        });
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let posting = RecordShipper::start(shared.id.clone(), &shared.backend, &notes);
        tracker.spawn(keep_records(shared.clone(), stop.clone()));
        tracker.spawn(storage::run(shared.backend.clone(), shared.store.clone(), storage, stop.clone()));
        let following = shared.policies.clone().follow(quota_changes);
        let until = stop.clone();
        tracker.spawn(async move { until.run_until_cancelled(following).await });
        let node = Self { shared: shared.clone(), stop: stop.clone(), tracker: tracker.clone(), posting };
        if slots == 0 {
            return Ok(node);
        }
        let inbox = shared.backend.lanes.open(&shared.id).await?;
        let (chunks, waiting) = mpsc::channel(CHUNKS);
        let (pieces, done) = mpsc::channel(commit::PIECES);
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = shared.guest_handle()?;
        for _ in 0..slots {
            tracker.spawn_on(work::run(shared.clone(), waiting.clone(), pieces.clone()), &threads);
        }
        drop(pieces);
        tracker.spawn(commit::run(shared.clone(), done));
        tracker.spawn(lane::run(shared.clone(), inbox, chunks, stop.clone()));
        tracker.spawn(presence::run(shared.clone(), stop.clone()));
        Ok(node)
    }

    /// Announces that the node is leaving, and waits until the scheduler has released it: all its attempts have ended
    /// and were reported. Waits at most for `grace`, and stops early if no attempt is left and the scheduler does not
    /// answer. Does not wait for synchronous calls.
    pub async fn drain(&self, grace: Duration) {
        if self.stop.is_cancelled() || self.shared.slots == 0 {
            return;
        }
        self.shared.leaving.send_replace(true);
        let released = async {
            while tokio::time::timeout(ANSWER, self.shared.released.notified()).await.is_err() {
                if self.shared.holding.len() == 0 {
                    break;
                }
            }
        };
        if tokio::time::timeout(grace, released).await.is_err() {
            let attempts = self.shared.holding.len();
            tracing::warn!(attempts, "drain timed out, remaining attempts run elsewhere");
        }
    }

    /// Returns the node's name.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.shared.id
    }

    /// Returns `true` if the node is leaving and accepts no more work.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        *self.shared.leaving.borrow()
    }

    /// Records that the process ends in an orderly way, so that tasks still running are not counted as the cause of a
    /// death.
    pub fn ends_in_order(&self) {
        self.shared.running.close();
    }

    /// Stops accepting work, stops running tasks, and withdraws the node's presence. Stopped tasks run again after the
    /// next start.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(Duration::from_secs(10), self.tracker.wait()).await;
        self.posting.finish().await;
    }

    /// Returns the maximum size of a module in bytes.
    #[must_use]
    pub fn max_module_bytes(&self) -> u64 {
        self.shared.host.max_module_bytes()
    }

    /// Checks, compiles and stores a module.
    ///
    /// # Errors
    /// The defect of the module, or the store's fault.
    pub async fn upload(&self, tenant: &TenantId, module: Bytes) -> Result<Uploaded, Fault> {
        let inspected = self.shared.host.inspect_and_compile(tenant, module.clone()).await?;
        self.shared.store.modules(tenant).put(module).await?;
        Ok(Uploaded {
            module: inspected.digest,
            entry: inspected.entry,
            params: inspected.describe,
            description: inspected.description,
            compile_ms: inspected.compile_ms,
            warnings: inspected.warnings,
        })
    }

    /// Loads a new version in advance, so that its first call does not compile. A function with grants runs in a
    /// different engine than the one that checked its upload.
    ///
    /// # Errors
    /// The store's fault, or the compiler's.
    pub async fn warm(&self, deployment: &Arc<Deployment>) -> Result<(), Fault> {
        self.shared.load(deployment).await.map(drop)
    }

    /// Calls a task or command function. Writes usage, logs and the invocation record.
    ///
    /// # Errors
    /// The guest's fault with its fuel, `too-many-requests`, or the fault that prevented the call.
    pub async fn invoke(&self, deployment: &Arc<Deployment>, call: Invoke) -> Result<Invoked, Fault> {
        invoke::invoke(&self.shared, deployment, call).await
    }

    /// Passes a request to an http function. The guest receives the request's path and query unchanged.
    ///
    /// # Errors
    /// The fault that prevented a response from beginning.
    pub async fn http<B>(
        &self,
        deployment: &Arc<Deployment>,
        id: InvocationId,
        request: ::http::Request<B>,
    ) -> Result<::http::Response<HttpBody>, Fault>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        http::handle(&self.shared, deployment, id, request).await
    }

    /// Returns the account that calls and bodies are charged to.
    #[must_use]
    pub fn memory(&self) -> &MemoryAccount {
        self.shared.host.memory()
    }

    /// Returns the tenants' ceilings and grants.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.shared.policies
    }

    /// Returns the highest [`GpuSupport`] of this node; `None` without a GPU, and until detection has finished.
    #[must_use]
    pub fn serves_gpu(&self) -> GpuSupport {
        self.shared.host.gpu().facts().map_or(GpuSupport::None, |gpu| gpu.serves)
    }

    /// Returns the labels of this node.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.shared.offered.labels
    }

    /// Updates the gauges. Call it before metrics are read.
    pub fn refresh_metrics(&self) {
        let live = self.shared.host.stats().live;
        self.shared.metrics.running.set(i64::try_from(live).unwrap_or(i64::MAX));
        let waiting = self.shared.host.gpu().facts().map_or(0, |gpu| gpu.queued);
        self.shared.metrics.gpu_queue.set(waiting.into());
        let memory = self.memory();
        let level = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.shared.metrics.memory_size.set(level(memory.size()));
        self.shared.metrics.memory_used.set(level(memory.used()));
        let refused = &self.shared.metrics.memory_refused;
        refused.inc_by(memory.refused().saturating_sub(refused.get()));
        for (kind, bytes) in self.shared.store.accounts().of_all() {
            self.shared.metrics.stored(kind, bytes);
        }
    }

    /// Returns the current load.
    #[must_use]
    pub fn room(&self) -> Occupancy {
        let live = u32::try_from(self.shared.host.stats().live).unwrap_or(u32::MAX);
        let queued = u32::try_from(self.shared.metrics.queued_tasks.get()).unwrap_or(0);
        Occupancy { busy: live.saturating_add(queued), slots: self.shared.slots }
    }

    /// Returns `true` if the node accepts work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.stop.is_cancelled() && !self.shared.lane_closed.is_cancelled()
    }

    /// Waits until the lane is closed although the node was not stopped, because another process opened the lane of its
    /// name. Cancel safe.
    pub async fn lane_closed(&self) {
        self.shared.lane_closed.cancelled().await;
    }
}
