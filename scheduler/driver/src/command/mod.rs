//! The commands that a [`crate::Driver`] sends to the owner task.

mod job_read;

pub(crate) use job_read::{JobRead, TaskOutput};

use crate::{job::OpenJob, journal::JobName, settings::NodeRecord};
use fabric_scheduler_core::Requirement;
use fabric_types::{
    digest::ModuleDigest,
    id::{JobId, NodeId, TenantId},
    quota::{Keep, Quota},
    rest::{
        job::Job,
        node::{Explanation, Node},
        tenant::Tenant,
    },
};
use std::collections::{HashMap, HashSet};
use tokio::sync::oneshot;

/// Channel for the answer to a command.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// Sends an answer. The caller may have stopped waiting, and the answer is not needed then.
pub(crate) fn answer<T>(reply: Reply<T>, value: T) {
    let _ = reply.send(value);
}

/// The result of a request to cancel a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelOutcome {
    /// The job is about to end.
    Requested,
    /// The job has ended, or is about to end, for another reason.
    AlreadyEnded,
    /// The job is not in memory.
    Unknown,
}

/// A command to the owner task.
pub(crate) enum Command {
    /// Adds a job that is in the journal. Replies with its view.
    Accept { job: Box<OpenJob>, reply: Reply<Option<Job>> },
    /// Reads a job. A job that is not in memory is not read, and `read` is returned through `not_in_memory`.
    ReadJob { tenant: TenantId, job: JobId, read: JobRead, not_in_memory: Reply<JobRead> },
    /// Cancels a job.
    Cancel { tenant: TenantId, job: JobId, reply: Reply<CancelOutcome> },
    /// Applies a `Binned` record that is in the journal, which now has `journal_len` records.
    SetBinned { job: JobId, binned: bool, journal_len: u64, reply: Reply<()> },
    /// Drops an ended job that is about to be removed.
    DropEnded { tenant: TenantId, job: JobId, reply: Reply<()> },
    /// Replies with those of the active jobs that the owner does not have.
    UnknownJobs { active: Vec<JobName>, reply: Reply<Vec<JobName>> },
    /// Resumes a job of another owner, unless it is already in memory.
    ResumeOrphan { job: Box<OpenJob>, reply: Reply<()> },
    /// Replies with the modules of the tenant's unfinished jobs.
    ActiveModules { tenant: TenantId, reply: Reply<HashSet<[u8; 32]>> },
    /// Replies with the retention periods of the tenants whose quota sets one.
    RetentionOverrides { reply: Reply<HashMap<TenantId, Keep>> },
    /// Lists the nodes.
    ListNodes { reply: Reply<Vec<Node>> },
    /// Replies with the start time of a node's process, in milliseconds since the Unix epoch.
    NodeStart { node: NodeId, reply: Reply<Option<u64>> },
    /// Applies an operator's setting of a node that is in the registry. Replies with the node.
    ApplyNodeMode { node: NodeId, record: NodeRecord, revision: u64, reply: Reply<Option<Node>> },
    /// Reads a tenant, with warnings about its guarantee.
    ReadTenant { tenant: TenantId, reply: Reply<Tenant> },
    /// Lists the tenants of the core, and those in `stored`, by name.
    ListTenants { stored: Vec<TenantId>, reply: Reply<Vec<Tenant>> },
    /// Applies a quota that is in the registry.
    ApplyQuota { tenant: TenantId, quota: Box<Quota>, revision: u64, reply: Reply<()> },
    /// Applies the deletion of a quota from the registry.
    RemoveQuota { tenant: TenantId, reply: Reply<()> },
    /// Explains the placement of an attempt of a module now.
    Explain { module: ModuleDigest, requirement: Box<Requirement>, reply: Reply<Explanation> },
}

impl Command {
    /// Returns the command's name in traces and metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "accept",
            Self::ReadJob { read, .. } => read.name(),
            Self::Cancel { .. } => "cancel",
            Self::SetBinned { .. } => "set-binned",
            Self::DropEnded { .. } => "drop-ended",
            Self::UnknownJobs { .. } => "unknown-jobs",
            Self::ResumeOrphan { .. } => "resume-orphan",
            Self::ActiveModules { .. } => "active-modules",
            Self::RetentionOverrides { .. } => "retention-overrides",
            Self::ListNodes { .. } => "list-nodes",
            Self::NodeStart { .. } => "node-start",
            Self::ApplyNodeMode { .. } => "apply-node-mode",
            Self::ReadTenant { .. } => "read-tenant",
            Self::ListTenants { .. } => "list-tenants",
            Self::ApplyQuota { .. } => "apply-quota",
            Self::RemoveQuota { .. } => "remove-quota",
            Self::Explain { .. } => "explain",
        }
    }
}
