//! Messages from a sender that reaches NATS but does not belong to the fleet, on every subject: garbage, forgeries, and
//! recorded messages. They are refused and counted, and the fleet continues to work.

use crate::over::{self, Over};
use fabric_backend::{
    lane::{FromNode, ToNode},
    presence::PresenceChange,
    registry::Precondition,
};
use fabric_fleet::{Fleet, Times};
use fabric_store::Store;
use fabric_types::{
    id::{JobId, NodeId},
    job::TaskId,
};
use futures::{FutureExt as _, StreamExt as _};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

const BROADCAST: &[&str] = &["notice", "registry", "journal", "presence"];
const LANES: &[&str] = &["lane.n", "inbox"];
const CLAIMS: &[&str] = &["claim.lane.n", "claim.inbox"];

/// Returns bytes that are not a valid message on any subject: too short, or neither UTF-8 nor with a known magic.
fn garbage(rng: &mut StdRng) -> Vec<u8> {
    let len = match rng.random_range(0..4) {
        0 => rng.random_range(0..8),
        1 => rng.random_range(8..64),
        _ => rng.random_range(64..5000),
    };
    let mut bytes: Vec<u8> = (0..len).map(|_| rng.random()).collect();
    if let Some(last) = bytes.last_mut() {
        *last = 0xff;
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_bytes_are_ignored_and_counted() {
    let over = Over::memory();
    let (fleet, other) = (over.open("f").await, over.open("f").await);
    let backend = &fleet.backend;
    let node = NodeId::new("n").unwrap();
    let mut inbox = backend.lanes.open(&node).await.unwrap();
    let mut outbox = backend.lanes.open_inbox().await.unwrap();
    let mut notices = backend.notices.subscribe("");
    let mut changes = backend.registry.watch("");
    let mut arrivals = backend.presence.watch();
    let mut records = backend.journal.follow("s", 0);
    let raw = async_nats::connect(over.nats.url()).await.unwrap();

    let mut answers = raw.subscribe("answers").await.unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let mut bad = 0;
    for _ in 0..200 {
        for subject in BROADCAST.iter().chain(CLAIMS) {
            raw.publish(format!("f.{subject}"), garbage(&mut rng).into()).await.unwrap();
            bad += 1;
        }
        for subject in LANES {
            // One without a reply subject, one with.
            raw.publish(format!("f.{subject}"), garbage(&mut rng).into()).await.unwrap();
            raw.publish_with_reply(format!("f.{subject}"), "answers", garbage(&mut rng).into()).await.unwrap();
            bad += 2;
        }
    }
    // Lane pieces of an old version with an invalid body, and the first of 65,000 pieces. They are not sealed.
    let piece = |index: u32, pieces: u32, body: &[u8]| {
        let mut bytes = b"FL\x01".to_vec();
        bytes.extend(1u64.to_be_bytes());
        bytes.extend(u64::from(pieces).to_be_bytes());
        for number in [index, pieces, u32::try_from(body.len()).unwrap() * pieces] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(body);
        bytes
    };
    for subject in LANES {
        for piece in [piece(0, 1, &[0xff; 99]), piece(0, 65_000, &[1; 900])] {
            raw.publish_with_reply(format!("f.{subject}"), "answers", piece.into()).await.unwrap();
            bad += 1;
        }
    }
    // The server has received all of it before the messages below.
    raw.flush().await.unwrap();

    other.backend.notices.publish("topic").await.unwrap();
    assert_eq!(notices.next().await.unwrap(), "topic");
    other.backend.registry.put("k", "v".into(), Precondition::Absent).await.unwrap();
    changes.next().await.unwrap();
    other.backend.journal.append("s", 0, vec!["r".into()]).await.unwrap();
    records.next().await.unwrap().unwrap();
    let facts = crate::outage::node("m");
    other.backend.presence.announce(facts.clone(), std::time::Duration::from_secs(60)).await.unwrap();
    assert_eq!(arrivals.next().await, Some(PresenceChange::Present(facts)));
    let message = ToNode::AbortJob { job: JobId::from_parts(1, 1) };
    other.backend.lanes.send(&node, message.clone()).await.unwrap();
    assert_eq!(inbox.recv().await, Some(message));
    let beat = FromNode::Heartbeat { node };
    other.backend.lanes.report(beat.clone()).await.unwrap();
    assert_eq!(outbox.recv().await, Some(beat));
    // Claims are read before messages, so they were read too.
    assert_eq!((fleet.health.stats().refused, fleet.health.stats().ignored), (bad, 0));
    raw.flush().await.unwrap();
    assert!(answers.next().now_or_never().is_none(), "a stranger is not answered");
}

/// Sends one message of each kind that the test records: presence, lane, inbox and notice.
async fn traffic(from: &Fleet, n: u128) -> (ToNode, FromNode) {
    let (node, backend) = (NodeId::new("n").unwrap(), &from.backend);
    backend.presence.announce(crate::outage::node("m"), std::time::Duration::from_secs(60)).await.unwrap();
    let message = ToNode::AbortJob { job: JobId::from_parts(1, n) };
    backend.lanes.send(&node, message.clone()).await.unwrap();
    let beat =
        FromNode::HeldAttempts { node, attempts: vec![(JobId::from_parts(1, n), TaskId { stage: 0, index: 0 }, 1)] };
    backend.lanes.report(beat.clone()).await.unwrap();
    backend.notices.publish(&format!("topic {n}")).await.unwrap();
    (message, beat)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_changes_nothing_wherever_and_whenever_it_is_sent_again() {
    let over = Over::memory();
    let raw = async_nats::connect(over.nats.url()).await.unwrap();
    let mut tap = raw.subscribe("f.>").await.unwrap();
    raw.flush().await.unwrap();
    let (fleet, other) = (over.open("f").await, over.open("f").await);
    let node = NodeId::new("n").unwrap();
    let mut inbox = fleet.backend.lanes.open(&node).await.unwrap();
    let mut outbox = fleet.backend.lanes.open_inbox().await.unwrap();
    let mut arrivals = fleet.backend.presence.watch();
    let mut notices = fleet.backend.notices.subscribe("");
    let (message, beat) = traffic(&other, 1).await;
    assert_eq!(inbox.recv().await, Some(message));
    assert_eq!(outbox.recv().await, Some(beat));
    assert_eq!(notices.next().await.unwrap(), "topic 1");
    assert!(matches!(arrivals.next().await, Some(PresenceChange::Present(_))));
    let gone = crate::outage::node("m").id;
    other.backend.presence.leave(&gone).await.unwrap();
    assert_eq!(arrivals.next().await, Some(PresenceChange::Absent(gone)));

    raw.publish("f.end", "".into()).await.unwrap();
    let mut recorded = Vec::new();
    while let Some(message) = tap.next().await {
        if message.subject.as_str() == "f.end" {
            break;
        }
        recorded.push((message.subject, message.payload));
    }
    let subjects = ["f.presence", "f.lane.n", "f.inbox", "f.notice", "f.claim.inbox"];
    assert!(subjects.iter().all(|s| recorded.iter().any(|(subject, _)| subject.as_str() == *s)), "{recorded:?}");
    let again = async || {
        for (subject, payload) in &recorded {
            raw.publish_with_reply(subject.clone(), "answers", payload.clone()).await.unwrap();
            // On a subject that it was not sealed for.
            for other in subjects {
                if *other != **subject {
                    raw.publish_with_reply(other, "answers", payload.clone()).await.unwrap();
                }
            }
        }
        raw.flush().await.unwrap();
    };
    again().await;
    again().await;
    let (message, beat) = traffic(&other, 2).await;
    assert_eq!((inbox.recv().await, outbox.recv().await), (Some(message), Some(beat)));
    assert_eq!(notices.next().await.unwrap(), "topic 2");
    // The node left and arrives now, without an event in between.
    assert!(matches!(arrivals.next().await, Some(PresenceChange::Present(_))));
    assert!(fleet.health.stats().refused >= 2 * recorded.len() as u64 - 10, "{:?}", fleet.health.stats());

    // To a process that never received messages of the senders, which have ended.
    drop((inbox, outbox, arrivals, notices, fleet));
    other.backend.presence.leave(&NodeId::new("m").unwrap()).await.unwrap();
    let ended = other.health.clone();
    drop(other);
    ended.ended().await;
    let (late, third) = (over.open("f").await, over.open("f").await);
    let mut inbox = late.backend.lanes.open(&node).await.unwrap();
    let mut outbox = late.backend.lanes.open_inbox().await.unwrap();
    let mut notices = late.backend.notices.subscribe("");
    again().await;
    let (message, beat) = traffic(&third, 3).await;
    assert_eq!((inbox.recv().await, outbox.recv().await), (Some(message), Some(beat)));
    assert_eq!(notices.next().await.unwrap(), "topic 3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_another_key_is_none_of_the_fleet() {
    let over = Over::memory();
    let (fleet, other) = (over.open("f").await, over.open("f").await);
    let node = NodeId::new("n").unwrap();
    let mut inbox = fleet.backend.lanes.open(&node).await.unwrap();
    let mut outbox = fleet.backend.lanes.open_inbox().await.unwrap();
    let mut notices = fleet.backend.notices.subscribe("");
    let mut arrivals = fleet.backend.presence.watch();
    // It runs the same release and reaches the same NATS, but has another store.
    let mut options = over::options(&Store::memory(), &[&over.nats], "f");
    options.times = Times { nats_request: std::time::Duration::from_millis(100), ..Times::default() };
    let stranger = Fleet::open(options).await.unwrap();
    // It claims the lanes.
    let ends = (stranger.backend.lanes.open(&node).await.unwrap(), stranger.backend.lanes.open_inbox().await.unwrap());
    // Otherwise its own ends would answer it.
    drop(ends);
    stranger.backend.presence.announce(crate::outage::node("x"), std::time::Duration::from_secs(60)).await.unwrap();
    stranger.backend.notices.publish("from a stranger").await.unwrap();
    let job = JobId::from_parts(9, 9);
    assert!(stranger.backend.lanes.send(&node, ToNode::AbortJob { job: job.clone() }).await.is_err());
    assert!(stranger.backend.lanes.report(FromNode::Heartbeat { node: node.clone() }).await.is_err());

    let (message, beat) = traffic(&other, 1).await;
    assert_eq!((inbox.recv().await, outbox.recv().await), (Some(message), Some(beat)));
    assert_eq!(notices.next().await.unwrap(), "topic 1");
    assert!(matches!(arrivals.next().await, Some(PresenceChange::Present(facts)) if facts.id.as_str() == "m"));
    assert!(fleet.health.stats().refused > 0 && stranger.health.stats().refused > 0);
    assert!(stranger.backend.presence.list().await.unwrap().iter().all(|facts| facts.id.as_str() == "x"));
}
