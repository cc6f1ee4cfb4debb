//! The embedded backend passes every conformance suite, in memory and over a file, and keeps acknowledged writes.

use fabric_backend::{
    Error,
    conformance::{
        self,
        results::{key, record},
    },
    registry::Precondition,
    results::CommitOutcome,
};
use fabric_embedded::Embedded;
use fabric_types::id::TenantId;
use std::{
    io::{BufRead as _, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

macro_rules! suite {
    ($name:ident, $part:ident) => {
        mod $name {
            use super::*;
            #[tokio::test(start_paused = true)]
            async fn in_memory() {
                conformance::$name::all(async || Embedded::in_memory().unwrap().$part).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_a_file() {
                let dir = tempfile::tempdir().unwrap();
                let count = std::sync::atomic::AtomicU32::new(0);
                conformance::$name::all(async || {
                    let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    Embedded::open(&dir.path().join(format!("{n}.db"))).unwrap().$part
                })
                .await;
            }
        }
    };
}
suite!(registry, registry);
suite!(journal, journal);
suite!(results, results);
suite!(lanes, lanes);
suite!(notices, notices);

#[tokio::test(start_paused = true)]
async fn leases() {
    conformance::leases::all(async || Embedded::in_memory().unwrap().leases).await;
}

#[tokio::test(start_paused = true)]
async fn presence() {
    conformance::presence::all(async || Embedded::in_memory().unwrap().presence).await;
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening_and_epochs_grow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.db");
    let ttl = std::time::Duration::from_secs(9);
    let backend = Embedded::open(&path).unwrap();
    let revision = backend.registry.put("k", "v".into(), Precondition::Absent).await.unwrap();
    backend.registry.delete("k", Precondition::Any).await.unwrap();
    let old = backend.leases.acquire("l", "a", ttl).await.unwrap().unwrap();
    drop(backend);
    let backend = Embedded::open(&path).unwrap();
    assert!(backend.registry.put("k", "v".into(), Precondition::Absent).await.unwrap() > revision);
    assert!(backend.leases.acquire("l", "b", ttl).await.unwrap().unwrap().epoch > old.epoch);
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_opening_is_refused_and_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.db");
    let backend = Embedded::open(&path).unwrap();
    backend.registry.put("k", "v".into(), Precondition::Any).await.unwrap();
    let Err(error) = Embedded::open(&path) else { panic!("opened twice") };
    assert!(matches!(error, Error::InUse { .. }));
    assert_eq!(error.code(), fabric_types::Code::Conflict);
    assert!(
        error.to_string().contains(path.to_str().unwrap()) && error.to_string().contains("fabric serve"),
        "{error}"
    );
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
    drop(backend);
    Embedded::open(&path).unwrap();
}

#[tokio::test]
async fn a_watch_and_a_follower_end_when_the_backend_closes() {
    use futures::StreamExt as _;
    let backend = Embedded::in_memory().unwrap();
    let (mut watch, mut follow) = (backend.registry.watch(""), backend.journal.follow("s", 0));
    drop(backend);
    assert_eq!(watch.next().await, None);
    assert!(follow.next().await.is_none());
}

const CHILD: &str = "FABRIC_ENGINE_TEST_CHILD";

/// The child process that the next test kills, and a no-op otherwise. Prints each number after its write is
/// acknowledged.
#[tokio::test]
async fn child_that_writes_until_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let backend = Embedded::open(Path::new(&path)).unwrap();
    let tenant = TenantId::new("a").unwrap();
    for n in 0u32.. {
        backend.journal.append("s", n.into(), vec![n.to_string().into()]).await.unwrap();
        backend.results.commit(&tenant, vec![(key(n), record(&n.to_string()))]).await.unwrap();
        let mut out = std::io::stderr().lock();
        writeln!(out, "ack {n}").unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.db");
    for until in [1u32, 57, 203] {
        let _ = std::fs::remove_file(&path);
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("f.db{suffix}")));
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "suites::child_that_writes_until_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let last = lines
            .filter_map(|line| line.unwrap().strip_prefix("ack ").map(|n| n.parse::<u32>().unwrap()))
            .find(|n| *n >= until)
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let backend = Embedded::open(&path).unwrap();
        let records = backend.journal.read("s", 0, usize::MAX).await.unwrap();
        assert!(records.len() as u32 > last, "{} records, {last} acknowledged", records.len());
        assert!(records.iter().enumerate().all(|(n, r)| r.seq == n as u64 && r.bytes == n.to_string()));
        let keys: Vec<_> = (0..=last).map(key).collect();
        let found = backend.results.get_many(&TenantId::new("a").unwrap(), &keys).await.unwrap();
        assert!(found.iter().all(Option::is_some));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_results_take() {
    let dir = tempfile::tempdir().unwrap();
    let backend = Embedded::open(&dir.path().join("f.db")).unwrap();
    let tenant = Arc::new(TenantId::new("a").unwrap());
    let keys: Vec<_> = (0..12_800u32)
        .map(|n| fabric_types::digest::TaskKey(fabric_types::digest::ContentDigest::of(&n.to_le_bytes()).0))
        .collect();
    let start = Instant::now();
    for batch in keys.chunks(64) {
        let results = batch.iter().map(|key| (*key, record("small result"))).collect();
        assert_eq!(backend.results.commit(&tenant, results).await.unwrap(), [CommitOutcome::Stored; 64]);
    }
    eprintln!("commit of 64, one after another: {:?} a result, flushes included", start.elapsed() / 12_800);
    let start = Instant::now();
    for batch in keys.chunks(64) {
        assert!(backend.results.get_many(&tenant, batch).await.unwrap().iter().all(Option::is_some));
    }
    eprintln!("get_many of 64: {:?} a result", start.elapsed() / 12_800);
}
