//! The specification of a job as it was submitted, for running the job again.

use super::{Driver, not_found};
use crate::{command::JobRead, job::JobKind};
use fabric_types::{
    Code, Fault,
    dataset::{InputSpec, Item, Partition},
    function::{FunctionRef, Selector},
    id::{JobId, TenantId},
    job::JobSpec,
};

impl Driver {
    /// Returns the specification of an ended job, with the version that ran, all items, and its full parameters. The
    /// view of a job shortens them.
    ///
    /// # Errors
    /// `not-found`, also for an invocation; `conflict` for a job that has not ended, and for an audit.
    pub async fn resubmission_spec(&self, tenant: &TenantId, job: &JobId) -> Result<JobSpec, Fault> {
        let found = self.read_job(tenant, job, JobRead::Planned).await?;
        let (planned, state) = found.ok_or_else(|| not_found(job))?;
        let conflict = |what: &str| Fault::new(Code::Conflict, format!("job {job} {what}"));
        if !state.is_terminal() {
            return Err(conflict(&format!("is {state}")).hint(format!("stop it first: fabric jobs cancel {job}")));
        }
        let meta = &planned.meta;
        match meta.kind {
            JobKind::Map => {}
            JobKind::Audit { .. } => return Err(conflict("is an audit").hint("audit the job itself again")),
            JobKind::Invoke { .. } => return Err(not_found(job)),
        }
        let params = serde_json::from_str(&meta.params)
            .map_err(|e| Fault::new(Code::Internal, format!("the job's parameters are damaged: {e}")))?;
        let input = match &meta.spec.input {
            // A guest sees only the text of an item.
            InputSpec::Items(_) => InputSpec::Items(
                planned
                    .partitions
                    .iter()
                    .filter_map(|partition| match partition {
                        Partition::Item(text) => Some(Item::Text(text.clone())),
                        _ => None,
                    })
                    .collect(),
            ),
            objects @ InputSpec::Objects { .. } => objects.clone(),
        };
        let function = FunctionRef {
            name: meta.deployment.function.clone(),
            selector: Selector::Version(meta.deployment.version),
        };
        Ok(JobSpec { function, params, input, ..meta.spec.clone() })
    }
}
