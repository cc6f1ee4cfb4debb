//! The REST views of a job, and the texts in them.

use super::{JobKind, OpenJob, outcome::DeadTask, tasks};
use fabric_scheduler_core::JobView;
use fabric_types::{
    Code, Fault,
    job::{JobState, StageKind, TaskId},
    rest::job::{DeadLetter, Job, JobEvent, TaskCounts},
};

impl OpenJob {
    fn counts(&self, view: Option<&JobView>) -> TaskCounts {
        let total = self.stages.iter().map(|s| s.tasks.len() as u64).sum();
        let failed =
            u64::from(self.ended.as_ref().is_some_and(|e| e.state == JobState::Failed) && !self.faults.is_empty());
        let running = if self.ended.is_some() { 0 } else { view.map_or(0, |v| v.tasks.running) };
        let dead = self.dead.len() as u64;
        let failed = failed.max(dead);
        TaskCounts {
            total,
            waiting: if self.ended.is_some() { 0 } else { total.saturating_sub(running + self.succeeded + dead) },
            running,
            succeeded: self.succeeded,
            cached: self.cached,
            failed,
            dead,
            retries: view.map_or(self.failures.saturating_sub(failed), |v| v.tasks.retries),
        }
    }

    fn remark(&self, state: JobState, counts: &TaskCounts, view: Option<&JobView>) -> String {
        let error = || self.ended.as_ref().and_then(|e| e.error.as_ref()).map_or_else(String::new, ToString::to_string);
        match state {
            JobState::Succeeded if counts.dead > 0 => {
                let (id, allowed) = (self.id(), self.planned.meta.spec.allow_failed);
                format!(
                    "{} of {} tasks succeeded; {} failed permanently, of {allowed} allowed: see fabric dead-letters {id}",
                    counts.succeeded, counts.total, counts.dead
                )
            }
            JobState::Succeeded if counts.cached == counts.total && counts.total > 0 => {
                format!(
                    "{} served from the cache",
                    if counts.total == 1 {
                        "the one task was".to_owned()
                    } else {
                        format!("all {} tasks were", counts.total)
                    }
                )
            }
            JobState::Succeeded if counts.cached > 0 => {
                format!("{} tasks succeeded, {} of them from the cache", counts.total, counts.cached)
            }
            JobState::Succeeded if counts.total == 1 => "the one task succeeded".to_owned(),
            JobState::Succeeded => format!("{} tasks succeeded", counts.total),
            JobState::Failed => error(),
            JobState::Cancelled => format!("cancelled after {} of {} tasks", counts.succeeded, counts.total),
            JobState::Running if counts.succeeded == counts.total => {
                "every task has its result; the output is being written".to_owned()
            }
            JobState::Running => {
                let why = view.map_or("", |v| v.why.as_str());
                format!("{} of {} tasks are done; {why}", counts.succeeded, counts.total)
            }
            JobState::Queued => view.map_or_else(|| "it was just accepted".to_owned(), |v| v.why.clone()),
        }
    }

    /// Returns the REST view of the job.
    #[must_use]
    pub fn view(&self, core: Option<&JobView>, now_ms: u64) -> Job {
        let meta = &self.planned.meta;
        let state = self.state();
        let counts = self.counts(core);
        let ended_ms = self.ended.as_ref().map(|e| e.at_ms);
        let until = ended_ms.unwrap_or(now_ms);
        let name = match (&meta.spec.name, &meta.kind) {
            (Some(name), _) => name.clone(),
            (None, JobKind::Audit { of }) => format!("audit of {of}"),
            (None, _) => meta.deployment.function.to_string(),
        };
        Job {
            id: meta.id.clone(),
            name,
            function: meta.deployment.function.clone(),
            version: meta.deployment.version,
            submitter: meta.submitter.clone(),
            state,
            remark: self.remark(state, &counts, core),
            waiting: core.filter(|_| !state.is_terminal()).and_then(|v| v.waiting.clone()),
            tasks: counts,
            cost: self.cost,
            tags: meta.spec.tags.clone(),
            created_ms: meta.created_ms,
            started_ms: self.started_ms,
            ended_ms,
            queue_ms: self.started_ms.unwrap_or(until).saturating_sub(meta.created_ms),
            run_ms: self.started_ms.map_or(0, |s| until.saturating_sub(s)),
            results: if matches!(state, JobState::Failed | JobState::Cancelled) { 0 } else { self.results() },
            error: self.ended.as_ref().and_then(|e| e.error.clone()),
            deleted: self.binned,
            spec: meta.spec.clone(),
        }
    }

    /// Publishes an event with the current state of the job.
    pub fn publish(&self, kind: &str, core: Option<&JobView>, now_ms: u64) {
        let state = self.state();
        let tasks = self.counts(core);
        let remark = self.remark(state, &tasks, core);
        self.events.push(JobEvent {
            seq: 0,
            at_ms: now_ms,
            kind: kind.to_owned(),
            state,
            remark,
            tasks,
            cost: self.cost,
        });
    }

    /// Returns the number of results that the job has once it succeeds.
    fn results(&self) -> u64 {
        let Some(last) = self.stages.len().checked_sub(1) else { return 0 };
        let tasks = self.stages.get(last).map_or(0, |stage| stage.tasks.len());
        let gone = |index: usize| self.has_no_result(TaskId { stage: last as u16, index: index as u32 });
        if self.dead.is_empty() { tasks as u64 } else { (0..tasks).filter(|index| !gone(*index)).count() as u64 }
    }

    /// Returns the REST view of a dead-lettered task.
    #[must_use]
    pub fn dead_letter(&self, dead: &DeadTask) -> DeadLetter {
        let meta = &self.planned.meta;
        let lost = || Fault::new(dead.code, "its nodes were lost repeatedly").hint("see the servers' logs");
        let kind = self.stages.get(usize::from(dead.task.stage)).map_or(StageKind::Map, |s| s.kind);
        DeadLetter {
            job: meta.id.clone(),
            function: meta.deployment.function.clone(),
            version: meta.deployment.version,
            stage: dead.task.stage,
            index: dead.task.index,
            input: tasks::describe(self, kind, dead.task),
            attempts: self.task(dead.task).map_or(0, |note| note.attempts),
            nodes: self.failed_on.get(&dead.task).cloned().unwrap_or_default(),
            error: self.faults.get(&dead.task).cloned().unwrap_or_else(lost),
            at_ms: dead.at_ms,
        }
    }

    /// Returns the fault of a failed job: its task's fault, or else one for the code alone.
    #[must_use]
    pub fn failure(&self, task: Option<TaskId>, code: Code) -> Fault {
        let of_task = task.and_then(|t| self.faults.get(&t).map(|f| (t, f)));
        match of_task {
            Some((task, fault)) => {
                let mut fault = fault.clone();
                fault.message = format!("task {task}: {}", fault.message);
                let attempts = self.task(task).map_or(0, |note| note.attempts);
                if attempts > 1 {
                    fault.message += &format!(" (attempt {attempts}, the last; see fabric dead-letters {})", self.id());
                }
                fault
            }
            None if code == Code::BudgetExhausted => {
                let budget = self.planned.meta.spec.budget_fuel.unwrap_or(0);
                let id = self.id();
                let kept =
                    self.planned.meta.cache() && self.stages.iter().any(|s| s.tasks.iter().any(|t| t.done.is_some()));
                let kept = if kept { "; finished tasks are in the cache and cost nothing again" } else { "" };
                Fault::new(code, format!("the job spent {} fuel of its budget of {budget}", self.cost.fuel))
                    .hint(format!("run it again with a larger budget: fabric jobs retry {id} --budget FUEL{kept}"))
            }
            None => Fault::new(code, "the job failed"),
        }
    }
}
