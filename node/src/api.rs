//! What the gateway may ask of a node, and what its parts share.

use crate::{
    commit,
    guest_threads::GuestThreads,
    held::Holding,
    http, invoke,
    invoke::Remembered,
    killers::Killers,
    lane,
    metrics::Metrics,
    offer::{Offer, Offered},
    policies::Policies,
    posting::Posting,
    presence,
    running::RunningFile,
    storage::{self, StorageOptions},
    work,
};
use bytes::Bytes;
use fabric_engine::Engine;
use fabric_host::Host;
use fabric_index::{FairQueue, Notes, QueueLimits};
use fabric_results::ResultStore;
use fabric_store::{Objects, Store};
use fabric_types::{
    Code, Fault,
    digest::{ModuleDigest, TaskKey},
    function::{Deployment, Entry},
    id::{FunctionName, InvocationId, NodeId, TenantId},
    label::Labels,
    limits::Limits,
    manifest::GpuMode,
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

/// Chunks of work that may wait for a guest thread; the core's queue depth keeps them few.
const CHUNKS: usize = 4096;
/// Invocation records that may wait for the index, of all tenants together; of more the oldest of the tenant with the most
/// are dropped.
const RECORDS: QueueLimits = QueueLimits { items: 4096, bytes: usize::MAX };
/// How long a scheduler may take to let a node go that holds nothing: three of its words.
const ANSWER: Duration = Duration::from_secs(3);
/// How often invocation records go to the index.
const RECORD_EVERY: Duration = Duration::from_millis(200);
/// Results of synchronous calls of pure functions that are remembered, in bytes.
const REMEMBERED_BYTES: u64 = 64 << 20;
/// Bytes of the memory account that remembered results take at most.
#[must_use]
pub fn remembered_bytes(memory: u64) -> u64 {
    REMEMBERED_BYTES.min(memory / 16)
}

/// A larger result is not remembered.
pub(crate) const REMEMBERED_MAX: usize = 1 << 20;

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What a node stands on.
pub struct Options {
    /// Its name.
    pub id: NodeId,
    /// Number of the process among those that have had this name; 0 where there is no fleet.
    pub epoch: u64,
    /// Guests it runs at once; usually the number of cores. With 0 it takes neither tasks nor calls and is on no list: it
    /// checks and compiles what is uploaded.
    pub slots: u32,
    /// Where other processes reach it with calls.
    pub url: Option<String>,
    /// What it offers.
    pub offer: Offer,
    /// Backends.
    pub engine: Engine,
    /// Objects and modules.
    pub store: Store,
    /// Results.
    pub results: ResultStore,
    /// Where logs, invocation records and usage go. What is sent goes to a journal stream of this node's name.
    pub notes: Notes,
    /// The sandbox.
    pub host: Host,
    /// The process's folder, where it notes what is running. Without one nothing tells the next process.
    pub folder: Option<PathBuf>,
    /// Ceilings and grants of tenants whose quota says nothing of them.
    pub policy: Policy,
    /// Metrics, whose observer the sandbox was started with.
    pub metrics: Metrics,
    /// How the accounts of what is stored are kept.
    pub storage: StorageOptions,
}

/// What the node's parts share.
pub struct Shared {
    pub(crate) id: NodeId,
    pub(crate) epoch: u64,
    pub(crate) slots: u32,
    pub(crate) url: Option<String>,
    pub(crate) offered: Offered,
    /// What it was given and has not reported.
    pub(crate) holding: Holding,
    /// Told when the scheduler takes what is here for lost.
    pub(crate) lapsed: Notify,
    /// Told when the scheduler wants nothing more of a node that is leaving.
    pub(crate) released: Notify,
    /// Set when the node is about to end and wants no more work.
    pub(crate) leaving: watch::Sender<bool>,
    /// Set when nothing arrives on the lane any more though the node was not stopped.
    pub(crate) lane_closed: CancellationToken,
    pub(crate) started_ms: u64,
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) results: ResultStore,
    pub(crate) notes: Notes,
    pub(crate) host: Host,
    /// What runs, for the process after this one.
    pub(crate) running: Arc<RunningFile>,
    /// What the processes before this one died of.
    pub(crate) killers: Killers,
    pub(crate) metrics: Metrics,
    /// Told when the last waiting task has its thread.
    pub(crate) drained: Notify,
    pub(crate) remembered: moka::future::Cache<(TenantId, TaskKey), Remembered>,
    pub(crate) policies: Policies,
    /// Held by the one task that tries again to get the memory which it was refused.
    pub(crate) memory_turn: Mutex<()>,
    limits: moka::sync::Cache<(TenantId, FunctionName, u32, u32), Arc<Semaphore>>,
    guests: GuestThreads,
    records: Records,
}

impl Shared {
    /// The tenant's objects.
    pub(crate) fn objects(&self, tenant: &TenantId) -> Objects {
        self.store.objects(tenant)
    }

    /// Room for one more call of the function.
    ///
    /// # Errors
    /// `too-many-requests`.
    pub(crate) fn permit(&self, deployment: &Deployment, limits: &Limits) -> Result<OwnedSemaphorePermit, Fault> {
        let most = limits.concurrency;
        let key = (deployment.tenant.clone(), deployment.function.clone(), deployment.version, most);
        let room = self.limits.get_with(key, || Arc::new(Semaphore::new(most as usize)));
        room.try_acquire_owned().map_err(|_| {
            let message = format!("function {} runs {most} calls at once already", deployment.function);
            Fault::new(Code::TooManyRequests, message)
                .hint("try again soon, or raise `limits.concurrency` in fabric.toml")
        })
    }

    /// The limits that a call of the function runs under now.
    ///
    /// # Errors
    /// `denied` for a grant that the tenant may no longer have.
    pub(crate) fn call_limits(&self, deployment: &Deployment) -> Result<Limits, Fault> {
        self.policies.of(&deployment.tenant).limits(deployment)
    }

    /// The guest threads.
    ///
    /// # Errors
    /// `unavailable` when they have ended.
    pub(crate) fn guest_handle(&self) -> Result<Handle, Fault> {
        let handle = self.guests.handle().cloned();
        handle.ok_or_else(|| Fault::new(Code::Unavailable, "the node is shutting down"))
    }

    /// Notes a call for lists. When the index can't keep up, records are dropped: lists are not worth slowing calls.
    pub(crate) fn note_invocation(&self, tenant: &TenantId, invocation: Invocation) {
        self.records.waiting.lock().push(tenant.clone(), 0, invocation);
        self.records.some.notify_one();
    }
}

/// Invocation records on their way to the index.
struct Records {
    waiting: parking_lot::Mutex<FairQueue<Invocation>>,
    some: Notify,
}

impl Records {
    fn take(&self) -> Vec<(TenantId, Invocation)> {
        let mut all = Vec::new();
        for taken in self.waiting.lock().take() {
            if taken.dropped > 0 {
                let (tenant, dropped) = (&taken.tenant, taken.dropped);
                tracing::warn!(%tenant, dropped, "invocation records came faster than they could be written");
            }
            all.extend(taken.items.into_iter().map(|invocation| (taken.tenant.clone(), invocation)));
        }
        all
    }
}

async fn keep_records(shared: Arc<Shared>, stop: CancellationToken) {
    while stop.run_until_cancelled(shared.records.some.notified()).await.is_some() {
        keep(&shared).await;
        // Not one write for each call, but one for all of a while.
        stop.run_until_cancelled(tokio::time::sleep(RECORD_EVERY)).await;
    }
    keep(&shared).await;
}

async fn keep(shared: &Shared) {
    let batch = shared.records.take();
    if !batch.is_empty()
        && let Err(error) = shared.notes.put_invocations(batch).await
    {
        tracing::warn!(%error, "invocation records could not be kept");
    }
}

/// A synchronous call of a task or command function.
#[derive(Debug, Clone)]
pub struct Invoke {
    /// A fresh id; log lines carry it.
    pub id: InvocationId,
    /// The request body.
    pub body: Bytes,
    /// Its media type.
    pub content_type: Option<String>,
    /// Parameters.
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Run even when the answer is remembered.
    pub fresh: bool,
}

/// Its answer.
#[derive(Debug, Clone)]
pub struct Invoked {
    /// The result.
    pub body: Bytes,
    /// Its media type.
    pub content_type: Option<String>,
    /// Fuel spent.
    pub fuel: u64,
    /// Wall clock of the call in microseconds.
    pub wall_us: u64,
    /// Device time of its GPU work, in microseconds.
    pub gpu_us: u64,
    /// Whether nothing ran because the result was there.
    pub cached: bool,
}

/// What a module turned out to be.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// Its digest.
    pub module: ModuleDigest,
    /// What it exports.
    pub entry: Entry,
    /// The parameters' JSON Schema it describes, if any.
    pub params: Option<serde_json::Value>,
    /// How it describes itself, if it does.
    pub description: Option<String>,
    /// Milliseconds of compilation; 0 when the artefact was there.
    pub compile_ms: u64,
    /// What the deployer should know.
    pub warnings: Vec<String>,
}

/// The body type of http functions' responses.
pub type HttpBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// How busy a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Guests that run and tasks that wait.
    pub busy: u32,
    /// Guests it runs at once; 0 when it takes neither tasks nor calls.
    pub slots: u32,
}

/// A handle on this node. Cloning is cheap.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tracker: TaskTracker,
    posting: Posting,
}

impl Node {
    /// Starts the node: its guest threads, its lane, its presence.
    ///
    /// # Errors
    /// When threads can't be made, or a backend's fault.
    pub async fn start(options: Options) -> Result<Self, Fault> {
        let Options {
            id,
            epoch,
            slots,
            offer,
            url,
            engine,
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
                // Such as a full disk: then only others notice what this process dies of.
                tracing::warn!(folder = %folder.display(), %error, "what runs can't be noted");
                RunningFile::default()
            }),
            None => RunningFile::default(),
        };
        let killers = folder.as_deref().map(Killers::load).unwrap_or_default();
        let (policies, quota_changes) = Policies::open(engine.clone(), policy).await?;
        let guests =
            GuestThreads::start(slots).map_err(|e| Fault::new(Code::Internal, format!("guest threads: {e}")))?;
        let remembered = moka::future::Cache::builder()
            .max_capacity(remembered_bytes(host.memory().size()))
            .weigher(|_: &(TenantId, TaskKey), r: &Remembered| {
                // What is too large to remember is weighed so that it goes at once.
                let bytes = r.body.len() + 128;
                if bytes > REMEMBERED_MAX { u32::MAX } else { u32::try_from(bytes).unwrap_or(u32::MAX) }
            })
            .build();
        let shared = Arc::new(Shared {
            id,
            epoch,
            slots,
            url,
            offered: Offered::new(offer),
            holding: Holding::default(),
            lapsed: Notify::new(),
            released: Notify::new(),
            leaving: watch::Sender::new(false),
            lane_closed: CancellationToken::new(),
            started_ms,
            engine,
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
            records: Records { waiting: parking_lot::Mutex::new(FairQueue::new(RECORDS)), some: Notify::new() },
        });
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let posting = Posting::start(shared.id.clone(), &shared.engine, &notes);
        tracker.spawn(keep_records(shared.clone(), stop.clone()));
        tracker.spawn(storage::run(shared.engine.clone(), shared.store.clone(), storage, stop.clone()));
        let following = shared.policies.clone().follow(quota_changes);
        let until = stop.clone();
        tracker.spawn(async move { until.run_until_cancelled(following).await });
        let node = Self { shared: shared.clone(), stop: stop.clone(), tracker: tracker.clone(), posting };
        if slots == 0 {
            return Ok(node);
        }
        let inbox = shared.engine.lanes.open(&shared.id).await?;
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

    /// Says that it is about to leave, and waits until the scheduler wants nothing more of it: what it was given has ended
    /// and is known to have. It does not wait longer than `grace`, and not for a scheduler that is silent when nothing is
    /// left here. Synchronous calls are their callers' to wait for.
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
            tracing::warn!(attempts, "leaving before everything has ended; what is left runs elsewhere");
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.shared.id
    }

    /// Whether it is about to end and wants no more work.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        *self.shared.leaving.borrow()
    }

    /// Says that the process is about to end in order: what still runs then is not the cause.
    pub fn ends_in_order(&self) {
        self.shared.running.close();
    }

    /// Stops taking work, stops what runs, and says good-bye. Tasks that were stopped run again after the next start.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(Duration::from_secs(10), self.tracker.wait()).await;
        self.posting.finish().await;
    }

    /// Bytes of the largest module that is taken.
    #[must_use]
    pub fn max_module_bytes(&self) -> u64 {
        self.shared.host.max_module_bytes()
    }

    /// Checks, compiles and stores a module.
    ///
    /// # Errors
    /// What is wrong with the module, or the store's fault.
    pub async fn upload(&self, tenant: &TenantId, module: Bytes) -> Result<Uploaded, Fault> {
        let inspected = self.shared.host.inspect_and_compile(tenant, module.clone()).await?;
        self.shared.store.modules(tenant).put(module).await.map_err(crate::input::fault)?;
        Ok(Uploaded {
            module: inspected.digest,
            entry: inspected.entry,
            params: inspected.describe,
            description: inspected.description,
            compile_ms: inspected.compile_ms,
            warnings: inspected.warnings,
        })
    }

    /// Makes a new version ready, so that its first call compiles nothing: a function with grants runs in another engine
    /// than the one its upload was checked with.
    ///
    /// # Errors
    /// The store's fault, or the compiler's.
    pub async fn warm(&self, deployment: &Arc<Deployment>) -> Result<(), Fault> {
        self.shared.load(deployment).await.map(drop)
    }

    /// Calls a task or command function. Usage, logs and the invocation record are written here.
    ///
    /// # Errors
    /// The guest's fault with its fuel, `too-many-requests`, or what kept it from running.
    pub async fn invoke(&self, deployment: &Arc<Deployment>, call: Invoke) -> Result<Invoked, Fault> {
        invoke::invoke(&self.shared, deployment, call).await
    }

    /// Hands a request to an http function. The request's path and query are what the guest sees.
    ///
    /// # Errors
    /// What kept the function from beginning a response.
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

    /// What calls and bodies are charged to.
    #[must_use]
    pub fn memory(&self) -> &MemoryAccount {
        self.shared.host.memory()
    }

    /// The tenants' ceilings and grants.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.shared.policies
    }

    /// The strongest wish for a GPU that this node serves; `None` of none, and while it is looked for.
    #[must_use]
    pub fn serves_gpu(&self) -> GpuMode {
        self.shared.host.gpu().facts().map_or(GpuMode::None, |gpu| gpu.serves)
    }

    /// The labels of this node.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.shared.offered.labels
    }

    /// Brings the metrics that are levels, not counts, up to date. Call it before they are read.
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

    /// How busy it is.
    #[must_use]
    pub fn room(&self) -> Room {
        let live = u32::try_from(self.shared.host.stats().live).unwrap_or(u32::MAX);
        let queued = u32::try_from(self.shared.metrics.queued_tasks.get()).unwrap_or(0);
        Room { busy: live.saturating_add(queued), slots: self.shared.slots }
    }

    /// Whether it takes work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.stop.is_cancelled() && !self.shared.lane_closed.is_cancelled()
    }

    /// Resolves when nothing reaches the node any more though it was not stopped: another process opened the lane of its
    /// name. Cancel safe.
    pub async fn lane_closed(&self) {
        self.shared.lane_closed.cancelled().await;
    }
}
