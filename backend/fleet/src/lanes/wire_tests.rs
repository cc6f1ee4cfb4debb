//! Tests of the wire format: round trips, hostile input, and the bytes of version 4.

use super::*;
use fabric_types::{id::NodeId, work::Completion};

#[test]
fn pieces_come_back_and_hostile_ones_do_not() {
    let piece = Piece { id: (1, 2), index: 0, pieces: 1, total: 4, body: Bytes::from_static(b"body") };
    let bytes = piece.encode();
    assert_eq!(bytes.len(), HEADER + 4);
    assert_eq!(Piece::decode(bytes.clone()), Some(piece.clone()));
    for cut in 0..bytes.len() {
        assert_eq!(Piece::decode(bytes.slice(..cut)), None, "{cut}");
    }
    for bad in [
        Piece { index: 1, ..piece.clone() },
        Piece { pieces: 0, ..piece.clone() },
        Piece { pieces: MOST_PIECES + 1, ..piece.clone() },
        Piece { total: 3, ..piece.clone() },
        Piece { total: 5, ..piece.clone() },
        Piece { total: u32::MAX, pieces: 2, ..piece },
    ] {
        assert_eq!(Piece::decode(bad.encode()), None, "{bad:?}");
    }
}

fn batch() -> ToNode {
    let json = serde_json::json!({
        "tenant": "a", "function": "f", "version": 1, "module": "00".repeat(32), "module_bytes": 9,
        "entry": { "kind": "task", "handler": false, "mapper": true, "reducer": false },
        "manifest": { "function": { "name": "f" }, "params": { "type": "object" } }, "created_ms": 0,
    });
    let task = serde_json::json!({
        "task": { "stage": 0, "index": 7 }, "attempt": 2, "key": "01".repeat(32),
        "input": { "Partition": { "Slice": { "path": "p", "etag": "e", "offset": 1, "len": 2 } } },
    });
    ToNode::Run(Arc::new(Batch {
        tenant: TenantId::new("a").unwrap(),
        job: JobId::from_parts(1, 2),
        deployment: Arc::new(serde_json::from_value(json).unwrap()),
        params: "{}".into(),
        stage: serde_json::from_value("map".into()).unwrap(),
        buckets: 3,
        cache: true,
        fuel: Some(9),
        tasks: vec![serde_json::from_value(task).unwrap()],
    }))
}

fn completion() -> FromNode {
    use fabric_types::{Code, Fault, work::AttemptOutcome};
    let task = TaskId { stage: 1, index: 2 };
    let done = serde_json::json!({
        "output": { "key": "02".repeat(32), "digest": "03".repeat(32), "len": 5 },
        "cost": { "fuel": 1, "guest_us": 2, "gpu_us": 7, "bytes_in": 3, "bytes_out": 5 }, "cached": false, "differs": "04".repeat(32),
    });
    let mut fault = Fault::new(Code::OutOfFuel, "spent".to_owned());
    fault.hint = Some("more".to_owned());
    FromNode::Completed {
        node: NodeId::new("n").unwrap(),
        completion: Completion {
            tenant: TenantId::new("a").unwrap(),
            job: JobId::from_parts(1, 2),
            outcomes: vec![
                AttemptOutcome { task, attempt: 1, result: Ok(serde_json::from_value(done).unwrap()) },
                AttemptOutcome { task, attempt: 2, result: Err(fault) },
            ],
        },
    }
}

fn comes_back<T: Message + PartialEq + std::fmt::Debug>(message: &T) -> Bytes {
    let bytes = message.encode().unwrap();
    assert_eq!(T::decode(&bytes).as_ref(), Some(message));
    for cut in 0..bytes.len() {
        assert_ne!(T::decode(&bytes[..cut]).as_ref(), Some(message));
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(T::decode(&longer), None, "what follows a message is no part of it");
    bytes
}

#[test]
fn messages_come_back() {
    let (job, task) = (JobId::from_parts(1, 2), TaskId { stage: 1, index: 2 });
    comes_back(&ToNode::Abort { job: job.clone(), task, attempt: 3 });
    comes_back(&ToNode::AbortJob { job: job.clone() });
    comes_back(&ToNode::Released);
    let attempts = vec![(job.clone(), task, 3), (job, TaskId { stage: 0, index: u32::MAX }, u32::MAX)];
    comes_back(&FromNode::HeldAttempts { node: NodeId::new("n").unwrap(), attempts });
    comes_back(&FromNode::HeldAttempts { node: NodeId::new("n").unwrap(), attempts: Vec::new() });
    comes_back(&batch());
    let node = NodeId::new("n").unwrap();
    comes_back(&FromNode::Heartbeat { node });
    comes_back(&completion());
}

#[test]
fn hostile_lists_of_attempts_are_no_message() {
    let job = JobId::from_parts(1, 2);
    let holds = FromNode::HeldAttempts {
        node: NodeId::new("n").unwrap(),
        attempts: vec![(job, TaskId { stage: 1, index: 2 }, 3)],
    };
    let good = holds.encode().unwrap().to_vec();
    // The variant, the length and letter of the name, then the number of attempts.
    assert_eq!(good[..4], [2, 1, b'n', 1]);
    for many in [vec![2], vec![0xff, 0xff, 0xff, 0xff, 0x0f], vec![0xff; 10]] {
        let hostile = [&good[..3], &many, &good[4..]].concat();
        assert_eq!(FromNode::decode(&hostile), None, "{many:?}");
    }
    for (at, byte) in [(0, 9), (2, b'N'), (4, 3), (5, b'!')] {
        let mut hostile = good.clone();
        hostile[at] = byte;
        assert_eq!(FromNode::decode(&hostile), None, "{at}");
    }
}

/// If these digests change, other releases can no longer decode the messages: increase the version in `MAGIC` and add a
/// changelog entry.
#[test]
fn the_bytes_of_version_4_are_kept() {
    let digest = |bytes: Bytes| blake3::hash(&bytes).to_hex()[..16].to_owned();
    assert_eq!(MAGIC, b"FL\x04");
    let ToNode::Run(batch) = batch() else { panic!() };
    // The deployment is JSON and may gain fields. The other fields are fixed.
    let (tenant, job) = (batch.tenant.clone(), batch.job.clone());
    let (params, stage, tasks) = (Arc::clone(&batch.params), batch.stage, batch.tasks.clone());
    let run = ToNodeWire::Run {
        tenant,
        job,
        deployment: vec![1, 2],
        params,
        stage,
        buckets: 3,
        cache: true,
        fuel: Some(9),
        tasks,
    };
    assert_eq!(digest(pack(&run).unwrap()), "6441f8040072caeb");
    assert_eq!(digest(completion().encode().unwrap()), "6a765f9bf7af8416");
}
