//! Batches: run, commit, cache, abort, and a full disk.

use crate::support::{Bed, ENDLESS, TRAPS, WRITES_OK, job, task, tenant};
use fabric_backend::lane::ToNode;
use fabric_types::{Code, Cost, digest::TaskKey};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_batch_runs_and_its_results_are_committed_when_it_is_reported() {
    let mut bed = Bed::start().await;
    let guest = bed.deploy(WRITES_OK).await;
    bed.run(&guest, job(1), &[1, 2, 3], true).await;
    let outcomes = bed.outcomes(3).await;
    for (of, outcome) in outcomes {
        let done = outcome.result.unwrap();
        assert_eq!((of, outcome.attempt, done.cached), (job(1), 1, false));
        assert!(done.cost.fuel > 0 && done.cost.wall_us > 0, "{:?}", done.cost);
        assert_eq!(done.cost.bytes_out, 2);
        assert_eq!(bed.results.read(&tenant(), &done.output, 100).await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn a_result_is_found_again_and_costs_nothing() {
    let mut bed = Bed::start().await;
    let guest = bed.deploy(WRITES_OK).await;
    bed.run(&guest, job(1), &[1], true).await;
    let first = bed.outcomes(1).await.remove(0).1.result.unwrap();
    bed.run(&guest, job(2), &[1], true).await;
    let second = bed.outcomes(1).await.remove(0).1.result.unwrap();
    assert_eq!((second.cached, second.cost, second.output), (true, Cost::default(), first.output));
    bed.run(&guest, job(3), &[1], false).await;
    let third = bed.outcomes(1).await.remove(0).1.result.unwrap();
    assert_eq!((third.cached, third.cost.fuel, third.differs), (false, first.cost.fuel, None));
}

#[tokio::test]
async fn a_trap_is_reported_with_its_fuel_and_commits_nothing() {
    let mut bed = Bed::start().await;
    let guest = bed.deploy(TRAPS).await;
    bed.run(&guest, job(1), &[1], true).await;
    let fault = bed.outcomes(1).await.remove(0).1.result.unwrap_err();
    assert_eq!(fault.code, Code::TrapUnreachable);
    assert!(fault.fuel > 0);
    assert_eq!(bed.results.find(&tenant(), &[TaskKey([1; 32])]).await.unwrap(), [None]);
}

#[tokio::test]
async fn an_aborted_attempt_makes_room_and_is_not_reported() {
    let mut bed = Bed::start().await;
    let (endless, guest) = (bed.deploy(ENDLESS).await, bed.deploy(WRITES_OK).await);
    bed.run(&endless, job(1), &[1], true).await;
    bed.until("the start", Bed::is_running).await;
    bed.run(&guest, job(2), &[2], true).await;
    bed.send(ToNode::Abort { job: job(1), task: task(0), attempt: 1 }).await;
    assert_eq!(bed.outcomes(1).await.remove(0).0, job(2));
}

#[tokio::test]
async fn an_aborted_job_ends_its_running_and_its_waiting_attempts() {
    let mut bed = Bed::start().await;
    let (endless, guest) = (bed.deploy(ENDLESS).await, bed.deploy(WRITES_OK).await);
    bed.run(&endless, job(1), &[1, 2, 3], true).await;
    bed.until("the start", Bed::is_running).await;
    bed.run(&guest, job(2), &[4], true).await;
    // The abort of another job, and of an attempt that does not exist, end nothing. The lane keeps the order of messages,
    // so both are done when the batch after them waits.
    bed.until("the first tasks wait", |bed| bed.queued() == 3).await;
    bed.send(ToNode::AbortJob { job: job(9) }).await;
    bed.send(ToNode::Abort { job: job(1), task: task(0), attempt: 2 }).await;
    bed.run(&guest, job(3), &[5], true).await;
    bed.until("the last task waits", |bed| bed.queued() == 4).await;
    assert!(bed.is_running());
    bed.send(ToNode::AbortJob { job: job(1) }).await;
    let mut ended: Vec<_> = bed.outcomes(2).await.into_iter().map(|(job, _)| job).collect();
    ended.sort();
    assert_eq!(ended, [job(2), job(3)]);
}

#[tokio::test]
async fn a_full_disk_is_retried_without_another_attempt() {
    let mut bed = Bed::start().await;
    let guest = bed.deploy(WRITES_OK).await;
    bed.full.store(3, Ordering::Relaxed);
    tokio::time::pause();
    bed.run(&guest, job(1), &[1, 2], true).await;
    for (_, outcome) in bed.outcomes(2).await {
        assert_eq!((outcome.attempt, outcome.result.map(|done| done.cached)), (1, Ok(false)));
    }
    assert_eq!(bed.full.load(Ordering::Relaxed), 0);
}
