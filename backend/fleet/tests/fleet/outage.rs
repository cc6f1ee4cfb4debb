//! NATS fails and restarts without state: durable backends work during the outage, the others recover on their own.

use crate::over::Over;
use fabric_backend::{
    Error,
    lane::{FromNode, NodeInbox, SchedulerInbox, ToNode},
    presence::PresenceChange,
    registry::{Change, Precondition},
};
use fabric_fleet::Fleet;
use fabric_types::{
    id::{JobId, NodeId},
    node::NodeFacts,
};
use futures::StreamExt as _;
use std::time::Duration;

pub fn node(name: &str) -> NodeFacts {
    fabric_backend::conformance::presence::node(name, 0)
}

const LONG: Duration = Duration::from_secs(600);

/// Sends until it succeeds, since the servers may not know a lane right after an outage.
async fn send(fleet: &Fleet, to: &NodeId, n: u64) {
    loop {
        match fleet.backend.lanes.send(to, ToNode::AbortJob { job: JobId::from_parts(n, 0) }).await {
            Ok(()) => return,
            Err(Error::LaneClosed { .. }) => {}
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

async fn receive(inbox: &mut Box<dyn NodeInbox>, n: u64) {
    // Repeated messages are allowed, unknown ones are not.
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
    here.backend.presence.announce(node("a"), LONG).await.unwrap();
    let newcomer = over.open("f").await;
    let mut arrivals = newcomer.backend.presence.watch();
    assert_eq!(
        arrivals.next().await,
        Some(PresenceChange::Present(node("a"))),
        "nobody had to wait for it to be repeated"
    );
    here.backend.presence.announce(node("b"), LONG).await.unwrap();
    assert_eq!(arrivals.next().await, Some(PresenceChange::Present(node("b"))));
    here.backend.presence.leave(&node("a").id).await.unwrap();
    assert_eq!(arrivals.next().await, Some(PresenceChange::Absent(node("a").id)));
    here.backend.presence.announce(node("c"), Duration::from_millis(300)).await.unwrap();
    assert_eq!(arrivals.next().await, Some(PresenceChange::Present(node("c"))));
    assert_eq!(
        arrivals.next().await,
        Some(PresenceChange::Absent(node("c").id)),
        "silence is noticed across processes"
    );
    // Another fabric on the same servers receives nothing of this one.
    assert_eq!(over.open("g").await.backend.presence.list().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_and_started_again_empty_costs_nothing() {
    let mut over = Over::memory();
    let (here, there) = (over.open("f").await, over.open("f").await);
    let n = NodeId::new("n").unwrap();
    let mut inbox = there.backend.lanes.open(&n).await.unwrap();
    let mut outbox: Box<dyn SchedulerInbox> = here.backend.lanes.open_inbox().await.unwrap();
    there.backend.presence.announce(node("n"), LONG).await.unwrap();
    let mut arrivals = here.backend.presence.watch();
    assert_eq!(arrivals.next().await, Some(PresenceChange::Present(node("n"))));
    let mut changes = there.backend.registry.watch("");
    send(&here, &n, 1).await;
    receive(&mut inbox, 1).await;

    over.nats.kill();
    assert!(here.health.until_connected(false).await);
    assert!(there.health.until_connected(false).await);
    // The durable backends do not need NATS, including leases.
    here.backend.registry.put("k", "v".into(), Precondition::Absent).await.unwrap();
    here.backend.journal.append("s", 0, vec!["r".into()]).await.unwrap();
    let lease = here.backend.leases.acquire("l", "h", LONG).await.unwrap().unwrap();
    here.backend.leases.renew(&lease, LONG).await.unwrap();
    assert_eq!(there.backend.leases.acquire("l", "other", LONG).await.unwrap(), None);
    // Backends that need NATS return a retryable error.
    let lost = here.backend.lanes.send(&n, ToNode::AbortJob { job: JobId::from_parts(2, 0) }).await;
    assert!(lost.unwrap_err().is_retryable());
    assert_eq!(here.backend.presence.list().await.unwrap(), [node("n")], "who can't hear calls nobody silent");

    over.nats = over.nats.start_again();
    assert!(here.health.until_connected(true).await);
    assert!(there.health.until_connected(true).await);
    send(&here, &n, 3).await;
    receive(&mut inbox, 3).await;
    let beat = FromNode::Heartbeat { node: n.clone() };
    while there.backend.lanes.report(beat.clone()).await.is_err() {}
    assert_eq!(outbox.recv().await, Some(beat));
    // A change without a notice is found by polling.
    let Some(Change::Put(entry)) = changes.next().await else { panic!() };
    assert_eq!(entry.key, "k");
    // The server has no state, yet a new process learns of the node, which did not announce itself again.
    let newcomer = over.open("f").await;
    assert_eq!(newcomer.backend.presence.watch().next().await, Some(PresenceChange::Present(node("n"))));
    assert!(here.health.stats().reconnects >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_messages_travel_in_pieces() {
    let over = Over::memory();
    let (here, there) = (over.open("f").await, over.open("f").await);
    let n = NodeId::new("n").unwrap();
    let mut outbox = there.backend.lanes.open_inbox().await.unwrap();
    let mut inbox = there.backend.lanes.open(&n).await.unwrap();
    let mut fault = fabric_types::Fault::new(fabric_types::Code::Internal, "x".repeat(5 << 20));
    fault.hint = Some("end".to_owned());
    let outcome = fabric_types::work::AttemptOutcome {
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
    // Several at once, so that their pieces interleave.
    let reports = (0..4).map(|_| here.backend.lanes.report(long.clone()));
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
    let mut first = old.backend.lanes.open(&n).await.unwrap();
    send(&sender, &n, 1).await;
    receive(&mut first, 1).await;
    let mut second = new.backend.lanes.open(&n).await.unwrap();
    assert_eq!(first.recv().await, None, "the older one is closed");
    send(&sender, &n, 2).await;
    receive(&mut second, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_ends_with_the_backend() {
    let over = Over::memory();
    let Fleet { backend, health } = over.open("f").await;
    let n = NodeId::new("n").unwrap();
    let mut inbox = backend.lanes.open(&n).await.unwrap();
    let mut watch = backend.registry.watch("");
    let mut follow = backend.journal.follow("s", 0);
    let mut arrivals = backend.presence.watch();
    let mut notices = backend.notices.subscribe("");
    drop(backend);
    health.ended().await;
    assert_eq!(watch.next().await, None);
    assert!(follow.next().await.is_none());
    assert_eq!(arrivals.next().await, None);
    assert_eq!(notices.next().await, None);
    assert_eq!(inbox.recv().await, None);
}
