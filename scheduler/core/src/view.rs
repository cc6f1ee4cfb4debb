//! Views for the REST API: the state of jobs, tasks and nodes, and the reason that a job waits.

use crate::{Core, JobOutcome, job::Job, queue::count, task::NONE};
use fabric_types::{
    id::{JobId, NodeId, TenantId},
    job::{JobState, TaskId, TaskState},
    rest::{
        job::TaskCounts,
        tenant::{Tenant, TenantUsage},
    },
    storage::Storage,
    units::ByteSize,
};

/// A view of a job's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// Job id.
    pub job: JobId,
    /// Owning tenant.
    pub tenant: TenantId,
    /// State of the job.
    pub state: JobState,
    /// Task counts.
    pub tasks: TaskCounts,
    /// Fuel spent by all attempts.
    pub fuel: u64,
    /// Completions of tasks that were already done.
    pub duplicates: u64,
    /// One sentence on the job's state: the reason that it waits, its progress, or its outcome.
    pub why: String,
    /// Reason that no attempt is running; `None` while one is running, and after the end.
    pub waiting: Option<String>,
}

/// A view of a task of a job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    /// State of the task.
    pub state: TaskState,
    /// Attempts so far.
    pub attempts: u32,
    /// Failed attempts.
    pub failures: u32,
    /// Attempts lost with their node.
    pub losses: u32,
    /// `true` if the result came from the cache.
    pub cached: bool,
    /// Node on which the task runs or last ran.
    pub node: Option<NodeId>,
}

/// The core's view of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Node id.
    pub id: NodeId,
    /// `ready`, `cordoned`, `draining` or `lost`.
    pub state: &'static str,
    /// Number of guests that run at once.
    pub slots: u32,
    /// Outstanding attempts.
    pub attempts: u32,
}

fn counts(job: &Job, failed: u64) -> TaskCounts {
    let (total, running) = (job.total(), u64::from(job.running_tasks));
    TaskCounts {
        total,
        waiting: total.saturating_sub(running + job.succeeded + failed + u64::from(job.dead + job.skipped)),
        running,
        succeeded: job.succeeded,
        cached: job.cached,
        failed: failed + u64::from(job.dead),
        dead: failed + u64::from(job.dead),
        retries: job.retries,
    }
}

pub(crate) fn ended(job: &Job, outcome: &JobOutcome) -> JobView {
    let (state, failed, why) = match outcome {
        JobOutcome::Succeeded => (JobState::Succeeded, 0, "every task has its result".to_owned()),
        JobOutcome::Failed { task: Some(task), code } => {
            (JobState::Failed, 1, format!("task {task} failed with {code}"))
        }
        JobOutcome::Failed { task: None, code } => (JobState::Failed, 0, format!("the job failed with {code}")),
        JobOutcome::Cancelled => (JobState::Cancelled, 0, "it was cancelled".to_owned()),
    };
    JobView {
        job: job.id().clone(),
        tenant: job.plan.tenant.clone(),
        state,
        tasks: counts(job, failed),
        fuel: job.fuel,
        duplicates: job.duplicates,
        why,
        waiting: None,
    }
}

impl Core {
    /// Returns the view of a job, also for a while after the job ended.
    #[must_use]
    pub fn job(&self, id: &JobId) -> Option<JobView> {
        let Some(job) = self.by_id.get(id).and_then(|ix| self.jobs.get(ix)) else {
            return self.ended.get(id).cloned();
        };
        let waiting = self.wait_reason(job);
        let why = waiting.clone().unwrap_or_else(|| {
            let (running, total, nodes) = (job.running_tasks, job.total(), job.per_node.len());
            format!("{running} of {total} tasks are with {}", count(nodes as u64, "node"))
        });
        Some(JobView {
            job: id.clone(),
            tenant: job.plan.tenant.clone(),
            state: if job.started { JobState::Running } else { JobState::Queued },
            tasks: counts(job, 0),
            fuel: job.fuel,
            duplicates: job.duplicates,
            why,
            waiting,
        })
    }

    /// Returns the view of a task of a job that has not ended.
    #[must_use]
    pub fn task(&self, job: &JobId, id: TaskId) -> Option<TaskView> {
        let job = self.jobs.get(self.by_id.get(job)?)?;
        let task = job.task(id)?;
        let node = match task.state {
            TaskState::Running => job.running(task).map_or(NONE, |r| r.first.node),
            TaskState::Blocked => NONE,
            _ => task.link,
        };
        Some(TaskView {
            state: task.state,
            attempts: u32::from(task.attempts),
            failures: u32::from(task.failures),
            losses: u32::from(task.losses),
            cached: task.cached,
            node: self.nodes.get(node).map(|n| n.id.clone()),
        })
    }

    /// Returns the jobs that have not ended, in no particular order.
    pub fn active_jobs(&self) -> impl Iterator<Item = &JobId> {
        self.by_id.keys()
    }

    /// Returns the number of outstanding attempts on a node.
    #[must_use]
    pub fn attempts_with(&self, node: &NodeId) -> usize {
        self.nodes.find(node).and_then(|ix| self.nodes.get(ix)).map_or(0, |node| node.attempts.len())
    }

    /// Returns the tasks of the outstanding attempts on a node, in the order in which they were sent.
    #[must_use]
    pub fn tasks_with(&self, node: &NodeId) -> Vec<(TenantId, JobId, TaskId)> {
        let Some(ix) = self.nodes.find(node) else { return Vec::new() };
        let mut attempts = self.attempts_on(ix);
        attempts.sort_unstable_by_key(|(job, task, attempt)| (attempt.started, *job, *task));
        let named = attempts.into_iter().filter_map(|(job, task, _)| {
            let plan = &self.jobs.get(&job)?.plan;
            Some((plan.tenant.clone(), plan.job.clone(), task))
        });
        named.collect()
    }

    /// Returns a tenant's quota and the usage of its attempts.
    #[must_use]
    pub fn tenant(&self, id: &TenantId) -> Tenant {
        let found = self.queue.find(id).map(|t| {
            let usage = TenantUsage { cpu_slots: t.slots, memory_bytes: ByteSize(t.memory), gpus: t.gpus };
            (t.quota.clone(), usage)
        });
        let (quota, usage) = found.unwrap_or_default();
        Tenant { tenant: id.clone(), quota, usage, storage: Storage::default(), warnings: Vec::new() }
    }

    /// Returns every tenant that has a quota or had a job, sorted by name.
    #[must_use]
    pub fn tenants(&self) -> Vec<Tenant> {
        let mut all: Vec<_> = self.queue.iter().map(|(_, tenant)| self.tenant(&tenant.id)).collect();
        all.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        all
    }

    /// Returns every node that was ever up, in the order in which the nodes joined.
    pub fn nodes(&self) -> impl Iterator<Item = NodeView> {
        self.nodes.iter().map(|(_, node)| NodeView {
            id: node.id.clone(),
            state: match node.mode {
                _ if !node.up || node.silent => "lost",
                crate::node::Mode::Open => "ready",
                crate::node::Mode::Cordoned => "cordoned",
                crate::node::Mode::Draining => "draining",
            },
            slots: node.slots,
            attempts: u32::try_from(node.attempts.len()).unwrap_or(u32::MAX),
        })
    }
}
