//! Carries out commands.

use super::JobsOwner;
use crate::{
    clock::now_ms,
    command::{CancelOutcome, Command, answer},
    job::OpenJob,
    journal::JobName,
};
use fabric_scheduler_core::{Event, Requirement};
use fabric_types::{
    id::{JobId, TenantId},
    quota::Guarantee,
    rest::{job::Job, tenant::Tenant},
};
use std::collections::{BTreeMap, HashSet};

impl JobsOwner {
    /// Carries out a command and sends the reply.
    pub(super) fn command(&mut self, command: Command) {
        let name = command.name();
        tracing::trace!(command = name, "command received");
        self.metrics.count_command(name);
        match command {
            Command::Accept { job, reply } => answer(reply, self.accept_and_view(*job)),
            Command::ReadJob { tenant, job, read, not_in_memory } => match self.jobs.get(&job) {
                Some(slot) if slot.job.planned.meta.tenant == tenant => read.carry_out(&slot.job, Some(&self.core)),
                _ => answer(not_in_memory, read),
            },
            Command::Cancel { tenant, job, reply } => answer(reply, self.cancel(&tenant, &job)),
            Command::SetBinned { job, binned, journal_len, reply } => {
                if let Some(slot) = self.jobs.get_mut(&job) {
                    slot.job.binned = binned;
                    slot.job.journal_len = journal_len;
                }
                answer(reply, ());
            }
            Command::DropEnded { tenant, job, reply } => {
                self.drop_ended(&tenant, &job);
                answer(reply, ());
            }
            Command::UnknownJobs { active, reply } => {
                let unknown: Vec<JobName> =
                    active.into_iter().filter(|(_, job)| !self.jobs.contains_key(job)).collect();
                answer(reply, unknown);
            }
            Command::ResumeOrphan { job, reply } => {
                if !self.jobs.contains_key(job.id()) {
                    self.resume(*job);
                }
                answer(reply, ());
            }
            Command::ActiveModules { tenant, reply } => answer(reply, self.active_modules(&tenant)),
            Command::RetentionOverrides { reply } => answer(reply, self.retention_overrides()),
            Command::ListNodes { reply } => answer(reply, self.seen_nodes()),
            Command::NodeStart { node, reply } => {
                answer(reply, self.nodes.get(&node).map(|facts| facts.started_ms));
            }
            Command::ApplyNodeMode { node, record, revision, reply } => {
                self.apply_mode(&node, record, revision);
                answer(reply, self.seen_nodes().into_iter().find(|seen| seen.facts.id == node));
            }
            Command::ReadTenant { tenant, reply } => answer(reply, self.tenant(&tenant)),
            Command::ListTenants { stored, reply } => answer(reply, self.tenants(stored)),
            Command::ApplyQuota { tenant, quota, revision, reply } => {
                self.apply_quota(&tenant, *quota, revision);
                answer(reply, ());
            }
            Command::RemoveQuota { tenant, reply } => {
                self.remove_quota(&tenant);
                answer(reply, ());
            }
            Command::Explain { module, requirement, reply } => {
                let hints = self.holders(&module);
                answer(reply, self.core.explain(&Requirement { hints, ..*requirement }));
            }
        }
    }

    fn accept_and_view(&mut self, job: OpenJob) -> Option<Job> {
        let id = job.id().clone();
        self.accept(job);
        let core = self.core.job(&id);
        self.jobs.get(&id).map(|slot| slot.job.view(core.as_ref(), now_ms()))
    }

    fn cancel(&mut self, tenant: &TenantId, job: &JobId) -> CancelOutcome {
        let Some(slot) = self.jobs.get_mut(job).filter(|slot| slot.job.planned.meta.tenant == *tenant) else {
            return CancelOutcome::Unknown;
        };
        if slot.is_over() {
            return CancelOutcome::AlreadyEnded;
        }
        slot.request_cancel();
        self.step([Event::Cancel { job: job.clone() }]);
        self.append(job);
        CancelOutcome::Requested
    }

    fn active_modules(&self, tenant: &TenantId) -> HashSet<[u8; 32]> {
        let unfinished = self.jobs.values().filter(|slot| slot.job.ended.is_none());
        let metas = unfinished.map(|slot| &slot.job.planned.meta).filter(|meta| meta.tenant == *tenant);
        metas.map(|meta| meta.deployment.module.0).collect()
    }

    fn tenant(&self, tenant: &TenantId) -> Tenant {
        let found = self.core.tenant(tenant);
        let guaranteed = found.quota.guarantee != Guarantee::default();
        let warnings = if guaranteed { self.guarantee_warnings() } else { Vec::new() };
        Tenant { warnings, ..found }
    }

    fn tenants(&self, stored: Vec<TenantId>) -> Vec<Tenant> {
        let mut all: BTreeMap<TenantId, Tenant> =
            self.core.tenants().into_iter().map(|tenant| (tenant.tenant.clone(), tenant)).collect();
        for tenant in stored {
            all.entry(tenant).or_insert_with_key(|tenant| self.core.tenant(tenant));
        }
        all.into_values().collect()
    }
}
