//! Events that the core processes.

use crate::Time;
use fabric_types::{
    Code,
    function::EntryKind,
    gpu::{GpuRequirement, GpuSupport},
    id::{JobId, NodeId, TenantId},
    job::TaskId,
    label::Labels,
    quota::Quota,
};

/// The scheduling parameters of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulableJob {
    /// Job id.
    pub job: JobId,
    /// Owning tenant.
    pub tenant: TenantId,
    /// Number of map tasks. A job with 0 tasks succeeds at once. An asynchronous invocation is a job of one task.
    pub map_tasks: u32,
    /// Partitions of a keyed shuffle. Takes precedence over `reduce_fan_in`.
    pub shuffle: Option<u32>,
    /// Partial results per task of a reduce tree. Values below 2 count as 2.
    pub reduce_fan_in: Option<u32>,
    /// Maximum concurrent attempts of the job over all nodes; 0 for no limit.
    pub concurrency: u32,
    /// Failed attempts after which a task is dead-lettered. 0 counts as 1, values above 255 as 255.
    pub max_attempts: u32,
    /// Map tasks that may be dead-lettered without failing the job. Their results are left out.
    pub allow_failed: u32,
    /// Priority among the jobs of one tenant. Higher runs first.
    pub priority: i32,
    /// Fuel budget of the job.
    pub budget_fuel: Option<u64>,
    /// CPU slots per attempt; 0 counts as 1.
    pub cpu_slots: u32,
    /// Memory per attempt in bytes.
    pub memory_bytes: u64,
    /// GPUs per attempt. A GPU is not shared, so an attempt with GPUs is never queued behind another.
    pub gpus: u32,
    /// Use of the node's shared GPU.
    pub gpu: GpuRequirement,
    /// Entry kind of the module, which a node may refuse.
    pub kind: EntryKind,
    /// Labels that a node must have. All of them must match.
    pub labels: Labels,
    /// Time of acceptance. Among equal priorities, the earlier job runs first.
    pub accepted_at: Time,
}

impl SchedulableJob {
    /// Creates a job of `map_tasks` tasks with one slot each, 4 attempts, no memory, no limits and no reduce.
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
            gpu: GpuRequirement::None,
            kind: EntryKind::Task,
            labels: Labels::new(),
            accepted_at: Time(0),
        }
    }
}

/// The resources and properties of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSpec {
    /// Number of guests that run at once.
    pub slots: u32,
    /// Memory for guests in bytes.
    pub memory_bytes: u64,
    /// Speed relative to a typical node. Default 1. Values that are not finite or not above 0 count as 1.
    pub speed: f32,
    /// Number of GPUs.
    pub gpus: u32,
    /// Support of the GPU that guests share.
    pub gpu: GpuSupport,
    /// Labels.
    pub labels: Labels,
    /// Entry kinds that the node accepts; empty for all.
    pub accepts: Vec<EntryKind>,
}

impl NodeSpec {
    /// Creates a node of typical speed, without GPUs or labels, that accepts every entry kind.
    #[must_use]
    pub const fn new(slots: u32, memory_bytes: u64) -> Self {
        Self {
            slots,
            memory_bytes,
            speed: 1.0,
            gpus: 0,
            gpu: GpuSupport::None,
            labels: Labels::new(),
            accepts: Vec::new(),
        }
    }
}

/// The state of a task restored from the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredTask {
    /// Task id.
    pub task: TaskId,
    /// Highest attempt number handed out. Numbering continues from it.
    pub attempts: u32,
    /// `true` if the result is committed.
    pub done: bool,
    /// `true` if the result came from the cache.
    pub cached: bool,
    /// `true` if the task was dead-lettered.
    pub dead: bool,
    /// `true` if the task was dead-lettered with `process-killed`.
    pub killed: bool,
    /// Fuel spent by its attempts.
    pub fuel: u64,
}

/// An input of the core.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A job was accepted. A second job with the same id is ignored.
    Submit(SchedulableJob),
    /// A job was restored by a replay of its journal.
    Restore {
        /// The job.
        plan: SchedulableJob,
        /// Tasks that have a result or had attempts. All other tasks start from scratch.
        tasks: Vec<RestoredTask>,
    },
    /// An attempt committed its result, or found it committed.
    TaskDone {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// Attempt number, starting at 1.
        attempt: u32,
        /// Node that ran the attempt.
        node: NodeId,
        /// Fuel spent.
        fuel: u64,
        /// Wall time of the call in microseconds; 0 if cached.
        wall_us: u64,
        /// `true` if the result was already committed.
        cached: bool,
    },
    /// An attempt failed.
    TaskFailed {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// Attempt number, starting at 1.
        attempt: u32,
        /// Node that ran the attempt.
        node: NodeId,
        /// `true` if another attempt may succeed; usually `code.is_retryable()`.
        retryable: bool,
        /// Error code. `node-lost` counts as a loss of the node, every other code as a failed attempt.
        code: Code,
        /// Fuel spent.
        fuel: u64,
    },
    /// A process died while it was running an attempt of the task. Send this event once for each death, before the
    /// `NodeUp` or `NodeDown` that follows from the death.
    Killed {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
        /// `true` if nothing else was running on the process.
        alone: bool,
    },
    /// Reverts an earlier `Killed`: the process is alive, or it was not running the attempt.
    KilledReverted {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
    },
    /// A user cancelled a job.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Drops a job without an outcome. Its attempts are aborted, and it can be restored later.
    DropJob {
        /// The job.
        job: JobId,
    },
    /// A node joined or restarted. Its earlier attempts count as lost.
    NodeUp {
        /// The node.
        node: NodeId,
        /// Resources and properties of the node.
        spec: NodeSpec,
    },
    /// A node changed its resources or properties. Its attempts continue.
    NodeUpdate {
        /// The node.
        node: NodeId,
        /// New resources and properties of the node.
        spec: NodeSpec,
    },
    /// A node left or died. Its attempts are retried on other nodes.
    NodeDown {
        /// The node.
        node: NodeId,
    },
    /// Stops new attempts on a node until `Uncordon`.
    Cordon {
        /// The node.
        node: NodeId,
    },
    /// Allows new attempts on a node again.
    Uncordon {
        /// The node.
        node: NodeId,
    },
    /// Stops new attempts on a node that is about to leave. Its current attempts continue.
    Drain {
        /// The node.
        node: NodeId,
    },
    /// Stops the attempts on a node. Their tasks become pending again, as after a preemption, without a failure.
    Evict {
        /// The node.
        node: NodeId,
    },
    /// A heartbeat. Renews the leases of all attempts on the node to now plus [`crate::Config::lease_us`].
    Heartbeat {
        /// The node.
        node: NodeId,
    },
    /// A heartbeat with the list of attempts on the node. It works like `Heartbeat`. In addition, attempts that are not
    /// listed and were sent longer than a lease ago count as lost. This finds dispatches and completions whose messages
    /// were lost, which a plain heartbeat would keep alive forever. Send it at least every few heartbeats.
    HeartbeatWithAttempts {
        /// The node.
        node: NodeId,
        /// Every attempt that is running or queued on the node.
        attempts: Vec<(JobId, TaskId, u32)>,
    },
    /// Sets a tenant's quota.
    SetQuota {
        /// The tenant.
        tenant: TenantId,
        /// New quota.
        quota: Quota,
    },
    /// Sets the nodes that hold a job's module or inputs, which the `Locality` score prefers. Replaces the previous
    /// hint. At most 64 nodes count.
    SetLocalityHint {
        /// The job.
        job: JobId,
        /// The nodes.
        nodes: Vec<NodeId>,
    },
    /// Time passed. Processes leases, backoffs and straggler checks that are due.
    Tick,
}
