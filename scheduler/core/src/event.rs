//! What the core is told.

use crate::Time;
use fabric_types::{
    Code,
    function::EntryKind,
    id::{JobId, NodeId, TenantId},
    job::TaskId,
    label::Labels,
    manifest::GpuMode,
    quota::Quota,
};

/// A job, as far as scheduling goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPlan {
    /// Its id.
    pub job: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Map tasks; 0 succeeds at once. An asynchronous invocation is a job of one.
    pub map_tasks: u32,
    /// Partitions of a keyed shuffle. It wins over `reduce_fan_in` when both are given.
    pub shuffle: Option<u32>,
    /// Partial results per task of a reduce tree; below 2 counts as 2.
    pub reduce_fan_in: Option<u32>,
    /// Attempts of this job at once, over all nodes; 0: no limit of its own.
    pub concurrency: u32,
    /// Attempts a task may fail; 0 counts as 1, more than 255 as 255.
    pub max_attempts: u32,
    /// Map tasks that may fail for good without failing the job. What they would have given is left out.
    pub allow_failed: u32,
    /// Higher first among one tenant's jobs.
    pub priority: i32,
    /// Fuel the job may spend.
    pub budget_fuel: Option<u64>,
    /// CPU slots per attempt; 0 counts as 1.
    pub cpu_slots: u32,
    /// Memory per attempt in bytes.
    pub memory_bytes: u64,
    /// GPUs per attempt. An attempt with any is never queued behind another: a GPU is not shared.
    pub gpus: u32,
    /// Whether attempts use the node's GPU together with others.
    pub gpu: GpuMode,
    /// The kind of module, which a node may refuse.
    pub kind: EntryKind,
    /// Labels that a node must have, all of them.
    pub labels: Labels,
    /// When it was accepted. Among equal priorities the earlier goes first.
    pub accepted_at: Time,
}

impl JobPlan {
    /// A plan of `map_tasks` with one slot each, 4 attempts, no memory, no limits and no reduce.
    #[must_use]
    pub fn new(job: JobId, tenant: TenantId, map_tasks: u32) -> Self {
        Self {
            job,
            tenant,
            map_tasks,
            shuffle: None,
            reduce_fan_in: None,
            concurrency: 0,
            max_attempts: 4,
            allow_failed: 0,
            priority: 0,
            budget_fuel: None,
            cpu_slots: 1,
            memory_bytes: 0,
            gpus: 0,
            gpu: GpuMode::None,
            kind: EntryKind::Task,
            labels: Labels::new(),
            accepted_at: Time(0),
        }
    }
}

/// What a node offers.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSpec {
    /// Guests it runs at once.
    pub slots: u32,
    /// Memory for guests in bytes.
    pub memory_bytes: u64,
    /// Speed relative to a usual node; 1 by default. Values that are not finite or not above 0 count as 1.
    pub speed: f32,
    /// GPUs.
    pub gpus: u32,
    /// The strongest wish that the GPU which its guests share serves.
    pub gpu: GpuMode,
    /// Labels.
    pub labels: Labels,
    /// Kinds of modules it takes; empty for all.
    pub accepts: Vec<EntryKind>,
}

impl NodeSpec {
    /// A node of usual speed without GPUs and labels that takes everything.
    #[must_use]
    pub const fn new(slots: u32, memory_bytes: u64) -> Self {
        Self {
            slots,
            memory_bytes,
            speed: 1.0,
            gpus: 0,
            gpu: GpuMode::None,
            labels: Labels::new(),
            accepts: Vec::new(),
        }
    }
}

/// What the journal knows of a task when a job is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredTask {
    /// Which task.
    pub task: TaskId,
    /// The highest attempt number that was ever handed out; numbering goes on from it.
    pub attempts: u32,
    /// Whether its result is committed.
    pub done: bool,
    /// Whether that came from the cache.
    pub cached: bool,
    /// Whether it was given up on.
    pub dead: bool,
    /// Whether that was because processes died with it.
    pub killed: bool,
    /// Fuel its attempts spent.
    pub fuel: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A job was accepted. A second one with the same id is ignored.
    Submit(JobPlan),
    /// A job is taken up after a replay of the journal.
    Restore {
        /// The job.
        plan: JobPlan,
        /// Tasks that have a result or had attempts; others start afresh.
        tasks: Vec<RestoredTask>,
    },
    /// An attempt committed its result (or found it committed).
    TaskDone {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// The attempt, from 1.
        attempt: u32,
        /// Where.
        node: NodeId,
        /// Fuel spent.
        fuel: u64,
        /// Wall clock of the call in microseconds; 0 when cached.
        wall_us: u64,
        /// Whether the result was there already.
        cached: bool,
    },
    /// An attempt gave no result.
    TaskFailed {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// The attempt, from 1.
        attempt: u32,
        /// Where.
        node: NodeId,
        /// Whether another attempt may succeed; usually `code.is_retryable()`.
        retryable: bool,
        /// Why. `node-lost` counts as a loss of the node, everything else as a failed attempt.
        code: Code,
        /// Fuel spent.
        fuel: u64,
    },
    /// A process died while an attempt of the task was on it. Tell it before the `NodeUp` or `NodeDown` that follows
    /// from the death, once for each death.
    Killed {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// Whether nothing else was on the process.
        alone: bool,
    },
    /// A death that was told with `Killed` was none: the process lives, or the attempt was not running.
    Spared {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
    },
    /// A user stops a job.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// A job is let go without an end: its attempts are aborted, and it can be taken up again.
    Forget {
        /// The job.
        job: JobId,
    },
    /// A node joined, or started anew: attempts it had are taken for lost.
    NodeUp {
        /// The node.
        node: NodeId,
        /// What it offers.
        spec: NodeSpec,
    },
    /// A node offers something else; its attempts go on.
    NodeUpdate {
        /// The node.
        node: NodeId,
        /// What it offers now.
        spec: NodeSpec,
    },
    /// A node is gone; its attempts are retried elsewhere.
    NodeDown {
        /// The node.
        node: NodeId,
    },
    /// The node gets no new attempts, until `Uncordon`.
    Cordon {
        /// The node.
        node: NodeId,
    },
    /// The node gets attempts again.
    Uncordon {
        /// The node.
        node: NodeId,
    },
    /// The node gets no new attempts and is about to leave; what it has goes on.
    Drain {
        /// The node.
        node: NodeId,
    },
    /// Stops the attempts on a node; their tasks wait for another turn, as after a preemption, and nothing has failed.
    Evict {
        /// The node.
        node: NodeId,
    },
    /// A sign of life: renews the leases of all the node's attempts to now plus [`crate::Config::lease_us`].
    Heartbeat {
        /// The node.
        node: NodeId,
    },
    /// A sign of life that says what the node has: like `Heartbeat`, but attempts that are not named and were sent
    /// longer than a lease ago are taken for lost. It finds dispatches and failures whose messages were lost, which a
    /// bare heartbeat would keep alive for ever; send it every few heartbeats at least.
    Holds {
        /// The node.
        node: NodeId,
        /// Every attempt that it runs or has queued.
        attempts: Vec<(JobId, TaskId, u32)>,
    },
    /// A tenant's quota.
    SetQuota {
        /// The tenant.
        tenant: TenantId,
        /// What it may use.
        quota: Quota,
    },
    /// Nodes that hold a job's module or inputs: `Locality` prefers them. Replaces the earlier hint; at most 64 count.
    Hint {
        /// The job.
        job: JobId,
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// Time passed: leases, backoffs, stragglers.
    Tick,
}
