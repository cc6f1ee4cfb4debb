//! A node that reaches no scheduler, is drained, or loses its name.

use crate::support::{Bed, ENDLESS, job};
use fabric_backend::lane::{ATTEMPT_LEASE, ToNode};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::Instant;

#[tokio::test]
async fn a_node_without_a_scheduler_stops_its_attempts_before_their_lease_ends() {
    let bed = Bed::start().await;
    let endless = bed.deploy(ENDLESS).await;
    bed.run(&endless, job(1), &[1], true).await;
    bed.until("the start", Bed::is_running).await;
    tokio::time::pause();
    bed.cut.store(true, Ordering::Relaxed);
    tokio::time::sleep(ATTEMPT_LEASE / 2).await;
    bed.stays("a short loss ends nothing", Bed::is_running).await;
    tokio::time::sleep(ATTEMPT_LEASE / 2 - Duration::from_millis(500)).await;
    bed.until("the end", |bed| !bed.is_running()).await;
}

#[tokio::test]
async fn a_drain_ends_with_the_schedulers_release() {
    let bed = Bed::start().await;
    let endless = bed.deploy(ENDLESS).await;
    bed.run(&endless, job(1), &[1], true).await;
    bed.until("the start", Bed::is_running).await;
    tokio::time::pause();
    let began = Instant::now();
    let release = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(bed.node.is_leaving());
        bed.send(ToNode::Released).await;
    };
    tokio::join!(bed.node.drain(Duration::from_secs(60)), release);
    assert!((20..22).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_drain_waits_for_attempts_at_most_for_its_grace() {
    let bed = Bed::start().await;
    let endless = bed.deploy(ENDLESS).await;
    bed.run(&endless, job(1), &[1], true).await;
    bed.until("the start", Bed::is_running).await;
    tokio::time::pause();
    let began = Instant::now();
    bed.node.drain(Duration::from_secs(30)).await;
    assert!((30..31).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_drain_without_attempts_ends_when_no_scheduler_answers() {
    let bed = Bed::start().await;
    let began = Instant::now();
    bed.node.drain(Duration::from_secs(60)).await;
    assert!((3..4).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_node_whose_name_was_taken_is_not_ready() {
    let bed = Bed::start().await;
    assert!(bed.node.is_ready());
    let _other = bed.backend.lanes.open(bed.node.id()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), bed.node.lane_closed()).await.unwrap();
    assert!(!bed.node.is_ready());
}
