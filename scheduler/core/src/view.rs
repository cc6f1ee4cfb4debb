//! What REST asks: where a job, a task, a node stands, and why a job waits.

use crate::{Core, Outcome, job::Job, task::NONE};
use fabric_types::{
    id::{JobId, NodeId, TenantId},
    job::{JobState, TaskId, TaskState},
    rest::job::TaskCounts,
};

/// A job's state in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// Its id.
    pub job: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it stands.
    pub state: JobState,
    /// Its tasks.
    pub tasks: TaskCounts,
    /// Fuel of all its attempts.
    pub fuel: u64,
    /// Completions that came for tasks which were done.
    pub duplicates: u64,
    /// One true sentence: why it waits, what it does, how it ended.
    pub why: String,
}

/// A task of a job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    /// Where it stands.
    pub state: TaskState,
    /// Attempts so far.
    pub attempts: u32,
    /// Of those, failed.
    pub failures: u32,
    /// Of those, lost with their node.
    pub losses: u32,
    /// Whether its result came from the cache.
    pub cached: bool,
    /// Where it runs or ran last.
    pub node: Option<NodeId>,
}

/// A node as the core sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Its name.
    pub id: NodeId,
    /// `ready`, `cordoned`, `draining` or `lost`.
    pub state: &'static str,
    /// Guests it runs at once.
    pub slots: u32,
    /// Attempts that are with it.
    pub attempts: u32,
}

fn counts(job: &Job, failed: u64) -> TaskCounts {
    let (total, running) = (job.total(), u64::from(job.running_tasks));
    TaskCounts {
        total,
        waiting: total.saturating_sub(running + job.succeeded + failed),
        running,
        succeeded: job.succeeded,
        cached: job.cached,
        failed,
        retries: job.retries,
    }
}

pub(crate) fn ended(job: &Job, outcome: &Outcome) -> JobView {
    let (state, failed, why) = match outcome {
        Outcome::Succeeded => (JobState::Succeeded, 0, "every task has its result".to_owned()),
        Outcome::Failed { task: Some(task), code } => (JobState::Failed, 1, format!("task {task} failed with {code}")),
        Outcome::Failed { task: None, code } => (JobState::Failed, 0, format!("the job failed with {code}")),
        Outcome::Cancelled => (JobState::Cancelled, 0, "it was cancelled".to_owned()),
    };
    JobView {
        job: job.id().clone(),
        tenant: job.plan.tenant.clone(),
        state,
        tasks: counts(job, failed),
        fuel: job.fuel,
        duplicates: job.duplicates,
        why,
    }
}

impl Core {
    /// A job, also for a while after it ended.
    #[must_use]
    pub fn job(&self, id: &JobId) -> Option<JobView> {
        let Some(job) = self.by_id.get(id).and_then(|ix| self.jobs.get(ix)) else {
            return self.ended.get(id).cloned();
        };
        Some(JobView {
            job: id.clone(),
            tenant: job.plan.tenant.clone(),
            state: if job.started { JobState::Running } else { JobState::Queued },
            tasks: counts(job, 0),
            fuel: job.fuel,
            duplicates: job.duplicates,
            why: self.why(job),
        })
    }

    /// A task of a job that has not ended.
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

    /// The jobs that have not ended, in no particular order.
    pub fn active_jobs(&self) -> impl Iterator<Item = &JobId> {
        self.by_id.keys()
    }

    /// Every node that was ever up, in the order they joined.
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

    fn why(&self, job: &Job) -> String {
        let slots = job.plan.cpu_slots;
        if job.out > 0 {
            let (running, total, nodes) = (job.running_tasks, job.total(), job.per_node.len());
            return format!("{running} of {total} tasks are with {nodes} node{}", if nodes == 1 { "" } else { "s" });
        }
        if job.pending == 0 {
            return match job.backoff {
                0 => "it waits for inputs".to_owned(),
                n => format!("{n} tasks wait to be repeated"),
            };
        }
        let tenant = self.queue.get(job.tenant);
        if self.nodes.ready() == 0 {
            return "no node is ready".to_owned();
        }
        if !self.nodes.could_fit(slots, job.plan.memory_bytes) {
            return format!(
                "an attempt needs {slots} slots and {} bytes, and no ready node is that large (most slots: {})",
                job.plan.memory_bytes,
                self.nodes.largest()
            );
        }
        if let Some(tenant) = tenant.filter(|t| t.room() < u64::from(slots)) {
            let limit = tenant.quota.limit.unwrap_or(0);
            return format!("tenant {} uses {} of its limit of {limit} slots", tenant.id, tenant.slots);
        }
        if self.nodes.open() == 0 {
            return "every slot of every node is taken".to_owned();
        }
        "no node has room for an attempt now".to_owned()
    }
}
