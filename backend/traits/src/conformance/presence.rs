//! Conformance suite for [`Presence`]. Run it with paused time if the backend is in-process.

use super::next;
use crate::presence::{Arrival, Presence};
use fabric_types::{id::NodeId, rest::node::Node};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const TTL: Duration = Duration::from_secs(2);

/// Runs the whole suite.
pub async fn all(make: impl AsyncFn() -> Arc<dyn Presence>) {
    lists_who_is_here(&*make().await).await;
    watches(&*make().await).await;
}

fn node(name: &str, running: u32) -> Node {
    Node {
        id: NodeId::new(name).unwrap(),
        state: "ready".to_owned(),
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
    assert_eq!(next(&mut watch).await, Arrival::Here(node("a", 0)));
    presence.announce(node("b", 0), TTL * 4).await.unwrap();
    assert_eq!(next(&mut watch).await, Arrival::Here(node("b", 0)));
    presence.announce(node("b", 1), TTL * 4).await.unwrap();
    assert_eq!(next(&mut watch).await, Arrival::Here(node("b", 1)));
    assert_eq!(next(&mut watch).await, Arrival::Gone(NodeId::new("a").unwrap()), "silence is noticed by itself");
    presence.leave(&NodeId::new("b").unwrap()).await.unwrap();
    assert_eq!(next(&mut watch).await, Arrival::Gone(NodeId::new("b").unwrap()));
}
