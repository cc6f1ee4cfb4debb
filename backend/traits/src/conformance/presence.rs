//! Conformance suite for [`Presence`]. Run it with paused time if the backend is in-process.

use super::next;
use crate::presence::{Presence, PresenceChange};
use fabric_types::{id::NodeId, node::NodeFacts};
use futures::StreamExt as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const TTL: Duration = Duration::from_secs(2);

/// Runs the whole suite.
pub async fn all(make: impl AsyncFn() -> Arc<dyn Presence>) {
    lists_who_is_here(&*make().await).await;
    watches(&*make().await).await;
    shows_the_latest_holder_of_a_name(&*make().await).await;
    shows_a_slow_watcher_the_final_state_and_then_ends(make().await).await;
}

/// Returns the facts of a node, for tests.
pub fn node(name: &str, running: u32) -> NodeFacts {
    NodeFacts {
        id: NodeId::new(name).unwrap(),
        version: "0".to_owned(),
        engine: "e".to_owned(),
        cpu_slots: 1,
        running,
        queued: 0,
        memory_bytes: 0,
        used_bytes: 0,
        modules: 0,
        labels: BTreeMap::new(),
        url: None,
        warm: Vec::new(),
        gpus: 0,
        gpu: None,
        gpu_absent: None,
        gpu_model: None,
        speed: 1.0,
        accepts: Vec::new(),
        leaving: false,
        started_ms: 0,
        epoch: 0,
        seen_ms: 0,
    }
}

async fn lists_who_is_here(presence: &dyn Presence) {
    presence.announce(node("b", 0), TTL).await.unwrap();
    presence.announce(node("a", 0), TTL * 3).await.unwrap();
    presence.announce(node("b", 1), TTL).await.unwrap();
    assert_eq!(presence.list().await.unwrap(), [node("a", 0), node("b", 1)]);
    tokio::time::sleep(TTL * 2).await;
    assert_eq!(presence.list().await.unwrap(), [node("a", 0)], "b fell silent");
    presence.leave(&NodeId::new("a").unwrap()).await.unwrap();
    presence.leave(&NodeId::new("a").unwrap()).await.unwrap();
    assert_eq!(presence.list().await.unwrap(), []);
}

async fn watches(presence: &dyn Presence) {
    presence.announce(node("a", 0), TTL).await.unwrap();
    let mut watch = presence.watch();
    assert_eq!(next(&mut watch).await, PresenceChange::Present(node("a", 0)));
    presence.announce(node("b", 0), TTL * 4).await.unwrap();
    assert_eq!(next(&mut watch).await, PresenceChange::Present(node("b", 0)));
    presence.announce(node("b", 1), TTL * 4).await.unwrap();
    assert_eq!(next(&mut watch).await, PresenceChange::Present(node("b", 1)));
    assert_eq!(
        next(&mut watch).await,
        PresenceChange::Absent(NodeId::new("a").unwrap()),
        "silence is noticed by itself"
    );
    presence.leave(&NodeId::new("b").unwrap()).await.unwrap();
    assert_eq!(next(&mut watch).await, PresenceChange::Absent(NodeId::new("b").unwrap()));
}

async fn shows_the_latest_holder_of_a_name(presence: &dyn Presence) {
    let epoch = |epoch| NodeFacts { epoch, ..node("a", 0) };
    presence.announce(epoch(2), TTL * 4).await.unwrap();
    presence.announce(epoch(1), TTL * 4).await.unwrap();
    assert_eq!(presence.list().await.unwrap(), [epoch(2)], "an earlier holder displaces nobody");
    presence.announce(epoch(3), TTL * 4).await.unwrap();
    assert_eq!(presence.list().await.unwrap(), [epoch(3)]);
}

async fn shows_a_slow_watcher_the_final_state_and_then_ends(presence: Arc<dyn Presence>) {
    let mut slow = presence.watch();
    for running in 0..50 {
        presence.announce(node("a", running), TTL * 4).await.unwrap();
        presence.announce(node("b", running), TTL * 4).await.unwrap();
    }
    presence.leave(&NodeId::new("b").unwrap()).await.unwrap();
    assert_eq!(next(&mut slow).await, PresenceChange::Present(node("a", 49)));
    drop(presence);
    assert_eq!(slow.next().await, None, "a watch ends with its backend");
}
