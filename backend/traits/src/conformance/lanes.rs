//! Conformance suite for [`Lanes`]. A networked backend cannot detect a full lane immediately; its tests pass a
//! non-zero `timeout`.

use crate::{
    Error,
    lane::{FromNode, LANE_DEPTH, Lanes, ToNode},
};
use fabric_types::{
    id::{JobId, NodeId},
    job::TaskId,
};
use futures::FutureExt as _;
use std::{sync::Arc, time::Duration};

/// Runs the whole suite with a timeout of zero.
pub async fn all(make: impl AsyncFn() -> Arc<dyn Lanes>) {
    all_within(make, Duration::ZERO).await;
}

/// Runs the whole suite. A send that does not return within `timeout` counts as blocked.
pub async fn all_within(make: impl AsyncFn() -> Arc<dyn Lanes>, timeout: Duration) {
    carries_in_order(&*make().await).await;
    is_bounded(&*make().await, timeout).await;
    is_replaced(&*make().await).await;
    loses_nothing_to_a_cancelled_receive(&*make().await).await;
}

fn message(n: usize) -> ToNode {
    ToNode::AbortJob { job: JobId::from_parts(n as u64, 0) }
}

fn name(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

async fn carries_in_order(lanes: &dyn Lanes) {
    assert!(matches!(lanes.send(&name("n"), message(0)).await, Err(Error::LaneClosed { .. })));
    let mut inbox = lanes.open(&name("n")).await.unwrap();
    let mut other = lanes.open(&name("m")).await.unwrap();
    for n in 0..10 {
        lanes.send(&name("n"), message(n)).await.unwrap();
    }
    lanes.send(&name("m"), ToNode::Released).await.unwrap();
    for n in 0..10 {
        assert_eq!(inbox.recv().await, Some(message(n)));
    }
    assert_eq!(other.recv().await, Some(ToNode::Released));
    drop(inbox);
    assert!(matches!(lanes.send(&name("n"), message(0)).await, Err(Error::LaneClosed { .. })));

    let beat = |n: &str| FromNode::Heartbeat { node: name(n) };
    assert!(matches!(lanes.report(beat("n")).await, Err(Error::LaneClosed { .. })));
    let mut outbox = lanes.open_inbox().await.unwrap();
    lanes.report(beat("n")).await.unwrap();
    lanes.report(beat("m")).await.unwrap();
    assert_eq!(outbox.recv().await, Some(beat("n")));
    assert_eq!(outbox.recv().await, Some(beat("m")));
    let held = (JobId::from_parts(1, 2), TaskId { stage: 1, index: 2 }, 3);
    let holds = FromNode::HeldAttempts { node: name("n"), attempts: vec![held] };
    lanes.report(holds.clone()).await.unwrap();
    assert_eq!(outbox.recv().await, Some(holds));
}

async fn is_bounded(lanes: &dyn Lanes, timeout: Duration) {
    let node = name("n");
    let mut inbox = lanes.open(&node).await.unwrap();
    let mut sent = 0;
    while tokio::time::timeout(timeout, lanes.send(&node, message(sent))).await.is_ok() {
        sent += 1;
        assert!(sent <= 4 * LANE_DEPTH, "a lane that nobody empties holds senders back");
    }
    let (first, waited) = tokio::join!(inbox.recv(), lanes.send(&node, message(sent)));
    waited.unwrap();
    assert_eq!(first, Some(message(0)), "room lets the sender go on");
}

async fn is_replaced(lanes: &dyn Lanes) {
    let mut old = lanes.open(&name("n")).await.unwrap();
    let mut new = lanes.open(&name("n")).await.unwrap();
    assert_eq!(old.recv().await, None, "the older one is closed");
    lanes.send(&name("n"), message(1)).await.unwrap();
    assert_eq!(new.recv().await, Some(message(1)));
    let mut old = lanes.open_inbox().await.unwrap();
    let mut new = lanes.open_inbox().await.unwrap();
    assert_eq!(old.recv().await, None);
    lanes.report(FromNode::Heartbeat { node: name("n") }).await.unwrap();
    assert!(new.recv().await.is_some());
}

async fn loses_nothing_to_a_cancelled_receive(lanes: &dyn Lanes) {
    let mut inbox = lanes.open(&name("n")).await.unwrap();
    for n in 0..20 {
        assert!(inbox.recv().now_or_never().is_none());
        lanes.send(&name("n"), message(n)).await.unwrap();
        assert_eq!(inbox.recv().await, Some(message(n)));
    }
}
