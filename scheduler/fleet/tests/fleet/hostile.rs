//! Bytes that nobody of ours sends, on every subject: ignored and counted, and everything goes on.

use crate::over::Over;
use fabric_engine::{
    lane::{FromNode, ToNode},
    presence::Arrival,
    registry::Expect,
};
use fabric_types::id::{JobId, NodeId};
use futures::StreamExt as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

const BROADCAST: &[&str] = &["notice", "registry", "journal", "presence"];
const LANES: &[&str] = &["lane.n", "inbox"];
const CLAIMS: &[&str] = &["claim.lane.n", "claim.inbox"];

/// Not a word of ours on any subject: too short for one, or neither UTF-8 nor our magic.
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
    let engine = &fleet.engine;
    let node = NodeId::new("n").unwrap();
    let mut inbox = engine.lanes.open(&node).await.unwrap();
    let mut outbox = engine.lanes.collect().await.unwrap();
    let mut notices = engine.notices.subscribe("");
    let mut changes = engine.registry.watch("");
    let mut arrivals = engine.presence.watch();
    let mut records = engine.journal.follow("s", 0);
    let raw = async_nats::connect(over.nats.url()).await.unwrap();

    let mut rng = StdRng::seed_from_u64(1);
    let mut bad = 0;
    for _ in 0..200 {
        for subject in BROADCAST.iter().chain(CLAIMS) {
            raw.publish(format!("f.{subject}"), garbage(&mut rng).into()).await.unwrap();
            bad += 1;
        }
        for subject in LANES {
            // One without a way to answer, one with.
            raw.publish(format!("f.{subject}"), garbage(&mut rng).into()).await.unwrap();
            let refused = raw.request(format!("f.{subject}"), garbage(&mut rng).into()).await.unwrap();
            assert_eq!(&refused.payload[..], b"R");
            bad += 2;
        }
    }
    // Well formed outside, nonsense inside; and the first of sixty-four thousand pieces that never come.
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
        let refused = raw.request(format!("f.{subject}"), piece(0, 1, &[0xff; 99]).into()).await.unwrap();
        assert_eq!(&refused.payload[..], b"R");
        bad += 1;
        let kept = raw.request(format!("f.{subject}"), piece(0, 65_000, &[1; 900]).into()).await.unwrap();
        assert_eq!(&kept.payload[..], b"K");
    }
    // The server has all of it before what follows.
    raw.flush().await.unwrap();

    other.engine.notices.publish("topic").await.unwrap();
    assert_eq!(notices.next().await.unwrap(), "topic");
    other.engine.registry.put("k", "v".into(), Expect::Absent).await.unwrap();
    changes.next().await.unwrap();
    other.engine.journal.append("s", 0, vec!["r".into()]).await.unwrap();
    records.next().await.unwrap().unwrap();
    let facts = crate::outage::node("m");
    other.engine.presence.announce(facts.clone(), std::time::Duration::from_secs(60)).await.unwrap();
    assert_eq!(arrivals.next().await, Some(Arrival::Here(facts)));
    let message = ToNode::AbortJob { job: JobId::from_parts(1, 1) };
    other.engine.lanes.send(&node, message.clone()).await.unwrap();
    assert_eq!(inbox.recv().await, Some(message));
    let beat = FromNode::Heartbeat { node };
    other.engine.lanes.report(beat.clone()).await.unwrap();
    assert_eq!(outbox.recv().await, Some(beat));
    // Claims are read before messages, so those were read too.
    assert_eq!(fleet.health.stats().ignored, bad);
}
