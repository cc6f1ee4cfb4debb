//! Reads of one job, from memory or from its journal.

use super::{Reply, answer};
use crate::{
    clock::now_ms,
    job::{EventLog, JobKind, OpenJob, Planned, TaskFilter, invocation, tasks},
};
use fabric_scheduler_core::{Core, JobView};
use fabric_types::{
    Fault,
    job::{JobState, TaskId},
    rest::{
        Page,
        invocation::Invocation,
        job::{Job, Task},
    },
    work::OutputRef,
};

/// The result of a task, as far as it exists.
pub(crate) enum TaskOutput {
    /// The job has no such task.
    NoTask,
    /// The task has no result.
    NoResult,
    /// The task's result.
    Committed(OutputRef),
}

/// A read of one job, with the channel for the answer.
pub(crate) enum JobRead {
    /// View of the job; `None` for an invocation.
    Job(Reply<Option<Job>>),
    /// View of the job or of the invocation as a job.
    AnyJob(Reply<Job>),
    /// View of the invocation; `None` for any other job.
    Invocation(Reply<Option<Invocation>>),
    /// Events. Those of an ended job include the terminal one.
    Events(Reply<EventLog>),
    /// Result of a task.
    Output { task: TaskId, reply: Reply<TaskOutput> },
    /// State, fault and results of the job.
    Outputs(Reply<(JobState, Option<Fault>, Vec<OutputRef>)>),
    /// A page of the job's tasks.
    Tasks { filter: TaskFilter, cursor: Option<String>, limit: usize, reply: Reply<Result<Page<Task>, Fault>> },
    /// Fixed part and inputs of the job, with its state.
    Planned(Reply<(Planned, JobState)>),
    /// Map tasks with a result that differs from the committed one.
    DifferingTasks(Reply<Vec<Task>>),
}

impl JobRead {
    /// Returns the name of the read in traces and metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Job(_) | Self::AnyJob(_) => "read-job",
            Self::Invocation(_) => "read-invocation",
            Self::Events(_) => "read-events",
            Self::Output { .. } => "read-output",
            Self::Outputs(_) => "read-outputs",
            Self::Tasks { .. } => "read-tasks",
            Self::Planned(_) => "read-plan",
            Self::DifferingTasks(_) => "read-differing-tasks",
        }
    }

    /// Reads the job and sends the answer. `core` is given for a job in memory.
    pub(crate) fn carry_out(self, job: &OpenJob, core: Option<&Core>) {
        let is_invocation = matches!(job.planned.meta.kind, JobKind::Invoke { .. });
        let view = || job.view(core.and_then(|core| core.job(job.id())).as_ref(), now_ms());
        match self {
            Self::Job(reply) => answer(reply, (!is_invocation).then(view)),
            Self::AnyJob(reply) => answer(reply, view()),
            Self::Invocation(reply) => answer(reply, is_invocation.then(|| invocation::view(job))),
            Self::Events(reply) => {
                // A job that this process did not run has no events yet: one with its state.
                let at_ms = job.ended.as_ref().map_or(0, |ended| ended.at_ms);
                if core.is_none() || (job.ended.is_some() && !job.events.has_ended()) {
                    job.publish(job.state().as_str(), None::<&JobView>, at_ms);
                }
                answer(reply, job.events.clone());
            }
            Self::Output { task, reply } => {
                let output = match job.task(task) {
                    None => TaskOutput::NoTask,
                    Some(progress) => {
                        progress.done.as_ref().map_or(TaskOutput::NoResult, |done| TaskOutput::Committed(done.output))
                    }
                };
                answer(reply, output);
            }
            Self::Outputs(reply) => {
                let fault = job.ended.as_ref().and_then(|ended| ended.error.clone());
                answer(reply, (job.state(), fault, job.outputs()));
            }
            Self::Tasks { filter, cursor, limit, reply } => {
                answer(reply, tasks::page(job, core, &filter, cursor.as_deref(), limit));
            }
            Self::Planned(reply) => answer(reply, (job.planned.clone(), job.state())),
            Self::DifferingTasks(reply) => {
                let tasks = job.stages.first().map(|stage| stage.tasks.as_slice()).unwrap_or_default();
                let differ = |progress: &crate::job::TaskProgress| {
                    progress.done.as_ref().is_some_and(|done| done.differs.is_some())
                };
                let differing = (0_u32..).zip(tasks).filter(|(_, progress)| differ(progress));
                let tasks = differing.filter_map(|(index, _)| tasks::view(job, core, TaskId { stage: 0, index }));
                answer(reply, tasks.collect());
            }
        }
    }
}
