//! Runs chunks of tasks on the guest threads, each task in a new sandbox.

use crate::{
    api::NodeState,
    commit::{Piece, Pieces, TaskEnd},
    function_logs::FunctionLogs,
    input::{self, PartialsSource, PartitionSource},
    lane::{Chunk, Running},
    running::Entry,
};
use fabric_host::{
    Loaded, PartSource, SlotWait, TaskCall, TaskStage, keyed,
    source::{EmptySource, MemorySource},
};
use fabric_results::NewResult;
use fabric_store::Objects;
use fabric_types::{
    Code, Cost, Fault,
    digest::TaskKey,
    function::Deployment,
    job::StageKind,
    limits::Limits,
    memory::Charge,
    rest::node::UsageLine,
    work::{Assignment, AttemptOutcome, Batch, Done, TaskInput},
};
use futures::FutureExt as _;
use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, mpsc};
use tracing::Instrument as _;

/// Maximum time that results are gathered before they are sent to the committer.
const HOLD: Duration = Duration::from_millis(5);

/// Runs chunks until the queue is closed.
pub async fn run(shared: Arc<NodeState>, chunks: Arc<Mutex<mpsc::Receiver<Chunk>>>, pieces: Pieces) {
    loop {
        let chunk = { chunks.lock().await.recv().await };
        let Some(chunk) = chunk else { return };
        if work(&shared, chunk, &pieces).await.is_err() {
            return;
        }
    }
}

/// The committer has ended because the node is stopping.
struct Stopping;

async fn work(shared: &Arc<NodeState>, chunk: Chunk, pieces: &Pieces) -> Result<(), Stopping> {
    let running = chunk.running;
    // Loaded for the first task that needs it. Cached results do not wait for the compiler.
    let mut loaded = None;
    let objects = shared.objects(&running.batch.tenant);
    let mut usage = UsageLine::default();
    let mut ended = Vec::with_capacity(chunk.tasks.len());
    let mut since = Instant::now();
    let mut place = shared.running.place();
    for at in chunk.tasks {
        if shared.metrics.queued_tasks.dec() == 1 {
            // No task waits for a thread any more, so the committer need not wait for more results.
            shared.drained.notify_one();
        }
        if let Some(assignment) = running.batch.tasks.get(at) {
            let stopped = || running.token(at).is_cancelled();
            let end = if stopped() {
                None
            } else if let Some(end) = found(shared, &running, at, assignment, &mut usage) {
                Some(end)
            } else {
                place.note(&Entry::Task {
                    tenant: running.batch.tenant.clone(),
                    job: running.batch.job.clone(),
                    task: assignment.task,
                });
                let ready: &Result<_, _> = match &loaded {
                    Some(ready) => ready,
                    None => loaded.insert(shared.load(&running.batch.deployment).await),
                };
                match ready {
                    // Stopped while the module was being compiled.
                    _ if stopped() => None,
                    Ok(loaded) => {
                        shared.metrics.running.inc();
                        let task = one(shared, loaded, &objects, &running, at, assignment, &mut usage);
                        // A panic in the host fails the attempt but keeps the thread.
                        let end = AssertUnwindSafe(task).catch_unwind().await;
                        shared.metrics.running.dec();
                        end.unwrap_or_else(|_| Some(failed(assignment, panicked())))
                    }
                    Err(fault) => Some(failed(assignment, fault.clone())),
                }
            };
            if end.is_none() {
                shared.holding.ended(&running.batch.job, [(assignment.task, assignment.attempt)]);
            }
            ended.extend(end);
        }
        running.over();
        if !ended.is_empty() && since.elapsed() >= HOLD {
            let piece = Piece { batch: running.batch.clone(), ended: std::mem::take(&mut ended) };
            pieces.send(piece).await.map_err(|_| Stopping)?;
            since = Instant::now();
        }
    }
    shared.notes.add_usage(&running.batch.tenant, &running.batch.deployment.function, &usage);
    if !ended.is_empty() {
        pieces.send(Piece { batch: running.batch.clone(), ended }).await.map_err(|_| Stopping)?;
    }
    Ok(())
}

fn panicked() -> Fault {
    Fault::new(Code::Internal, "the server panicked while it ran the task").hint("report it with the server's log")
}

fn failed(assignment: &Assignment, fault: Fault) -> TaskEnd {
    TaskEnd::Final(AttemptOutcome { task: assignment.task, attempt: assignment.attempt, result: Err(fault) })
}

/// Returns the outcome of a task with a cached result.
fn found(
    shared: &NodeState,
    running: &Running,
    at: usize,
    assignment: &Assignment,
    usage: &mut UsageLine,
) -> Option<TaskEnd> {
    let (output, _) = running.found.get(at)?.as_ref()?;
    shared.metrics.task_cache_hits.inc();
    usage.cached += 1;
    let done = Done { output: *output, cost: Cost::default(), cached: true, differs: None };
    Some(TaskEnd::Final(AttemptOutcome { task: assignment.task, attempt: assignment.attempt, result: Ok(done) }))
}

/// Maximum time that a task waits for memory before its attempt fails.
const MEMORY_PATIENCE: Duration = Duration::from_secs(30);
/// Delay between attempts to get memory.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// Runs a task. If the node has too little memory for it, the task waits here instead of using up the job's attempts.
/// Refused tasks retry one at a time, so that they do not refuse each other again.
async fn one(
    shared: &Arc<NodeState>,
    loaded: &Arc<Loaded>,
    objects: &Objects,
    running: &Running,
    at: usize,
    assignment: &Assignment,
    usage: &mut UsageLine,
) -> Option<TaskEnd> {
    let end = attempt(shared, loaded, objects, running, at, assignment, usage).await;
    if !lacks_memory(end.as_ref()) {
        return end;
    }
    let stop = running.token(at);
    let again = async {
        let _turn = shared.memory_turn.lock().await;
        let began = Instant::now();
        loop {
            tokio::time::sleep(MEMORY_PAUSE).await;
            let end = attempt(shared, loaded, objects, running, at, assignment, usage).await;
            if !lacks_memory(end.as_ref()) || began.elapsed() >= MEMORY_PATIENCE {
                return end;
            }
        }
    };
    // A stopped attempt is not reported.
    stop.run_until_cancelled(again).await.flatten()
}

fn lacks_memory(end: Option<&TaskEnd>) -> bool {
    matches!(end, Some(TaskEnd::Final(AttemptOutcome { result: Err(fault), .. })) if fault.code == Code::NodeMemory)
}

async fn attempt(
    shared: &Arc<NodeState>,
    loaded: &Arc<Loaded>,
    objects: &Objects,
    running: &Running,
    at: usize,
    assignment: &Assignment,
    usage: &mut UsageLine,
) -> Option<TaskEnd> {
    let batch = &running.batch;
    let stop = running.token(at);
    let logs = shared.task_logs(batch, assignment);
    let mut limits = match shared.call_limits(&batch.deployment) {
        Ok(limits) => limits,
        Err(fault) => return Some(failed(assignment, fault)),
    };
    let budget = batch.fuel.filter(|left| *left < limits.fuel);
    limits.fuel = budget.unwrap_or(limits.fuel);
    let call = match call(shared, objects, batch, assignment, &limits).await {
        Ok((stage, source)) => TaskCall {
            params: batch.params.clone(),
            limits,
            seed: assignment.key.0,
            buckets: batch.buckets,
            logs: Some(logs.clone()),
            progress: Some({
                let logs = logs.clone();
                Arc::new(move |completed, total| logs.progress(completed, total))
            }),
            cancel: stop.clone(),
            input: source,
            slot_wait: SlotWait::UntilCancelled,
            ..TaskCall::new(stage, EmptySource)
        },
        Err(fault) => return Some(failed(assignment, fault)),
    };
    let span = tracing::debug_span!(
        "attempt",
        tenant = %batch.tenant,
        job_id = %batch.job,
        task = %assignment.task,
        attempt = assignment.attempt,
        node_id = %shared.id,
        function = %batch.deployment.function,
        module_digest = %batch.deployment.module,
    );
    let key = shared.result_key(&batch.deployment, assignment.key).await;
    let report = shared.host.run_task(loaded, call).instrument(span).await;
    usage.invocations += 1;
    usage.cost.add(&report.cost);
    let result = match budget {
        Some(left) => report.result.map_err(|fault| out_of_budget(fault, left)),
        None => report.result,
    };
    match result {
        Ok(output) => {
            let fresh = NewResult {
                key,
                bytes: output.bytes,
                content_type: output.content_type,
                buckets: output.buckets,
                fuel: report.cost.fuel,
            };
            let (task, attempt) = (assignment.task, assignment.attempt);
            Some(TaskEnd::NewResult { task, attempt, fresh, cost: report.cost })
        }
        // A stopped attempt is not reported.
        Err(fault) if fault.code == Code::Cancelled && stop.is_cancelled() => None,
        Err(fault) if fault.code == Code::NodeMemory => Some(failed(assignment, fault)),
        Err(fault) => {
            usage.failed += 1;
            logs.fault(&fault);
            Some(failed(assignment, fault))
        }
    }
}

/// Converts an `out-of-fuel` fault of an attempt that was limited by the rest of its job's budget.
fn out_of_budget(fault: Fault, left: u64) -> Fault {
    if fault.code != Code::OutOfFuel {
        return fault;
    }
    let message = format!("the task used the remaining {left} units of fuel of the job's budget");
    Fault { code: Code::BudgetExhausted, message, ..fault }.hint("give the job a larger budget-fuel")
}

/// Returns the stage to run and its input.
async fn call(
    shared: &Arc<NodeState>,
    objects: &Objects,
    batch: &Batch,
    assignment: &Assignment,
    limits: &Limits,
) -> Result<(TaskStage, Box<dyn PartSource>), Fault> {
    let tenant = &batch.tenant;
    let charge = Charge::none(&shared.host.memory().tenant(tenant));
    let source: Box<dyn PartSource> = match &assignment.input {
        TaskInput::Partition(partition) => Box::new(PartitionSource::new(partition.clone(), objects.clone())),
        TaskInput::Partials(parts) => Box::new(PartialsSource::new(
            tenant.clone(),
            shared.results.clone(),
            parts.clone(),
            limits.output_bytes.0,
            charge,
        )),
        TaskInput::Bucket { bucket, sources } => {
            let buckets = shared.results.buckets(tenant, sources, *bucket, &charge).await?;
            Box::new(input::Charged::new(keyed::merge(buckets)?, charge))
        }
        TaskInput::Body { body, content_type } => {
            charge.grow(body.len)?;
            let bytes = shared.results.read(tenant, body, limits.body_bytes.0).await?;
            let bytes = input::charged(bytes, charge);
            return Ok(crate::invoke::stage(&batch.deployment, bytes, content_type.clone()));
        }
    };
    let stage = match batch.stage {
        StageKind::Map | StageKind::Invoke => TaskStage::Map,
        StageKind::Reduce | StageKind::KeyedReduce => TaskStage::Reduce,
    };
    Ok((stage, source))
}

impl NodeState {
    /// Returns the key of a result on this node: the task's key, combined with the adapter if the function uses the
    /// GPU.
    pub async fn result_key(&self, deployment: &Deployment, key: TaskKey) -> TaskKey {
        match self.host.gpu().adapter(deployment).await {
            Some(adapter) => key.on_adapter(&adapter),
            None => key,
        }
    }

    /// Returns the log sink of a task. Its lines are stored under the job's id.
    fn task_logs(&self, batch: &Batch, assignment: &Assignment) -> Arc<FunctionLogs> {
        let task = (batch.stage != StageKind::Invoke).then_some(assignment.task);
        FunctionLogs::new(
            self.notes.clone(),
            batch.tenant.clone(),
            batch.job.as_invocation(),
            batch.deployment.function.clone(),
            task,
        )
    }

    /// Loads a deployment.
    ///
    /// # Errors
    /// The store's fault, or the compiler's.
    pub async fn load(&self, deployment: &Arc<Deployment>) -> Result<Arc<Loaded>, Fault> {
        let fetch = || async {
            let limit = deployment.module_bytes.max(1);
            self.store.modules(&deployment.tenant).get(&deployment.module, limit).await.map_err(Fault::from)
        };
        self.host.load(deployment, fetch).await
    }
}

/// Returns a request body as the input of a mapper.
pub fn body_source(bytes: bytes::Bytes) -> Box<dyn PartSource> {
    Box::new(MemorySource::one("request", bytes))
}
