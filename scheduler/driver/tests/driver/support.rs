//! A fleet of scripted nodes around drivers that share one backend in memory.

use crate::journal_gate::{Gate, GatedJournal};
use bytes::Bytes;
use fabric_backend::{
    Backend,
    lane::{FromNode, ToNode},
};
use fabric_driver::{Driver, Options, Submission, Work};
use fabric_embedded::Embedded;
use fabric_index::Index;
use fabric_results::{NewResult, ResultStore};
use fabric_store::Store;
use fabric_types::{
    Fault,
    dataset::{InputSpec, Item, Partition},
    digest::{ContentDigest, ModuleDigest, TaskKey},
    function::{Deployment, Entry, EntryKind},
    id::{FunctionName, JobId, NodeId, TenantId},
    job::{JobSpec, TaskId},
    manifest::Manifest,
    node::NodeFacts,
    rest::job::Job,
    work::{AttemptOutcome, Completion, Done, OutputRef, TaskInput},
};
use serde_json::json;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{interval, timeout},
};

/// Virtual time after which an awaited message counts as missing.
const PATIENCE: Duration = Duration::from_secs(120);
/// Period for which an announcement is valid. Nodes announce themselves every second.
const PRESENCE: Duration = Duration::from_secs(5);

/// An attempt that a node received.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub node: NodeId,
    pub job: JobId,
    pub task: TaskId,
    pub number: u32,
    pub key: TaskKey,
    pub input: TaskInput,
    /// `true` if a committed result may be used.
    pub cache: bool,
}

impl Attempt {
    /// Returns the text of the item, or an empty text for any other input.
    pub fn item(&self) -> String {
        match &self.input {
            TaskInput::Partition(Partition::Item(text)) => text.to_string(),
            _ => String::new(),
        }
    }
}

/// The backend, its nodes, and everything that drivers sent to them.
pub struct Fleet {
    pub backend: Backend,
    pub index: Index,
    pub gate: Gate,
    store: Store,
    results: ResultStore,
    sender: mpsc::UnboundedSender<(NodeId, ToNode)>,
    received: mpsc::UnboundedReceiver<(NodeId, ToNode)>,
    attempts: VecDeque<Attempt>,
    others: VecDeque<(NodeId, ToNode)>,
    nodes: JoinSet<()>,
    switches: HashMap<NodeId, watch::Sender<Mode>>,
}

/// The behaviour of a scripted node.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Present,
    /// Announces that it is about to leave.
    Leaving,
    /// Sends nothing.
    Silent,
}

pub fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub fn job(n: u128) -> JobId {
    JobId::from_parts(1, n)
}

pub fn deployment() -> Arc<Deployment> {
    let name = FunctionName::new("count").unwrap();
    Arc::new(Deployment {
        tenant: acme(),
        function: name.clone(),
        version: 1,
        module: ModuleDigest::of(b"module"),
        module_bytes: 6,
        entry: Entry { kind: EntryKind::Task, handler: true, mapper: true, reducer: true },
        manifest: Manifest::named(name),
        created_ms: 0,
        note: String::new(),
    })
}

/// Returns a specification with these items.
pub fn spec(items: &[&str]) -> JobSpec {
    let items = items.iter().map(|text| Item::Text((*text).into())).collect();
    JobSpec { input: InputSpec::Items(items), ..JobSpec::new("count".parse().unwrap()) }
}

pub fn submission(id: &JobId, spec: JobSpec) -> Submission {
    Submission {
        id: id.clone(),
        tenant: acme(),
        submitter: "test".to_owned(),
        deployment: deployment(),
        work: Work::Map(spec),
    }
}

fn facts(id: &NodeId, slots: u32, beats: u64, leaving: bool) -> NodeFacts {
    let facts = json!({
        "id": id, "state": "ready", "version": "1", "engine": "e", "cpu_slots": slots, "running": 0, "queued": 0,
        "memory_bytes": 1_u64 << 30, "used_bytes": 0, "modules": 0, "labels": {}, "leaving": leaving,
        "started_ms": 1, "seen_ms": beats,
    });
    serde_json::from_value(facts).unwrap()
}

/// Waits for an expected event, for at most [`PATIENCE`] of virtual time.
pub async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    timeout(PATIENCE, event).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

impl Fleet {
    pub fn new() -> Self {
        let mut backend = Embedded::in_memory().unwrap();
        let (journal, gate) = GatedJournal::new(backend.journal.clone());
        backend.journal = journal;
        let store = Store::memory();
        let results = ResultStore::new(backend.results.clone(), store.clone());
        let (sender, received) = mpsc::unbounded_channel();
        Self {
            backend,
            index: Index::in_memory().unwrap(),
            gate,
            store,
            results,
            sender,
            received,
            attempts: VecDeque::new(),
            others: VecDeque::new(),
            nodes: JoinSet::new(),
            switches: HashMap::new(),
        }
    }

    /// Starts a driver; `epoch` as in [`Options::epoch`].
    pub async fn driver(&self, epoch: Option<u64>) -> Driver {
        let options = Options {
            backend: self.backend.clone(),
            store: self.store.clone(),
            results: self.results.clone(),
            index: self.index.clone(),
            fingerprint: Arc::new(|_| "engine".to_owned()),
            config: fabric_driver::Config::default(),
            max_tasks: fabric_driver::DEFAULT_MAX_TASKS,
            open_jobs: fabric_driver::DEFAULT_OPEN_JOBS,
            epoch,
            retention: fabric_driver::Retention::default(),
        };
        Driver::start(options).await.unwrap()
    }

    /// Adds a node that announces itself and sends a heartbeat every second.
    pub async fn join(&mut self, name: &str, slots: u32) {
        let (id, backend, sender) = (node(name), self.backend.clone(), self.sender.clone());
        let mut inbox = backend.lanes.open(&id).await.unwrap();
        backend.presence.announce(facts(&id, slots, 0, false), PRESENCE).await.unwrap();
        let (switch, mode) = watch::channel(Mode::Present);
        self.switches.insert(id.clone(), switch);
        self.nodes.spawn(async move {
            let (mut beat, mut beats) = (interval(Duration::from_secs(1)), 0);
            loop {
                tokio::select! {
                    Some(message) = inbox.recv() => sender.send((id.clone(), message)).unwrap(),
                    _ = beat.tick() => {
                        let mode = *mode.borrow();
                        if mode == Mode::Silent {
                            continue;
                        }
                        beats += 1;
                        let leaving = mode == Mode::Leaving;
                        backend.presence.announce(facts(&id, slots, beats, leaving), PRESENCE).await.unwrap();
                        // Fails while there is no driver.
                        let _ = backend.lanes.report(FromNode::Heartbeat { node: id.clone() }).await;
                    }
                }
            }
        });
    }

    /// Lets a node announce that it is about to leave, and waits until the driver knows.
    pub async fn leaves(&self, name: &str) {
        self.switches[&node(name)].send_replace(Mode::Leaving);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    /// Ends a node's announcements and heartbeats.
    pub fn falls_silent(&self, name: &str) {
        self.switches[&node(name)].send_replace(Mode::Silent);
    }

    fn sort(&mut self, (node, message): (NodeId, ToNode)) {
        match message {
            ToNode::Run(batch) => self.attempts.extend(batch.tasks.iter().map(|assignment| Attempt {
                node: node.clone(),
                job: batch.job.clone(),
                task: assignment.task,
                number: assignment.attempt,
                key: assignment.key,
                input: assignment.input.clone(),
                cache: batch.cache,
            })),
            other => self.others.push_back((node, other)),
        }
    }

    /// Waits for the next attempt that any node receives.
    pub async fn attempt(&mut self) -> Attempt {
        loop {
            if let Some(attempt) = self.attempts.pop_front() {
                return attempt;
            }
            let message = soon("an attempt", self.received.recv()).await.unwrap();
            self.sort(message);
        }
    }

    /// Waits for the next message that is not a batch.
    pub async fn message(&mut self) -> (NodeId, ToNode) {
        loop {
            if let Some(message) = self.others.pop_front() {
                return message;
            }
            let message = soon("a message", self.received.recv()).await.unwrap();
            self.sort(message);
        }
    }

    /// Sorts the messages that arrive within a second of virtual time.
    async fn receive_now(&mut self) {
        let until = tokio::time::Instant::now() + Duration::from_secs(1);
        while let Ok(Some(message)) = tokio::time::timeout_at(until, self.received.recv()).await {
            self.sort(message);
        }
    }

    /// Returns the attempts that arrive within a second of virtual time.
    pub async fn attempts_now(&mut self) -> Vec<Attempt> {
        self.receive_now().await;
        self.attempts.drain(..).collect()
    }

    /// Returns the messages that are not batches and arrive within a second of virtual time.
    pub async fn messages_now(&mut self) -> Vec<(NodeId, ToNode)> {
        self.receive_now().await;
        self.others.drain(..).collect()
    }

    /// Commits a result for the attempt.
    async fn commit(&self, attempt: &Attempt) -> OutputRef {
        let bytes = Bytes::from(format!("result of {}", attempt.item()));
        let fresh = NewResult { key: attempt.key, bytes, content_type: None, buckets: Vec::new(), fuel: 10 };
        self.results.commit(&acme(), vec![fresh]).await.unwrap()[0].output
    }

    async fn report(&self, attempt: &Attempt, result: Result<Done, Fault>) {
        let outcomes = vec![AttemptOutcome { task: attempt.task, attempt: attempt.number, result }];
        let completion = Completion { tenant: acme(), job: attempt.job.clone(), outcomes };
        self.backend.lanes.report(FromNode::Completed { node: attempt.node.clone(), completion }).await.unwrap();
    }

    /// Commits the attempt's result and reports it.
    pub async fn succeed(&self, attempt: &Attempt) {
        self.succeed_with(attempt, false, None).await;
    }

    /// Like [`Self::succeed`], as a result from the cache, or as one that differs from the committed one.
    pub async fn succeed_with(&self, attempt: &Attempt, cached: bool, differs: Option<ContentDigest>) {
        let output = self.commit(attempt).await;
        let (fuel, wall_us) = if cached { (0, 0) } else { (10, 1000) };
        let cost = fabric_types::Cost { fuel, wall_us, bytes_in: 1, ..fabric_types::Cost::default() };
        self.report(attempt, Ok(Done { output, cost, cached, differs })).await;
    }

    pub async fn fail(&self, attempt: &Attempt, fault: Fault) {
        self.report(attempt, Err(fault)).await;
    }

    /// Succeeds the next `count` attempts.
    pub async fn succeed_next(&mut self, count: usize) -> Vec<Attempt> {
        let mut done = Vec::new();
        for _ in 0..count {
            let attempt = self.attempt().await;
            self.succeed(&attempt).await;
            done.push(attempt);
        }
        done
    }

    /// Reads a result.
    pub async fn read(&self, output: &OutputRef) -> String {
        use futures::TryStreamExt as _;
        let opened = self.results.open(&acme(), output, None).await.unwrap();
        let parts: Vec<Bytes> = opened.body.try_collect().await.unwrap();
        String::from_utf8(parts.concat()).unwrap()
    }

    /// Returns the kinds of the records in a job's journal, one letter each.
    pub async fn journal(&self, id: &JobId) -> String {
        let records = self.backend.journal.read(&stream(id), 0, 1000).await.unwrap();
        records.iter().map(|record| char::from(record.bytes[0])).collect()
    }
}

/// Returns the journal stream of a job.
pub fn stream(id: &JobId) -> String {
    format!("t/acme/jobs/{id}")
}

/// Waits until a job has ended.
pub async fn ended(driver: &Driver, id: &JobId) -> Job {
    let job = driver.wait(&acme(), id, PATIENCE).await.unwrap().unwrap();
    assert!(job.state.is_terminal(), "job {id} is {}: {}", job.state, job.remark);
    job
}
