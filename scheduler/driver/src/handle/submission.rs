//! Submissions of jobs.

use bytes::Bytes;
use fabric_types::{
    dataset::Partition,
    function::Deployment,
    id::{JobId, TenantId},
    job::JobSpec,
};
use std::sync::Arc;

/// The work of a submission.
#[derive(Debug, Clone)]
pub enum Work {
    /// Map a function over a data set.
    Map(JobSpec),
    /// Call a function once, later: an asynchronous invocation.
    Invoke {
        /// The request body.
        body: Bytes,
        /// Its media type.
        content_type: Option<String>,
        /// Parameters.
        params: serde_json::Map<String, serde_json::Value>,
    },
    /// Repeat some map tasks of another job.
    Audit {
        /// The other job.
        of: JobId,
        /// Its specification, without reduce and output.
        spec: Box<JobSpec>,
        /// The inputs to repeat.
        partitions: Arc<[Partition]>,
    },
}

/// A job to accept.
#[derive(Debug, Clone)]
pub struct Submission {
    /// New job id.
    pub id: JobId,
    /// Owning tenant.
    pub tenant: TenantId,
    /// Submitter, for display.
    pub submitter: String,
    /// Version to run.
    pub deployment: Arc<Deployment>,
    /// Work of the job.
    pub work: Work,
}
