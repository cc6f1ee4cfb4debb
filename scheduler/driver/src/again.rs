//! A job's specification as it was submitted, for running the job again.

use crate::{
    api::{Driver, not_found},
    meta::Kind,
};
use fabric_types::{
    Code, Fault,
    dataset::{InputSpec, Item, Partition},
    function::{FunctionRef, Selector},
    id::{JobId, TenantId},
    job::JobSpec,
};

impl Driver {
    /// The specification of a job that has ended, with the version that it ran, all items, and its parameters in full. A look at
    /// the job shows them cut.
    ///
    /// # Errors
    /// `not-found`; `conflict` for a job that has not ended, and for one that is an audit or an invocation.
    pub async fn spec_again(&self, tenant: &TenantId, job: &JobId) -> Result<JobSpec, Fault> {
        let found = self.look(tenant, job, |live, _| (live.planned.clone(), live.state())).await?;
        let (planned, state) = found.ok_or_else(|| not_found(job))?;
        let conflict = |what: &str| Fault::new(Code::Conflict, format!("job {job} {what}"));
        if !state.is_terminal() {
            return Err(conflict(&format!("is {state}")).hint(format!("stop it first: fabric jobs cancel {job}")));
        }
        let meta = &planned.meta;
        match meta.kind {
            Kind::Map => {}
            Kind::Audit { .. } => return Err(conflict("is an audit").hint("audit the job itself again")),
            Kind::Invoke { .. } => return Err(not_found(job)),
        }
        let params = serde_json::from_str(&meta.params)
            .map_err(|e| Fault::new(Code::Internal, format!("the job's parameters are damaged: {e}")))?;
        let input = match &meta.spec.input {
            // To a guest the text of an item is all there is.
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
