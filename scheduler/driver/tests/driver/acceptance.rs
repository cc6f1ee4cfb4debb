//! Acceptance and the end of a job wait for the journal.

use crate::support::{Fleet, acme, ended, job, soon, spec, submission};
use fabric_types::job::JobState;
use futures::StreamExt as _;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_job_is_journaled_before_it_is_accepted() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 2).await;
    fleet.gate.close();
    let (submitting, id) = (driver.clone(), job(1));
    let submitted = tokio::spawn({
        let id = id.clone();
        async move { submitting.submit(submission(&id, spec(&["a"]))).await }
    });
    sleep(Duration::from_secs(5)).await;
    assert!(!submitted.is_finished());
    assert_eq!(driver.job(&acme(), &id).await.unwrap(), None);
    assert!(fleet.attempts_now().await.is_empty());
    fleet.gate.open();
    assert_eq!(submitted.await.unwrap().unwrap().id, id);
    assert_eq!(&fleet.journal(&id).await[..2], "AQ");
    fleet.succeed_next(1).await;
    assert_eq!(ended(&driver, &id).await.state, JobState::Succeeded);
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_sees_the_end_only_when_it_is_journaled() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 2).await;
    let id = job(1);
    driver.submit(submission(&id, spec(&["a", "b"]))).await.unwrap();
    let attempts = [fleet.attempt().await, fleet.attempt().await];
    fleet.gate.close();
    for attempt in &attempts {
        fleet.succeed(attempt).await;
    }
    sleep(Duration::from_secs(5)).await;
    let seen = driver.job(&acme(), &id).await.unwrap().unwrap();
    assert_eq!((seen.state, seen.tasks.succeeded), (JobState::Running, 2));
    assert!(!fleet.journal(&id).await.contains('E'));
    fleet.gate.open();
    assert_eq!(ended(&driver, &id).await.state, JobState::Succeeded);
    assert!(fleet.journal(&id).await.ends_with('E'));
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_answer_was_lost_is_read_back_and_wakes_its_waiters() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 2).await;
    let id = job(1);
    driver.submit(submission(&id, spec(&["a"]))).await.unwrap();
    let attempt = fleet.attempt().await;
    // The next append has the start and the result, and the second one the end.
    let before = Instant::now();
    fleet.gate.lose_answer(2);
    fleet.succeed(&attempt).await;
    let job = ended(&driver, &id).await;
    assert_eq!(job.state, JobState::Succeeded);
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    assert_eq!(fleet.journal(&id).await, "AQSRE");
    driver.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn events_of_a_job_end_with_its_terminal_event_after_a_restart() {
    let mut fleet = Fleet::new();
    let driver = fleet.driver(None).await;
    fleet.join("n1", 2).await;
    let id = job(1);
    driver.submit(submission(&id, spec(&["a"]))).await.unwrap();
    fleet.succeed_next(1).await;
    ended(&driver, &id).await;
    driver.shutdown().await;
    // A crash between the end of the job and the removal of its key leaves the key.
    let key = format!("sys/active/acme/{id}");
    fleet.backend.registry.put(&key, bytes::Bytes::new(), fabric_backend::registry::Precondition::Any).await.unwrap();
    let driver = fleet.driver(None).await;
    let events = driver.events(&acme(), &id, None).await.unwrap();
    let events: Vec<_> = soon("the terminal event", events.collect()).await;
    assert_eq!(events.last().unwrap().state, JobState::Succeeded);
    driver.shutdown().await;
    assert!(fleet.backend.registry.get(&key).await.unwrap().is_none());
}
