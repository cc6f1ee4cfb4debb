//! Conformance suite for [`Notices`].

use super::{is_quiet, next};
use crate::notice::Notices;
use futures::StreamExt as _;
use std::sync::Arc;

/// Runs the whole suite.
pub async fn all(make: impl AsyncFn() -> Arc<dyn Notices>) {
    let notices = make().await;
    notices.publish("jobs/early").await.unwrap();
    let mut jobs = notices.subscribe("jobs/");
    let mut everything = notices.subscribe("");
    for topic in ["jobs", "nodes/a", "jobs/1", "jobs/2"] {
        notices.publish(topic).await.unwrap();
    }
    assert_eq!(next(&mut jobs).await, "jobs/1");
    assert_eq!(next(&mut jobs).await, "jobs/2");
    assert!(is_quiet(&mut jobs));
    for topic in ["jobs", "nodes/a", "jobs/1", "jobs/2"] {
        assert_eq!(next(&mut everything).await, topic);
    }
    // A slow subscriber misses notices, but receives the later ones.
    for n in 0..10_000 {
        notices.publish(&format!("jobs/flood/{n}")).await.unwrap();
    }
    let mut last = String::new();
    while last != "jobs/flood/9999" {
        last = next(&mut jobs).await;
    }
    drop(notices);
    assert_eq!(jobs.next().await, None, "a subscription ends with its backend");
}
