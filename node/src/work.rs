//! Runs chunks of tasks on the guest threads, each task in a fresh sandbox.

use crate::{
    api::Shared,
    commit::{Ended, Piece, Pieces},
    function_logs::FunctionLogs,
    input::{self, BytesSource, PartialsSource, PartitionSource},
    lane::{Chunk, Running},
    running::Entry,
};
use fabric_host::{Loaded, PartSource, SlotWait, Stage, TaskCall, keyed};
use fabric_results::Fresh;
use fabric_store::Objects;
use fabric_types::{
    Code, Fault,
    digest::TaskKey,
    function::Deployment,
    job::StageKind,
    limits::Limits,
    memory::Charge,
    rest::node::UsageLine,
    work::{Assignment, Batch, Done, Outcome, TaskInput},
};
use futures::FutureExt as _;
use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, mpsc};
use tracing::Instrument as _;

/// How long results wait for company before they are committed.
const HOLD: Duration = Duration::from_millis(5);

/// Takes chunks until there are no more.
pub async fn run(shared: Arc<Shared>, chunks: Arc<Mutex<mpsc::Receiver<Chunk>>>, pieces: Pieces) {
    loop {
        let chunk = { chunks.lock().await.recv().await };
        let Some(chunk) = chunk else { return };
        if work(&shared, chunk, &pieces).await.is_err() {
            return;
        }
    }
}

/// The committer is gone: the node is stopping.
struct Stopping;

async fn work(shared: &Arc<Shared>, chunk: Chunk, pieces: &Pieces) -> Result<(), Stopping> {
    let running = chunk.running;
    // Loaded for the first task that needs it: results that are there already wait for no compiler.
    let mut loaded = None;
    let objects = shared.objects(&running.batch.tenant);
    let mut usage = UsageLine::default();
    let mut ended = Vec::with_capacity(chunk.tasks.len());
    let mut since = Instant::now();
    let mut place = shared.running.place();
    for at in chunk.tasks {
        if shared.metrics.queued_tasks.dec() == 1 {
            // Nobody waits for a thread any more: what has ended need not wait for company either.
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
                    // While it was compiled.
                    _ if stopped() => None,
                    Ok(loaded) => {
                        shared.metrics.running.inc();
                        let task = one(shared, loaded, &objects, &running, at, assignment, &mut usage);
                        // A defect of ours costs the attempt, not the thread that would run the next ones.
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

fn failed(assignment: &Assignment, fault: Fault) -> Ended {
    Ended::Over(Outcome { task: assignment.task, attempt: assignment.attempt, result: Err(fault) })
}

/// What an earlier job left of this task.
fn found(
    shared: &Shared,
    running: &Running,
    at: usize,
    assignment: &Assignment,
    usage: &mut UsageLine,
) -> Option<Ended> {
    let (output, _) = running.found.get(at)?.as_ref()?;
    shared.metrics.task_cache_hits.inc();
    usage.cached += 1;
    let done = Done { output: *output, fuel: 0, wall_us: 0, gpu_us: 0, bytes_in: 0, cached: true, differs: None };
    Some(Ended::Over(Outcome { task: assignment.task, attempt: assignment.attempt, result: Ok(done) }))
}

/// How long a task waits here for memory before its attempt counts as failed.
const MEMORY_PATIENCE: Duration = Duration::from_secs(30);
/// Pauses between its tries.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);

/// Runs a task. Where the node has no memory for it, it waits here rather than use up the job's attempts: those that were
/// refused go one at a time, so that they do not refuse each other again.
async fn one(
    shared: &Arc<Shared>,
    loaded: &Arc<Loaded>,
    objects: &Objects,
    running: &Running,
    at: usize,
    assignment: &Assignment,
    usage: &mut UsageLine,
) -> Option<Ended> {
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
    // Whoever stopped it does not wait for word of it.
    stop.run_until_cancelled(again).await.flatten()
}

fn lacks_memory(end: Option<&Ended>) -> bool {
    matches!(end, Some(Ended::Over(Outcome { result: Err(fault), .. })) if fault.code == Code::NodeMemory)
}

async fn attempt(
    shared: &Arc<Shared>,
    loaded: &Arc<Loaded>,
    objects: &Objects,
    running: &Running,
    at: usize,
    assignment: &Assignment,
    usage: &mut UsageLine,
) -> Option<Ended> {
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
            ..TaskCall::new(stage, fabric_host::source::Empty)
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
    usage.fuel += report.fuel;
    usage.guest_us += report.wall_us;
    usage.gpu_us += report.gpu_us;
    usage.bytes_in += report.bytes_in;
    let result = match budget {
        Some(left) => report.result.map_err(|fault| out_of_budget(fault, left)),
        None => report.result,
    };
    match result {
        Ok(output) => {
            usage.bytes_out += output.bytes.len() as u64;
            let fresh = Fresh {
                key,
                bytes: output.bytes,
                content_type: output.content_type,
                buckets: output.buckets,
                fuel: report.fuel,
            };
            Some(Ended::Fresh {
                task: assignment.task,
                attempt: assignment.attempt,
                fresh,
                wall_us: report.wall_us,
                gpu_us: report.gpu_us,
                bytes_in: report.bytes_in,
            })
        }
        // Whoever stopped it does not wait for word of it.
        Err(fault) if fault.code == Code::Cancelled && stop.is_cancelled() => None,
        Err(fault) if fault.code == Code::NodeMemory => Some(failed(assignment, fault)),
        Err(fault) => {
            usage.failed += 1;
            logs.fault(&fault);
            Some(failed(assignment, fault))
        }
    }
}

/// The fault of an attempt that was given no more fuel than its job's budget left.
fn out_of_budget(fault: Fault, left: u64) -> Fault {
    if fault.code != Code::OutOfFuel {
        return fault;
    }
    let message = format!("the task took all {left} units of fuel that were left of the job's budget");
    Fault { code: Code::BudgetExhausted, message, ..fault }.hint("give the job a larger budget-fuel")
}

/// What is asked of the module, and what it reads.
async fn call(
    shared: &Arc<Shared>,
    objects: &Objects,
    batch: &Batch,
    assignment: &Assignment,
    limits: &Limits,
) -> Result<(Stage, Box<dyn PartSource>), Fault> {
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
        StageKind::Map | StageKind::Invoke => Stage::Map,
        StageKind::Reduce | StageKind::KeyedReduce => Stage::Reduce,
    };
    Ok((stage, source))
}

impl Shared {
    /// What a result is stored under here: the task's key, and with a function that uses the GPU the one for this adapter.
    pub async fn result_key(&self, deployment: &Deployment, key: TaskKey) -> TaskKey {
        match self.host.gpu().adapter(deployment).await {
            Some(adapter) => key.on_adapter(&adapter),
            None => key,
        }
    }

    /// The lines of a task go under its job's id.
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

    /// The deployment, ready to run.
    ///
    /// # Errors
    /// The store's fault, or the compiler's.
    pub async fn load(&self, deployment: &Arc<Deployment>) -> Result<Arc<Loaded>, Fault> {
        let fetch = || async {
            let limit = deployment.module_bytes.max(1);
            self.store.modules(&deployment.tenant).get(&deployment.module, limit).await.map_err(input::fault)
        };
        self.host.load(deployment, fetch).await
    }
}

/// A request's body as the input of a mapper.
pub fn body_source(bytes: bytes::Bytes) -> Box<dyn PartSource> {
    Box::new(BytesSource::new("request", bytes))
}
