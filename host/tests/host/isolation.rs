//! Tests that a call can't observe other calls, the machine, or the time.

use crate::support::*;
use fabric_host::{TaskCall, TaskStage, source::MemorySource};
use fabric_types::{EngineClass, id::FunctionName, limits::Limits, manifest::VolumeGrant};

/// A command that leaves marks in memory, globals and the table, and reports whether it found any.
const CANARY: &str = r#"
    (global $g (mut i32) (i32.const 0))
    (func $f)
    (elem declare func $f)
    (func (export "_start")
      (local $i i32) (local $found i32)
      ;; memory: every page that can be had
      (drop (memory.grow (i32.const 30)))
      (local.set $i (i32.const 4096))
      (loop $scan
        (local.set $found (i32.or (local.get $found) (i32.load (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 4)))
        (br_if $scan (i32.lt_u (local.get $i) (i32.const 2097152))))
      (local.set $found (i32.or (local.get $found) (global.get $g)))
      (drop (table.grow $t (ref.null func) (i32.const 100)))
      (local.set $i (i32.const 0))
      (loop $tab
        (local.set $found (i32.or (local.get $found) (i32.eqz (ref.is_null (table.get $t (local.get $i))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $tab (i32.lt_u (local.get $i) (i32.const 101))))
      (i32.store8 (i32.const 64) (i32.add (i32.const 48) (i32.ne (local.get $found) (i32.const 0))))
      (call $write (i32.const 1) (i32.const 64) (i32.const 1))
      ;; the marks
      (memory.fill (i32.const 4096) (i32.const 0xcc) (i32.const 2093056))
      (global.set $g (i32.const -1))
      (table.fill $t (i32.const 0) (ref.func $f) (i32.const 101)))"#;

#[tokio::test]
async fn nothing_written_by_one_instance_is_seen_by_the_next_in_its_slot() {
    let sandbox = sandbox_with(|o| o.max_instances = 1);
    // Two modules, so that a slot is also reused for another memory image.
    let one = sandbox.load(&wat(&command(CANARY))).await;
    let two = sandbox.load(&wat(&command(&format!("{CANARY} (func $other)")))).await;
    for round in 0..6 {
        let report = sandbox.map(if round % 3 == 2 { &two } else { &one }, "", Limits::default()).await;
        assert_eq!(text(&report), "0", "round {round}");
    }
}

/// A command that writes two clock readings and 16 random bytes.
const LOOKS: &str = r#"(func (export "_start")
    (drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 1024)))
    (drop (call $clock_time_get (i32.const 0) (i64.const 1) (i32.const 1032)))
    (drop (call $random_get (i32.const 1040) (i32.const 16)))
    (call $write (i32.const 1) (i32.const 1024) (i32.const 32)))"#;

#[tokio::test]
async fn pure_calls_repeat_bit_for_bit_and_fuel_for_fuel() {
    let sandbox = sandbox();
    let loaded = sandbox.load(&wat(&command(LOOKS))).await;
    let run = async |seed: u8| {
        let mut call = TaskCall::new(TaskStage::Map, MemorySource::default());
        call.seed = [seed; 32];
        let report = sandbox.host.run_task(&loaded, call).await;
        (report.result.unwrap().bytes, report.cost.fuel)
    };
    let first = run(1).await;
    assert_eq!(first, run(1).await);
    let nanos = |at: usize| u64::from_le_bytes(first.0[at..at + 8].try_into().unwrap());
    assert_eq!(nanos(0) / 1_000_000_000, 946_684_800);
    assert_eq!(nanos(8) - nanos(0), 1_000);
    let other = run(2).await;
    assert_eq!(first.0[..16], other.0[..16]);
    assert_ne!(first.0[16..], other.0[16..], "another task key gives other random bytes");
    assert_eq!(first.1, other.1);
}

#[tokio::test]
async fn granted_clocks_and_randomness_are_real() {
    let sandbox = sandbox();
    let grant = |m: &mut fabric_types::manifest::Manifest| {
        m.grants.clocks = true;
        m.grants.random = true;
    };
    let loaded = sandbox.deploy(&wat(&command(LOOKS)), grant).await.unwrap();
    let one = sandbox.map(&loaded, "", Limits::default()).await.result.unwrap().bytes;
    let two = sandbox.map(&loaded, "", Limits::default()).await.result.unwrap().bytes;
    let seconds = u64::from_le_bytes(one[..8].try_into().unwrap()) / 1_000_000_000;
    assert!(seconds > 1_600_000_000, "{seconds}");
    assert_ne!(one[16..], two[16..]);
    assert_ne!(sandbox.host.fingerprint(EngineClass::Deterministic), sandbox.host.fingerprint(EngineClass::General));
}

#[tokio::test]
async fn the_same_job_in_two_hosts_gives_the_same_bytes_and_fuel() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let sandbox = sandbox();
        let loaded = sandbox.load(&guest("wordcount")).await;
        let report = sandbox.map(&loaded, "one two two three three three", Limits::default()).await;
        seen.push((
            report.cost.fuel,
            report.result.unwrap().bytes,
            sandbox.host.fingerprint(EngineClass::Deterministic).to_owned(),
        ));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_corrupt_artefact_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let module = wat(&command(LOOKS));
    let open =
        || Sandbox { host: fabric_host::Host::start(options(dir.path())).unwrap(), dir: tempfile::tempdir().unwrap() };
    let first = open();
    let loaded = first.load(&module).await;
    let want = first.map(&loaded, "", Limits::default()).await.result.unwrap();
    assert_eq!(first.host.stats().compiled, 1);
    // Another host finds the artefact.
    let second = open();
    let loaded = second.load(&module).await;
    assert_eq!(second.map(&loaded, "", Limits::default()).await.result.unwrap(), want);
    assert_eq!((second.host.stats().compiled, second.host.stats().disk_hits), (0, 1));
    // One flipped bit in the machine code is detected.
    let path = dir.path().join("artefacts").join(first.host.fingerprint(EngineClass::Deterministic));
    let file = std::fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let third = open();
    let loaded = third.load(&module).await;
    assert_eq!(third.map(&loaded, "", Limits::default()).await.result.unwrap(), want);
    assert_eq!((third.host.stats().compiled, third.host.stats().corrupt), (1, 1));
}

#[tokio::test]
async fn concurrent_loads_compile_once() {
    let sandbox = sandbox();
    let module = wat(&command(LOOKS));
    let loads = futures::future::join_all((0..8).map(|_| async { sandbox.load(&module).await })).await;
    assert_eq!(loads.len(), 8);
    let deployment = loads[0].deployment().clone();
    let fresh = sandbox_with(|_| {});
    let fetched = std::sync::atomic::AtomicU32::new(0);
    futures::future::join_all((0..8).map(|_| {
        fresh.host.load(&deployment, || async {
            fetched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(module.clone())
        })
    }))
    .await
    .into_iter()
    .for_each(|l| drop(l.unwrap()));
    assert_eq!(fetched.into_inner(), 1);
    assert_eq!(fresh.host.stats().compiled, 1);
}

/// Returns a command that opens `path` below preopen 3, or creates it, and writes the error number as two digits.
fn opens(path: &str, create: bool) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 1024) "{path}")
        (func (export "_start") (local $e i32)
          (local.set $e (call $open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const {}) (i32.const {})
            (i64.const {}) (i64.const 0) (i32.const 0) (i32.const 64)))
          (i32.store8 (i32.const 80) (i32.add (i32.const 48) (i32.div_u (local.get $e) (i32.const 10))))
          (i32.store8 (i32.const 81) (i32.add (i32.const 48) (i32.rem_u (local.get $e) (i32.const 10))))
          (i32.store (i32.const 0) (i32.const 80)) (i32.store (i32.const 4) (i32.const 2))
          (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        path.len(),
        u8::from(create),
        if create { 64 } else { 2 },
    )
}

#[tokio::test]
async fn a_volume_is_all_that_is_seen_of_the_disk() {
    let sandbox = sandbox();
    let volume = sandbox.dir.path().join("volumes/acme/data");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("file"), "x").unwrap();
    std::fs::write(sandbox.dir.path().join("volumes/secret"), "x").unwrap();
    std::os::unix::fs::symlink("../../secret", volume.join("link")).unwrap();
    std::os::unix::fs::symlink(sandbox.dir.path().join("volumes/secret"), volume.join("absolute")).unwrap();
    let open = async |path: &str, create: bool, write: bool| {
        let grant = |m: &mut fabric_types::manifest::Manifest| {
            m.grants.volumes.push(VolumeGrant {
                name: FunctionName::new("data").unwrap(),
                path: "/data".into(),
                write,
            });
        };
        let loaded = sandbox.deploy(&wat(&opens(path, create)), grant).await.unwrap();
        text(&sandbox.map(&loaded, "", Limits::default()).await)
    };
    assert_eq!(open("file", false, false).await, "00");
    for escape in ["../../secret", "link", "absolute", "/etc/passwd", "a/../../../secret"] {
        assert_ne!(open(escape, false, true).await, "00", "{escape}");
    }
    assert_ne!(open("new", true, false).await, "00", "a read-only volume is not written");
    assert!(!volume.join("new").exists());
    assert_eq!(open("new", true, true).await, "00");
    assert!(volume.join("new").exists());
    // Without a grant, descriptor 3 does not exist: bad descriptor.
    let loaded = sandbox.load(&wat(&opens("file", false))).await;
    assert_eq!(text(&sandbox.map(&loaded, "", Limits::default()).await), "08");
}
