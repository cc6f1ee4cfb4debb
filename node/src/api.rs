//! What the gateway may ask of a node, and what its parts share.

use crate::{
    commit, guest_threads::GuestThreads, held::Held, http, invoke, invoke::Remembered, lane, metrics::Metrics,
    presence, work,
};
use bytes::Bytes;
use fabric_engine::Engine;
use fabric_host::Host;
use fabric_index::Index;
use fabric_results::ResultStore;
use fabric_store::{Objects, Store};
use fabric_types::{
    Code, Fault,
    digest::{ModuleDigest, TaskKey},
    function::{Deployment, Entry},
    id::{FunctionName, InvocationId, NodeId, TenantId},
    rest::invocation::Invocation,
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Chunks of work that may wait for a guest thread; the core's queue depth keeps them few.
const CHUNKS: usize = 4096;
/// Invocation records that may wait for the index; more are dropped and counted.
const NOTES: usize = 4096;
/// How often invocation records go to the index.
const NOTE_EVERY: Duration = Duration::from_millis(200);
/// Results of synchronous calls of pure functions that are remembered, in bytes.
const REMEMBERED_BYTES: u64 = 64 << 20;
/// A larger result is not remembered.
const REMEMBERED_MAX: usize = 1 << 20;

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What a node stands on.
pub struct Options {
    /// Its name.
    pub id: NodeId,
    /// Guests it runs at once; usually the number of cores.
    pub slots: u32,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Backends.
    pub engine: Engine,
    /// Objects and modules.
    pub store: Store,
    /// Results.
    pub results: ResultStore,
    /// Logs, invocation records, usage.
    pub index: Index,
    /// The sandbox.
    pub host: Host,
    /// Metrics, whose observer the sandbox was started with.
    pub metrics: Metrics,
}

/// What the node's parts share.
pub struct Shared {
    pub(crate) id: NodeId,
    pub(crate) slots: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) started_ms: u64,
    pub(crate) engine: Engine,
    pub(crate) store: Store,
    pub(crate) results: ResultStore,
    pub(crate) index: Index,
    pub(crate) host: Host,
    pub(crate) metrics: Metrics,
    pub(crate) held: Held,
    /// Told when the last waiting task has its thread.
    pub(crate) drained: Notify,
    pub(crate) remembered: moka::future::Cache<(TenantId, TaskKey), Remembered>,
    limits: moka::sync::Cache<(TenantId, FunctionName, u32), Arc<Semaphore>>,
    guests: GuestThreads,
    notes: mpsc::Sender<(TenantId, Invocation)>,
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
    pub(crate) fn permit(&self, deployment: &Deployment) -> Result<OwnedSemaphorePermit, Fault> {
        let key = (deployment.tenant.clone(), deployment.function.clone(), deployment.version);
        let most = deployment.manifest.limits.concurrency;
        let room = self.limits.get_with(key, || Arc::new(Semaphore::new(most as usize)));
        room.try_acquire_owned().map_err(|_| {
            let message = format!("function {} runs {most} calls at once already", deployment.function);
            Fault::new(Code::TooManyRequests, message)
                .hint("try again soon, or raise `limits.concurrency` in fabric.toml")
        })
    }

    /// The guest threads.
    ///
    /// # Errors
    /// `unavailable` when they have ended.
    pub(crate) fn guest_handle(&self) -> Result<Handle, Fault> {
        let handle = self.guests.handle().cloned();
        handle.ok_or_else(|| Fault::new(Code::Unavailable, "the node is shutting down"))
    }

    /// Notes a call for lists. Drops it when the index can't keep up: lists are not worth slowing calls.
    pub(crate) fn note_invocation(&self, tenant: &TenantId, invocation: Invocation) {
        if self.notes.try_send((tenant.clone(), invocation)).is_err() {
            tracing::debug!("an invocation record was dropped");
        }
    }
}

async fn keep_notes(index: Index, mut notes: mpsc::Receiver<(TenantId, Invocation)>, stop: CancellationToken) {
    let mut batch = Vec::new();
    while stop.run_until_cancelled(notes.recv_many(&mut batch, NOTES)).await.is_some_and(|n| n > 0) {
        keep(&index, std::mem::take(&mut batch)).await;
        // Not one write for each call, but one for all of a while.
        stop.run_until_cancelled(tokio::time::sleep(NOTE_EVERY)).await;
    }
    while let Ok(note) = notes.try_recv() {
        batch.push(note);
    }
    keep(&index, batch).await;
}

async fn keep(index: &Index, batch: Vec<(TenantId, Invocation)>) {
    if let Err(error) = index.put_invocations(batch).await {
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

/// A handle on this node. Cloning is cheap.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

fn total_memory() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib: u64 = line.and_then(|l| l.trim().split(' ').next()?.parse().ok()).unwrap_or(1 << 20);
    kib * 1024
}

impl Node {
    /// Starts the node: its guest threads, its lane, its presence.
    ///
    /// # Errors
    /// When threads can't be made, or a backend's fault.
    pub async fn start(options: Options) -> Result<Self, Fault> {
        let Options { id, slots, labels, engine, store, results, index, host, metrics } = options;
        let guests =
            GuestThreads::start(slots).map_err(|e| Fault::new(Code::Internal, format!("guest threads: {e}")))?;
        let (notes, noted) = mpsc::channel(NOTES);
        let remembered = moka::future::Cache::builder()
            .max_capacity(REMEMBERED_BYTES)
            .weigher(|_: &(TenantId, TaskKey), r: &Remembered| {
                // What is too large to remember is weighed so that it goes at once.
                let bytes = r.body.len() + 128;
                if bytes > REMEMBERED_MAX { u32::MAX } else { u32::try_from(bytes).unwrap_or(u32::MAX) }
            })
            .build();
        let shared = Arc::new(Shared {
            id,
            slots,
            memory_bytes: total_memory(),
            labels,
            started_ms: now_ms(),
            engine,
            store,
            results,
            index: index.clone(),
            host,
            metrics,
            held: Held::default(),
            drained: Notify::new(),
            remembered,
            limits: moka::sync::Cache::new(100_000),
            guests,
            notes,
        });
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
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
        tracker.spawn(keep_notes(index, noted, stop.clone()));
        Ok(Self { shared, stop, tracker })
    }

    /// Stops taking work, stops what runs, and says good-bye. Tasks that were stopped run again after the next start.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tracker.close();
        let _ = tokio::time::timeout(Duration::from_secs(10), self.tracker.wait()).await;
    }

    /// Checks, compiles and stores a module.
    ///
    /// # Errors
    /// What is wrong with the module, or the store's fault.
    pub async fn upload(&self, tenant: &TenantId, module: Bytes) -> Result<Uploaded, Fault> {
        let inspected = self.shared.host.inspect_and_compile(module.clone()).await?;
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

    /// Brings the metrics that are levels, not counts, up to date. Call it before they are read.
    pub fn refresh_metrics(&self) {
        let live = self.shared.host.stats().live;
        self.shared.metrics.running.set(i64::try_from(live).unwrap_or(i64::MAX));
    }

    /// Whether it takes work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.stop.is_cancelled()
    }
}
