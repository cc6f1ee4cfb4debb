//! NATS goes and comes back knowing nothing: what lasts goes on meanwhile, the rest comes back by itself.

use crate::over::Over;
use fabric_engine::{
    Error,
    lane::{FromNode, Inbox, Outbox, ToNode},
    presence::Arrival,
    registry::{Change, Expect},
};
use fabric_fleet::Fleet;
use fabric_types::{
    id::{JobId, NodeId},
    rest::node::Node,
};
use futures::StreamExt as _;
use std::time::Duration;

pub fn node(name: &str) -> Node {
    Node {
        id: NodeId::new(name).unwrap(),
        state: "ready".to_owned(),
        version: "0".to_owned(),
        engine: "e".to_owned(),
        cpu_slots: 1,
        running: 0,
        queued: 0,
        memory_bytes: 0,
        used_bytes: 0,
        modules: 0,
        labels: std::collections::BTreeMap::new(),
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

const LONG: Duration = Duration::from_secs(600);

/// Sends until it arrives: right after an outage a lane may not be known again yet.
async fn send(fleet: &Fleet, to: &NodeId, n: u64) {
    loop {
        match fleet.engine.lanes.send(to, ToNode::AbortJob { job: JobId::from_parts(n, 0) }).await {
            Ok(()) => return,
            Err(Error::LaneClosed { .. }) => {}
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

async fn receive(inbox: &mut Box<dyn Inbox>, n: u64) {
    // A repeated message is allowed, a strange one isn't.
    loop {
        match inbox.recv().await {
            Some(ToNode::AbortJob { job }) if job == JobId::from_parts(n, 0) => return,
            Some(ToNode::AbortJob { job }) if job < JobId::from_parts(n, 0) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_hears_of_everybody_and_of_who_leaves() {
    let over = Over::memory();
    let here = over.open("f").await;
    here.engine.presence.announce(node("a"), LONG).await.unwrap();
    let newcomer = over.open("f").await;
    let mut arrivals = newcomer.engine.presence.watch();
    assert_eq!(arrivals.next().await, Some(Arrival::Here(node("a"))), "nobody had to wait for it to be repeated");
    here.engine.presence.announce(node("b"), LONG).await.unwrap();
    assert_eq!(arrivals.next().await, Some(Arrival::Here(node("b"))));
    here.engine.presence.leave(&node("a").id).await.unwrap();
    assert_eq!(arrivals.next().await, Some(Arrival::Gone(node("a").id)));
    here.engine.presence.announce(node("c"), Duration::from_millis(300)).await.unwrap();
    assert_eq!(arrivals.next().await, Some(Arrival::Here(node("c"))));
    assert_eq!(arrivals.next().await, Some(Arrival::Gone(node("c").id)), "silence is noticed across processes");
    // Another fabric on the same servers hears nothing of this one.
    assert_eq!(over.open("g").await.engine.presence.list().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_and_started_again_empty_costs_nothing() {
    let mut over = Over::memory();
    let (here, there) = (over.open("f").await, over.open("f").await);
    let n = NodeId::new("n").unwrap();
    let mut inbox = there.engine.lanes.open(&n).await.unwrap();
    let mut outbox: Box<dyn Outbox> = here.engine.lanes.collect().await.unwrap();
    there.engine.presence.announce(node("n"), LONG).await.unwrap();
    let mut arrivals = here.engine.presence.watch();
    assert_eq!(arrivals.next().await, Some(Arrival::Here(node("n"))));
    let mut changes = there.engine.registry.watch("");
    send(&here, &n, 1).await;
    receive(&mut inbox, 1).await;

    over.nats.kill();
    assert!(here.health.until_connected(false).await);
    assert!(there.health.until_connected(false).await);
    // What lasts doesn't need it, leases included.
    here.engine.registry.put("k", "v".into(), Expect::Absent).await.unwrap();
    here.engine.journal.append("s", 0, vec!["r".into()]).await.unwrap();
    let lease = here.engine.leases.acquire("l", "h", LONG).await.unwrap().unwrap();
    here.engine.leases.renew(&lease, LONG).await.unwrap();
    assert_eq!(there.engine.leases.acquire("l", "other", LONG).await.unwrap(), None);
    // What needs it says so, and may be tried again.
    let lost = here.engine.lanes.send(&n, ToNode::AbortJob { job: JobId::from_parts(2, 0) }).await;
    assert!(lost.unwrap_err().is_retryable());
    assert_eq!(here.engine.presence.list().await.unwrap(), [node("n")], "who can't hear calls nobody silent");

    over.nats = over.nats.start_again();
    assert!(here.health.until_connected(true).await);
    assert!(there.health.until_connected(true).await);
    send(&here, &n, 3).await;
    receive(&mut inbox, 3).await;
    let beat = FromNode::Heartbeat { node: n.clone() };
    while there.engine.lanes.report(beat.clone()).await.is_err() {}
    assert_eq!(outbox.recv().await, Some(beat));
    // A change that nobody was told of is found by looking.
    let Some(Change::Put(entry)) = changes.next().await else { panic!() };
    assert_eq!(entry.key, "k");
    // The server knows nothing, yet a newcomer hears of the node, which didn't announce itself again.
    let newcomer = over.open("f").await;
    assert_eq!(newcomer.engine.presence.watch().next().await, Some(Arrival::Here(node("n"))));
    assert!(here.health.stats().reconnects >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_messages_travel_in_pieces() {
    let over = Over::memory();
    let (here, there) = (over.open("f").await, over.open("f").await);
    let n = NodeId::new("n").unwrap();
    let mut outbox = there.engine.lanes.collect().await.unwrap();
    let mut inbox = there.engine.lanes.open(&n).await.unwrap();
    let mut fault = fabric_types::Fault::new(fabric_types::Code::Internal, "x".repeat(5 << 20));
    fault.hint = Some("end".to_owned());
    let outcome = fabric_types::work::Outcome {
        task: fabric_types::job::TaskId { stage: 0, index: 0 },
        attempt: 1,
        result: Err(fault),
    };
    let long = FromNode::Completed {
        node: n.clone(),
        completion: fabric_types::work::Completion {
            tenant: fabric_types::id::TenantId::new("a").unwrap(),
            job: JobId::from_parts(1, 1),
            outcomes: vec![outcome],
        },
    };
    // Several at once, so that their pieces come mixed.
    let reports = (0..4).map(|_| here.engine.lanes.report(long.clone()));
    let receive = async {
        for _ in 0..4 {
            assert_eq!(outbox.recv().await.as_ref(), Some(&long));
        }
    };
    let (sent, ()) = tokio::join!(futures::future::join_all(reports), receive);
    sent.into_iter().for_each(|sent| sent.unwrap());
    send(&here, &n, 1).await;
    self::receive(&mut inbox, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_is_taken_over_by_another_process() {
    let over = Over::memory();
    let (old, new, sender) = (over.open("f").await, over.open("f").await, over.open("f").await);
    let n = NodeId::new("n").unwrap();
    let mut first = old.engine.lanes.open(&n).await.unwrap();
    send(&sender, &n, 1).await;
    receive(&mut first, 1).await;
    let mut second = new.engine.lanes.open(&n).await.unwrap();
    assert_eq!(first.recv().await, None, "the older one is closed");
    send(&sender, &n, 2).await;
    receive(&mut second, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_ends_with_the_engine() {
    let over = Over::memory();
    let Fleet { engine, health } = over.open("f").await;
    let n = NodeId::new("n").unwrap();
    let mut inbox = engine.lanes.open(&n).await.unwrap();
    let mut watch = engine.registry.watch("");
    let mut follow = engine.journal.follow("s", 0);
    let mut arrivals = engine.presence.watch();
    let mut notices = engine.notices.subscribe("");
    drop(engine);
    health.ended().await;
    assert_eq!(watch.next().await, None);
    assert!(follow.next().await.is_none());
    assert_eq!(arrivals.next().await, None);
    assert_eq!(notices.next().await, None);
    assert_eq!(inbox.recv().await, None);
}
