//! A finished job, and the checks that must hold after a fault disturbed it.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use fabric_client::{Client, PageOptions, TaskQuery};
use fabric_types::{
    job::{JobState, TaskState},
    rest::job::{Job, Task},
};
use std::collections::BTreeSet;

/// Maximum size of a result, in bytes.
const LONGEST: u64 = 64 << 20;

/// A finished job with its tasks and its result.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The job.
    pub job: Job,
    /// All tasks of the job.
    pub tasks: Vec<Task>,
    /// The result; empty if the job failed.
    pub result: Bytes,
}

impl Ended {
    /// Reads a finished job.
    ///
    /// # Errors
    /// Returns the error of the first request that fails.
    pub async fn read(client: &Client, id: &str) -> fabric_client::Result<Self> {
        let job = client.job(id, None).await?;
        let tasks = async |paging| client.tasks(id, &TaskQuery::default().page(paging)).await;
        let tasks = PageOptions::collect(100_000, tasks).await?.items;
        // A failed job has no result.
        let result = match job.state {
            JobState::Succeeded => client.result(id).await?.bytes(LONGEST).await?,
            _ => Bytes::new(),
        };
        Ok(Self { job, tasks, result })
    }

    /// Checks that every task succeeded, is listed once and is billed once, and that the result is identical to that of
    /// the undisturbed run.
    ///
    /// # Errors
    /// Returns the first check that does not hold.
    pub fn check(&self, undisturbed: &Self) -> Result<()> {
        let Self { job, tasks, .. } = self;
        ensure!(job.state == JobState::Succeeded, "the job {:?}: {}: {:?}", job.state, job.remark, job.error);
        ensure!(self.result == undisturbed.result, "the result differs from that of the undisturbed run");
        let counts = job.tasks;
        ensure!(
            counts.total == undisturbed.job.tasks.total,
            "the number of tasks differs from the undisturbed run: {counts:?}"
        );
        ensure!(counts.succeeded == counts.total, "not every task succeeded: {counts:?}");
        ensure!((counts.failed, counts.running, counts.waiting) == (0, 0, 0), "unfinished tasks remain: {counts:?}");
        ensure!(tasks.len() as u64 == counts.total, "{} of {} tasks are listed", tasks.len(), counts.total);
        let places: BTreeSet<_> = tasks.iter().map(|task| (task.stage, task.index)).collect();
        ensure!(places.len() == tasks.len(), "a task is listed twice");
        let mut keys = BTreeSet::new();
        for task in tasks {
            ensure!(task.state == TaskState::Succeeded, "{task:?}");
            ensure!(keys.insert(task.key.context("a task without a key")?.to_string()), "two tasks have the same key");
        }
        // The tasks are the same, and each spent as much fuel as in the undisturbed run. Keys are not compared: they
        // include the entity tag of the input and, without the cache, the job id.
        let kept = |ended: &Self| -> BTreeSet<_> {
            ended.tasks.iter().map(|t| (t.stage, t.index, t.fuel, t.result_bytes)).collect()
        };
        ensure!(
            kept(self) == kept(undisturbed),
            "the fuel or the result size of a task differs from the undisturbed run"
        );
        // Output bytes are counted once, with the commit. Fuel is counted for every attempt that ran to completion: if
        // two attempts did (a speculative copy, or a retry after a lost report), both are billed, in the undisturbed
        // run too.
        let committed = tasks.iter().filter_map(|task| task.result_bytes).sum::<u64>();
        let counted = job.cost.bytes_out;
        ensure!(counted == committed, "the job counts {counted} output bytes, and its tasks committed {committed}");
        let spent = tasks.iter().map(|task| task.fuel).sum::<u64>();
        ensure!(job.cost.fuel >= spent, "the job cost {} fuel, and its tasks spent {spent}", job.cost.fuel);
        Ok(())
    }
}
