//! A job that has ended, and what must be true of it when it was disturbed.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use fabric_client::{Client, PageOptions, TaskQuery};
use fabric_types::{
    job::{JobState, TaskState},
    rest::job::{Job, Task},
};
use std::collections::BTreeSet;

/// The longest result that is read.
const LONGEST: u64 = 64 << 20;

/// A job that has ended: itself, its tasks, its result.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The job.
    pub job: Job,
    /// All its tasks.
    pub tasks: Vec<Task>,
    /// Its result.
    pub result: Bytes,
}

impl Ended {
    /// Reads a job that has ended.
    ///
    /// # Errors
    /// Those of the requests.
    pub async fn read(client: &Client, id: &str) -> fabric_client::Result<Self> {
        let job = client.job(id, None).await?;
        let tasks = async |paging| client.tasks(id, &TaskQuery::default().page(paging)).await;
        let tasks = PageOptions::collect(100_000, tasks).await?.items;
        // A job that failed has none.
        let result = match job.state {
            JobState::Succeeded => client.result(id).await?.bytes(LONGEST).await?,
            _ => Bytes::new(),
        };
        Ok(Self { job, tasks, result })
    }

    /// Every task has succeeded, is there once, and is paid for once; the result has the bytes of the undisturbed run.
    ///
    /// # Errors
    /// What is not so.
    pub fn check(&self, undisturbed: &Self) -> Result<()> {
        let Self { job, tasks, .. } = self;
        ensure!(job.state == JobState::Succeeded, "the job {:?}: {}: {:?}", job.state, job.remark, job.error);
        ensure!(self.result == undisturbed.result, "the result has other bytes than the undisturbed run's");
        let counts = job.tasks;
        ensure!(counts.total == undisturbed.job.tasks.total, "it has other tasks: {counts:?}");
        ensure!(counts.succeeded == counts.total, "not every task succeeded: {counts:?}");
        ensure!((counts.failed, counts.running, counts.waiting) == (0, 0, 0), "tasks are left: {counts:?}");
        ensure!(tasks.len() as u64 == counts.total, "{} tasks are listed of {}", tasks.len(), counts.total);
        let places: BTreeSet<_> = tasks.iter().map(|task| (task.stage, task.index)).collect();
        ensure!(places.len() == tasks.len(), "a task is listed twice");
        let mut keys = BTreeSet::new();
        for task in tasks {
            ensure!(task.state == TaskState::Succeeded, "{task:?}");
            ensure!(keys.insert(task.key.context("a task without a key")?.to_string()), "two tasks have one key");
        }
        // The same tasks, and each spent what it spends when nobody disturbs it. (Keys hold the input's entity tag and,
        // without the cache, the job: those differ.)
        let kept = |ended: &Self| -> BTreeSet<_> {
            ended.tasks.iter().map(|t| (t.stage, t.index, t.fuel, t.result_bytes)).collect()
        };
        ensure!(kept(self) == kept(undisturbed), "a task spent other fuel, or gave another size, than undisturbed");
        // What was committed is counted with the one commit. Fuel is counted with each attempt that ran to its end: where two
        // did, a copy or one after a lost report, both are paid for, here as in the undisturbed run.
        let committed = tasks.iter().filter_map(|task| task.result_bytes).sum::<u64>();
        let counted = job.cost.bytes_out;
        ensure!(counted == committed, "a commit was counted twice or not at all: {counted} bytes of {committed}");
        let spent = tasks.iter().map(|task| task.fuel).sum::<u64>();
        ensure!(job.cost.fuel >= spent, "the job cost {} fuel, and its tasks spent {spent}", job.cost.fuel);
        Ok(())
    }
}
