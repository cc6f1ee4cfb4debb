//! A node, the scheduler's end of its lane, and backends that fail on request.

use async_trait::async_trait;
use bytes::Bytes;
use fabric_backend::{
    Backend, Error,
    lane::{FromNode, Lanes, NodeInbox, SchedulerInbox, ToNode},
    results::{CommitOutcome, ResultRecord, Results},
};
use fabric_embedded::Embedded;
use fabric_host::{Host, WorkerCommand};
use fabric_index::{Index, activity_records::RecordSink};
use fabric_node::{NodeHandle, NodeMetrics, Options, StorageOptions, Volumes};
use fabric_results::ResultStore;
use fabric_store::Store;
use fabric_types::{
    digest::TaskKey,
    function::Deployment,
    id::{FunctionName, JobId, NodeId, TenantId},
    job::{StageKind, TaskId},
    manifest::Manifest,
    policy::Policy,
    work::{Assignment, AttemptOutcome, Batch, TaskInput},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

/// Writes `ok` to its standard output, which is its result.
pub const WRITES_OK: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\02\00\00\00")
    (data (i32.const 16) "ok")
    (func (export "_start") (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
/// Never returns.
pub const ENDLESS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))"#;
/// Traps.
pub const TRAPS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;

/// Lanes on which reports to the scheduler fail while `cut` is set.
struct CuttableLanes {
    inner: Arc<dyn Lanes>,
    cut: Arc<AtomicBool>,
}

#[async_trait]
impl Lanes for CuttableLanes {
    async fn send(&self, node: &NodeId, message: ToNode) -> Result<(), Error> {
        self.inner.send(node, message).await
    }
    async fn report(&self, message: FromNode) -> Result<(), Error> {
        if self.cut.load(Ordering::Relaxed) {
            let (FromNode::Completed { node, .. } | FromNode::Heartbeat { node } | FromNode::HeldAttempts { node, .. }) =
                message;
            return Err(Error::LaneClosed { node: node.to_string() });
        }
        self.inner.report(message).await
    }
    async fn open(&self, node: &NodeId) -> Result<Box<dyn NodeInbox>, Error> {
        self.inner.open(node).await
    }
    async fn open_inbox(&self) -> Result<Box<dyn SchedulerInbox>, Error> {
        self.inner.open_inbox().await
    }
}

/// Results whose first `full` commits fail because the disk is full.
struct FullResults {
    inner: Arc<dyn Results>,
    full: Arc<AtomicU32>,
}

#[async_trait]
impl Results for FullResults {
    async fn get_many(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<Vec<Option<ResultRecord>>, Error> {
        self.inner.get_many(tenant, keys).await
    }
    async fn commit(
        &self,
        tenant: &TenantId,
        results: Vec<(TaskKey, ResultRecord)>,
    ) -> Result<Vec<CommitOutcome>, Error> {
        let left = self.full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() {
            return Err(disk_full());
        }
        self.inner.commit(tenant, results).await
    }
    async fn delete(&self, tenant: &TenantId, keys: &[TaskKey]) -> Result<(), Error> {
        self.inner.delete(tenant, keys).await
    }
}

/// A node with one slot and the scheduler's end of its lane.
pub struct Bed {
    pub node: NodeHandle,
    pub backend: Backend,
    pub results: ResultStore,
    /// Set: reports and heartbeats of the node are lost.
    pub cut: Arc<AtomicBool>,
    /// Number of commits that will fail because the disk is full.
    pub full: Arc<AtomicU32>,
    metrics: NodeMetrics,
    inbox: Box<dyn SchedulerInbox>,
    _folder: tempfile::TempDir,
}

pub fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub fn job(number: u128) -> JobId {
    JobId::from_parts(1, number)
}

fn disk_full() -> Error {
    Error::Full { backend: "test", context: "commit".to_owned() }
}

fn worker() -> WorkerCommand {
    if let Some(program) = std::env::var_os("FABRIC_BIN") {
        return WorkerCommand { program: program.into(), args: vec!["compile-worker".to_owned()] };
    }
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("fabric-compile-worker");
    assert!(
        program.exists(),
        "{} is not there; run `cargo build -p fabric-host --bin fabric-compile-worker`, or name the binary in FABRIC_BIN",
        program.display()
    );
    WorkerCommand { program, args: Vec::new() }
}

impl Bed {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cut, full) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let mut backend = Embedded::in_memory().unwrap();
        backend.lanes = Arc::new(CuttableLanes { inner: backend.lanes, cut: cut.clone() });
        backend.results = Arc::new(FullResults { inner: backend.results, full: full.clone() });
        let inbox = backend.lanes.open_inbox().await.unwrap();
        let (store, metrics) = (Store::memory(), NodeMetrics::default());
        let results = ResultStore::new(backend.results.clone(), store.clone());
        let index = Index::in_memory().unwrap();
        let volumes = Volumes::new(folder.path().join("volumes"), store.accounts().clone());
        let node = NodeHandle::start(Options {
            id: NodeId::new("n").unwrap(),
            epoch: 0,
            slots: 1,
            url: None,
            offer: fabric_node::Offer { speed: Some(1.0), ..Default::default() },
            backend: backend.clone(),
            store,
            results: results.clone(),
            notes: RecordSink::Index(index.clone()),
            host: Host::start(fabric_host::Options::new(folder.path(), worker())).unwrap(),
            folder: None,
            policy: Policy::default(),
            metrics: metrics.clone(),
            storage: StorageOptions::new(index, volumes),
        })
        .await
        .unwrap();
        Self { node, backend, results, cut, full, metrics, inbox, _folder: folder }
    }

    /// Uploads a guest in text format.
    pub async fn deploy(&self, text: &str) -> Arc<Deployment> {
        let module = Bytes::from(wat::parse_str(text).unwrap());
        let uploaded = self.node.upload(&tenant(), module.clone()).await.unwrap();
        let function = FunctionName::new("guest").unwrap();
        let mut manifest = Manifest::named(function.clone());
        manifest.limits.fuel = 1 << 50;
        let deployment = Arc::new(Deployment {
            tenant: tenant(),
            function,
            version: 1,
            module: uploaded.module,
            module_bytes: module.len() as u64,
            entry: uploaded.entry,
            manifest,
            created_ms: 0,
            note: String::new(),
        });
        self.node.warm(&deployment).await.unwrap();
        deployment
    }

    pub async fn send(&self, message: ToNode) {
        self.backend.lanes.send(self.node.id(), message).await.unwrap();
    }

    /// Sends a batch of one attempt per key.
    pub async fn run(&self, deployment: &Arc<Deployment>, job: JobId, keys: &[u8], cache: bool) {
        let tasks = keys.iter().enumerate().map(|(index, key)| Assignment {
            task: task(index),
            attempt: 1,
            key: TaskKey([*key; 32]),
            input: TaskInput::Partials(Arc::default()),
        });
        let batch = Batch {
            tenant: tenant(),
            job,
            deployment: deployment.clone(),
            params: "{}".into(),
            stage: StageKind::Map,
            buckets: 0,
            cache,
            fuel: None,
            tasks: tasks.collect(),
        };
        self.send(ToNode::Run(Arc::new(batch))).await;
    }

    /// Waits until `count` attempts have ended, and returns them with their jobs.
    pub async fn outcomes(&mut self, count: usize) -> Vec<(JobId, AttemptOutcome)> {
        let mut all = Vec::new();
        while all.len() < count {
            if let FromNode::Completed { completion, .. } = self.inbox.recv().await.unwrap() {
                all.extend(completion.outcomes.into_iter().map(|outcome| (completion.job.clone(), outcome)));
            }
        }
        all
    }

    /// Waits in real time until `condition` holds. Tokio's clock may be paused.
    pub async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        for _ in 0..20_000 {
            if condition(self) {
                return;
            }
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{what} took longer than 20 s");
    }

    /// Asserts for 50 ms of real time that `condition` holds: guests run on other threads, whatever Tokio's clock says.
    pub async fn stays(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        for _ in 0..50 {
            assert!(condition(self), "{what}");
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns the number of tasks that wait for a slot.
    pub fn queued(&self) -> i64 {
        self.metrics.queued_tasks.get()
    }

    /// Returns `true` while a guest runs.
    pub fn is_running(&self) -> bool {
        self.metrics.running.get() > 0
    }
}

pub fn task(index: usize) -> TaskId {
    TaskId { stage: 0, index: u32::try_from(index).unwrap() }
}
