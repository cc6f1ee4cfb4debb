//! Carries out the core's actions: dispatches, aborts, and the ends of tasks and jobs.

use super::{
    JobsOwner, OperationResult,
    assign::{self, Picks},
    write_output,
};
use crate::{
    clock::now_ms,
    job::{DeadTask, JobEnd},
    journal::JobRecord,
};
use fabric_backend::lane::ToNode;
use fabric_scheduler_core::{Action, JobOutcome};
use fabric_types::{
    id::{JobId, NodeId},
    job::JobState,
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::mpsc;

impl JobsOwner {
    /// Carries out the core's actions.
    pub(super) fn carry_out(&mut self) {
        while !self.actions.is_empty() {
            let actions = std::mem::take(&mut self.actions);
            // A failed or cancelled job is stopped on every node with one message, so it needs no single aborts. A job
            // that succeeded needs them: the slower copy of its last task may still run.
            let stopped: BTreeSet<JobId> = actions
                .iter()
                .filter_map(|a| match a {
                    Action::JobFinished { outcome: JobOutcome::Succeeded, .. } => None,
                    Action::JobFinished { job, .. } => Some(job.clone()),
                    _ => None,
                })
                .collect();
            let mut picks: Vec<(NodeId, JobId, Picks)> = Vec::new();
            for action in actions {
                match action {
                    Action::Dispatch { node, job, task, attempt, .. } => match picks.last_mut() {
                        Some((n, j, list)) if *n == node && *j == job => list.push((task, attempt)),
                        _ => picks.push((node, job, vec![(task, attempt)])),
                    },
                    Action::Abort { node, job, task, attempt } => {
                        if !stopped.contains(&job) {
                            self.send_to_node(&node, ToNode::Abort { job, task, attempt });
                        }
                    }
                    Action::JobStarted { job } => self.started(&job),
                    Action::TaskRetry { job, .. } => {
                        self.publish(&job, "retry");
                    }
                    Action::TaskDead { job, task, code } => self.dead(&job, DeadTask { task, code, at_ms: now_ms() }),
                    Action::JobFinished { job, outcome } => self.job_finished(&job, outcome),
                    Action::WakeAt(at) => self.wake = Some(at),
                }
            }
            for (node, job, list) in picks {
                let Some(slot) = self.jobs.get_mut(&job) else { continue };
                for batch in assign::batches(&mut slot.job, &list, &mut slot.sources) {
                    self.send_to_node(&node, ToNode::Run(Arc::new(batch)));
                }
            }
        }
    }

    /// Passes a message to the task that sends to `node`. The core bounds the number of waiting messages: it never has
    /// more attempts on a node than slots times depth.
    pub(super) fn send_to_node(&mut self, node: &NodeId, message: ToNode) {
        let lanes = &self.parts.backend.lanes;
        let post = self.node_senders.entry(node.clone()).or_insert_with(|| {
            let (post, mut waiting) = mpsc::unbounded_channel();
            let (lanes, node) = (lanes.clone(), node.clone());
            self.parts.tracker.spawn(async move {
                while let Some(message) = waiting.recv().await {
                    if let Err(error) = lanes.send(&node, message).await {
                        // The attempt's lease expires, and the core retries the task.
                        tracing::warn!(%node, %error, "sending a message to a node failed");
                    }
                }
            });
            post
        });
        if post.send(message).is_err() {
            self.node_senders.remove(node);
        }
    }

    pub(super) fn publish(&self, job: &JobId, kind: &str) {
        if let Some(slot) = self.jobs.get(job) {
            slot.job.publish(kind, self.core.job(job).as_ref(), now_ms());
        }
    }

    fn started(&mut self, job: &JobId) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        if slot.job.started_ms.is_none() {
            let at_ms = now_ms();
            slot.job.started_ms = Some(at_ms);
            slot.note(&JobRecord::Started(at_ms));
            self.dirty.insert(job.clone());
            self.publish(job, "started");
        }
    }

    fn dead(&mut self, job: &JobId, dead: DeadTask) {
        self.note_killed(job, &dead);
        let Some(slot) = self.jobs.get_mut(job) else { return };
        slot.note(&JobRecord::Dead(dead.clone()));
        self.dead_letters.push((slot.job.planned.meta.tenant.clone(), slot.job.dead_letter(&dead)));
        slot.job.dead.insert(dead.task, dead);
        self.dirty.insert(job.clone());
    }

    fn job_finished(&mut self, job: &JobId, outcome: JobOutcome) {
        let Some(slot) = self.jobs.get_mut(job) else { return };
        let end = |state, error| JobEnd { state, error, at_ms: now_ms() };
        match outcome {
            JobOutcome::Succeeded => {
                if let Some(to) = slot.job.planned.meta.spec.output.clone() {
                    let (parts, meta, outputs) =
                        (self.parts.clone(), slot.job.planned.meta.clone(), slot.job.outputs());
                    self.pending_ops.push(Box::pin(async move {
                        let written =
                            write_output::write(&parts.results, &parts.store, &meta.tenant, &outputs, &to).await;
                        OperationResult::OutputWritten(meta.id.clone(), written)
                    }));
                    return;
                }
                self.end(job, end(JobState::Succeeded, None));
            }
            JobOutcome::Failed { task, code } => {
                let fault = slot.job.failure(task, code);
                self.stop_everywhere(job);
                self.end(job, end(JobState::Failed, Some(fault)));
            }
            JobOutcome::Cancelled => {
                self.stop_everywhere(job);
                self.end(job, end(JobState::Cancelled, None));
            }
        }
    }

    fn stop_everywhere(&mut self, job: &JobId) {
        for node in self.node_senders.keys().cloned().collect::<Vec<_>>() {
            self.send_to_node(&node, ToNode::AbortJob { job: job.clone() });
        }
    }
}
