//! Attacks of one tenant on the disk, through the public API: filling it with results, objects, modules, volumes and
//! log lines. Each ends at the tenant's quota or drops the tenant's older data, and other tenants lose nothing.

use bytes::Bytes;
use fabric_client::{Client, Error, InvokeRequest, PageOptions, UploadOptions};
use fabric_tests::{Options, Server, built, manifest, until};
use fabric_types::{
    Code,
    quota::Quota,
    rest::token::Role,
    storage::{ENTRY_BYTES, StorageKind},
    units::ByteSize,
};
use futures::StreamExt as _;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// Starts a server with a `[storage]` table in its configuration.
async fn server(storage: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.toml");
    std::fs::write(&file, format!("[storage]\n{storage}\n")).unwrap();
    let args = vec!["--config".to_owned(), file.display().to_string()];
    (Server::start(Options { args }).await, folder)
}

async fn set_quota(server: &Server, tenant: &str, bytes: u64) {
    let mut quota = Quota::default();
    quota.limit.storage_bytes = Some(ByteSize(bytes));
    server.client().set_tenant_quota(&tenant.parse().unwrap(), &quota).await.unwrap();
}

async fn kept(client: &Client, kind: StorageKind) -> u64 {
    let storage = client.usage(None, None).await.unwrap().storage;
    storage.kinds.iter().find(|line| line.kind == kind).unwrap().bytes.0
}

async fn deploy(client: &Client, name: &str, module: Bytes, more: &str) {
    let deploy = fabric_client::DeployRequest::new(manifest(name, more), module);
    client.deploy(&deploy).await.unwrap_or_else(|e| panic!("{name}: {e}: {:?}", e.problem()));
}

fn code(error: &Error) -> Code {
    error.problem().unwrap_or_else(|| panic!("{error}")).code
}

/// Returns a command that writes `bytes` bytes.
fn printer(bytes: u64) -> Bytes {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") {pages})
          (func (export "_start")
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const {bytes}))
            (loop $more
              (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
              (i32.store (i32.const 4) (i32.sub (i32.load (i32.const 4)) (i32.load (i32.const 8))))
              (br_if $more (i32.load (i32.const 4))))))"#,
        pages = bytes / 65_536 + 2
    );
    wat::parse_str(text).unwrap().into()
}

/// Returns a command that logs `lines` lines of `x`.
fn logger(lines: u64) -> Bytes {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 16) "x\n")
          (func (export "_start") (local $left i32)
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const 2))
            (local.set $left (i32.const {lines}))
            (loop $more
              (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
              (local.set $left (i32.sub (local.get $left) (i32.const 1)))
              (br_if $more (local.get $left)))))"#
    );
    wat::parse_str(text).unwrap().into()
}

/// Calls a function with an idempotency key. Returns the status and the code of a problem.
async fn keyed(server: &Server, token: &str, key: &str) -> (u16, Option<String>) {
    let url = format!("{}/v1/functions/printer/invoke", server.url());
    let call = reqwest::Client::new().post(url).bearer_auth(token).header("idempotency-key", key).body(key.to_owned());
    let answer = call.send().await.unwrap();
    let status = answer.status().as_u16();
    let code = answer.json::<serde_json::Value>().await.ok().and_then(|body| Some(body["code"].as_str()?.to_owned()));
    (status, code)
}

/// Returns the total size and the number of a folder's files.
fn disk(folder: &Path) -> (u64, u64) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.fold((0, 0), |(bytes, files), entry| {
        let meta = entry.metadata().unwrap();
        let (more, count) = if meta.is_dir() { disk(&entry.path()) } else { (meta.len(), 1) };
        (bytes + more, files + count)
    })
}

#[tokio::test]
async fn remembered_answers_end_at_the_quota_and_go_on_when_something_is_freed() {
    let (server, _config) = server("").await;
    set_quota(&server, "t", 8 * MIB).await;
    let token = server.token("t", Role::Developer).await;
    let client = server.client_with(&token);
    deploy(&client, "printer", printer(MIB), "").await;
    client.put_bytes("big", vec![1; 2 << 20], &UploadOptions::default()).await.unwrap();
    let mut answered = 0;
    let refused = loop {
        match keyed(&server, &token, &format!("k{answered}")).await {
            (200, _) => answered += 1,
            other => break other,
        }
        assert!(answered < 50, "the quota does not end the calls");
    };
    assert_eq!(refused, (507, Some("storage-quota".to_owned())));
    assert!((2..=5).contains(&answered), "{answered}");
    let storage = client.usage(None, None).await.unwrap().storage;
    assert!(storage.used_bytes.0 <= 8 * MIB, "{storage:?}");
    assert_eq!(storage.quota_bytes, Some(ByteSize(8 * MIB)));
    // Stored responses are still replayed, and another tenant has space.
    assert_eq!(keyed(&server, &token, "k0").await.0, 200);
    server.put("mine", vec![1; 1 << 20]).await;
    // The idempotency key of the rejected call is not used up.
    client.delete_object("big").await.unwrap();
    assert_eq!(keyed(&server, &token, &format!("k{answered}")).await, (200, None));
    // The body of an asynchronous call counts too.
    let body = vec![3; 9 << 20];
    let error = client.invoke_async("printer", InvokeRequest::new(body)).await.unwrap_err();
    assert_eq!(code(&error), Code::StorageQuota);
}

#[tokio::test]
async fn objects_end_at_the_quota_and_nothing_partial_stays() {
    let (server, _config) = server("quota = \"10MiB\"").await;
    let client = server.client();
    let objects = server.folder().join("data/objects");
    // A declared length is rejected before the body is sent.
    let target = b"/v1/objects/announced".as_slice();
    let head = format!(
        "PUT {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1073741824\r\n\r\n",
        std::str::from_utf8(target).unwrap(),
        server.admin()
    );
    let answer = exchange(&server, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 507") && answer.contains("storage-quota"), "{answer}");
    // A chunked body is rejected as soon as it would exceed the quota.
    let endless = futures::stream::iter((0..32).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![5; 1 << 20]))));
    let url = format!("{}/v1/objects/chunked", server.url());
    let put = reqwest::Client::new().put(url).bearer_auth(server.admin()).body(reqwest::Body::wrap_stream(endless));
    let answer = put.send().await.expect("no rejection was received during the upload");
    assert_eq!(answer.status().as_u16(), 507);
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["code"], "storage-quota");
    // A declared length, and a connection that breaks.
    let lie = format!(
        "PUT /v1/objects/lie HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 5000000\r\n\r\nshort",
        server.admin()
    );
    cut_off(&server, lie.as_bytes()).await;
    until("nothing stays", async || disk(&objects.join("t.d")).1 == 0 && temporary(&objects) == 0).await;
    until("nothing is charged", async || kept(client, StorageKind::Objects).await == 0).await;
    // Concurrent uploads: three of 3 MiB fit.
    let racing = (0..8).map(async |n| {
        let put = client.put_bytes(&format!("race/{n}"), vec![n as u8; 3 << 20], &UploadOptions::default()).await;
        put.map_err(|error| code(&error))
    });
    let raced: Vec<_> = futures::future::join_all(racing).await;
    assert_eq!(raced.iter().filter(|put| put.is_ok()).count(), 3, "{raced:?}");
    assert!(raced.iter().all(|put| put.as_ref().map_or_else(|code| *code == Code::StorageQuota, |_| true)));
    assert_eq!(kept(client, StorageKind::Objects).await, 9 * MIB + 3 * ENTRY_BYTES);
    assert_eq!(disk(&objects.join("t.d")).0, 9 * MIB);
    // Replacing and deleting release the space, repeatedly and concurrently.
    let names: Vec<String> = (0..8).map(|n| format!("race/{n}")).collect();
    for name in &names {
        let _ = client.delete_object(name).await;
    }
    for _ in 0..4 {
        let options = UploadOptions::default();
        let again = (0..3).map(|_| client.put_bytes("again", vec![1; 3 << 20], &options));
        let _ = futures::future::join_all(again).await;
    }
    assert_eq!(kept(client, StorageKind::Objects).await, 3 * MIB + ENTRY_BYTES);
    assert_eq!(disk(&objects.join("t.d")).0, 3 * MIB);
}

#[tokio::test]
async fn empty_objects_and_deep_folders_end_at_the_quota_too() {
    let (server, _config) = server("").await;
    for (tenant, folders, room) in [("empty", 0, 256), ("deep", 500, 4)] {
        set_quota(&server, tenant, MIB).await;
        let client = server.client_in(tenant);
        let put = async |n: u64| {
            let path = format!("{}{n}", "d/".repeat(folders));
            client.put_bytes(&path, Bytes::new(), &UploadOptions::default()).await
        };
        let mut written = 0;
        let refused = loop {
            match put(written).await {
                Ok(_) => written += 1,
                Err(error) => break code(&error),
            }
            assert!(written <= room, "{tenant}");
        };
        assert_eq!((refused, written), (Code::StorageQuota, room), "{tenant}");
    }
}

/// Returns the number of temporary files of the object store.
fn temporary(objects: &Path) -> u64 {
    let entries = std::fs::read_dir(objects.join(".tmp")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_dir()).map(|entry| disk(&entry.path()).1).sum()
}

async fn exchange(server: &Server, bytes: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(server.url().strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let (mut answer, mut buffer) = (String::new(), vec![0; 4096]);
    while !answer.contains("\"code\"") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    answer
}

async fn cut_off(server: &Server, bytes: &[u8]) {
    use tokio::io::AsyncWriteExt as _;
    let mut stream = tokio::net::TcpStream::connect(server.url().strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
}

#[tokio::test]
async fn volumes_end_at_the_quota_with_an_error_that_the_guest_sees() {
    let (server, _config) = server("").await;
    set_quota(&server, "t", 16 * MIB).await;
    let client = server.client_in("t");
    let more = "[[grants.volumes]]\nname = \"data\"\npath = \"/data\"\nwrite = true";
    deploy(&client, "flood", built("volume-flood"), more).await;
    let volume = server.folder().join("data/sandbox/volumes/t/data");
    let flood = async |what: &str| {
        let answer = client.invoke("flood", InvokeRequest::new(what.to_owned())).await.unwrap();
        String::from_utf8(answer.body.bytes(MIB).await.unwrap().to_vec()).unwrap()
    };
    // `nospc` of WASI is 51, `dquot` 19.
    let refused = |answer: &str| ["error 51", "error 19"].iter().any(|error| answer.ends_with(error));
    for what in ["fill 100000", "append 100000"] {
        let answer = flood(what).await;
        // This libc reports every failed write to a stream as `io`, 29.
        assert!(refused(&answer) || answer.ends_with("error 29"), "{what}: {answer}");
        assert!(disk(&volume).0 <= 16 * MIB, "{what}");
        assert!(disk(&volume).0 > 8 * MIB, "{what}: {answer}");
    }
    let answer = flood("grow").await;
    assert!(refused(&answer), "{answer}");
    // The tenant has no space for other data either, and another tenant has.
    let put = client.put_bytes("object", vec![1; 6 << 20], &UploadOptions::default()).await.unwrap_err();
    assert_eq!(code(&put), Code::StorageQuota);
    server.put("object", vec![1; 6 << 20]).await;
    assert_eq!(flood("remove").await, "done");
    until("the space of removed files is released", async || kept(&client, StorageKind::Volumes).await < MIB).await;
    let files = flood("files 100000").await;
    assert!(refused(&files), "{files}");
    assert!(disk(&volume).1 <= 4096, "{:?}", disk(&volume));
    // A preview 1 module is charged in the same way.
    set_quota(&server, "p", 4 * MIB).await;
    let client = server.client_in("p");
    deploy(&client, "flood", preview1(), more).await;
    let answer = client.invoke("flood", InvokeRequest::new("")).await.unwrap();
    assert_eq!(&*answer.body.bytes(MIB).await.unwrap(), b"19");
    let (bytes, files) = disk(&server.folder().join("data/sandbox/volumes/p/data"));
    assert!(bytes <= 4 * MIB && bytes > 2 * MIB && files == 1, "{bytes} bytes, {files} files");
}

#[tokio::test]
async fn removed_files_count_while_they_are_open() {
    let (server, _config) = server("").await;
    set_quota(&server, "t", 16 * MIB).await;
    let client = server.client_in("t");
    let more = "clocks = true\n[[grants.volumes]]\nname = \"data\"\npath = \"/data\"\nwrite = true";
    deploy(&client, "flood", built("volume-flood"), &format!("[grants]\n{more}")).await;
    let answer = client.invoke("flood", InvokeRequest::new("ghosts 64")).await.unwrap();
    let answer = String::from_utf8(answer.body.bytes(MIB).await.unwrap().to_vec()).unwrap();
    let written: u64 = answer.split(' ').next().unwrap().parse().unwrap();
    assert!((8..16).contains(&written) && answer.contains("error"), "{answer}");
    until("the space of closed files is released", async || kept(&client, StorageKind::Volumes).await < MIB).await;
}

/// Returns a preview 1 command that fills a file of its volume and prints the error number.
fn preview1() -> Bytes {
    let text = r#"(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (memory (export "memory") 2)
      (data (i32.const 64) "file")
      (func (export "_start") (local $error i32) (local $left i32)
        ;; Made, for writing (right 64).
        (local.set $error (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4)
          (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 20)))
        (i32.store (i32.const 0) (i32.const 65536))
        (i32.store (i32.const 4) (i32.const 65536))
        (local.set $left (i32.const 1000))
        (block $end (loop $more
          (br_if $end (local.get $error))
          (local.set $error (call $write (i32.load (i32.const 20)) (i32.const 0) (i32.const 1) (i32.const 8)))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br_if $more (local.get $left))))
        (i32.store8 (i32.const 64) (i32.add (i32.const 48) (i32.div_u (local.get $error) (i32.const 10))))
        (i32.store8 (i32.const 65) (i32.add (i32.const 48) (i32.rem_u (local.get $error) (i32.const 10))))
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 2))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    wat::parse_str(text).unwrap().into()
}

#[tokio::test]
async fn modules_end_at_the_quota_and_what_is_kept_is_known_after_a_restart() {
    let (mut server, _config) = server("quota = \"7MiB\"").await;
    let module = |n: u64| -> Bytes {
        let filler = format!("{n:08}").repeat(131_072);
        wat::parse_str(format!(
            r#"(module (memory (export "memory") 17) (data (i32.const 0) "{filler}") (func (export "_start")))"#
        ))
        .unwrap()
        .into()
    };
    // The client deploys with an idempotency key, which reserves 64 KiB for the response while it runs.
    let mut deployed = 0;
    let refused = loop {
        let deploy = fabric_client::DeployRequest::new(manifest("again", ""), module(deployed));
        match server.client().deploy(&deploy).await {
            Ok(_) => deployed += 1,
            Err(error) => break code(&error),
        }
        assert!(deployed < 20);
    };
    assert_eq!((refused, deployed), (Code::StorageQuota, 6));
    // Deploying the same module again costs nothing, but an upload needs space while it is checked.
    set_quota(&server, "default", 9 * MIB).await;
    let deploy = fabric_client::DeployRequest::new(manifest("again", ""), module(5));
    server.client().deploy(&deploy).await.unwrap();
    set_quota(&server, "default", 7 * MIB).await;
    let before = kept(server.client(), StorageKind::Functions).await;
    assert!((6 * MIB..7 * MIB).contains(&before), "{before}");
    server.restart().await;
    until("counted again", async || kept(server.client(), StorageKind::Functions).await > 0).await;
    let after = kept(server.client(), StorageKind::Functions).await;
    assert!(after.abs_diff(before) < 64 * 1024, "{before} before, {after} after");
    let put = server.client().put_bytes("object", vec![1; 2 << 20], &UploadOptions::default()).await.unwrap_err();
    assert_eq!(code(&put), Code::StorageQuota);
}

#[tokio::test]
async fn a_full_disk_is_told_as_one_and_the_server_goes_on() {
    let (server, _config) = server("free = \"1000TiB\"").await;
    let put = server.client().put_bytes("object", "x", &UploadOptions::default()).await.unwrap_err();
    assert_eq!(code(&put), Code::DiskFull);
    // Requests that write nothing for a tenant still succeed.
    server.token("t", Role::Developer).await;
    server.client().usage(None, None).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_lines_costs_another_tenant_none() {
    let (server, _config) = server("logs = \"2MiB\"\n[ceilings]\nlog-bytes = \"64MiB\"").await;
    let (noisy, quiet) = (server.client_in("noisy"), server.client_in("quiet"));
    let limits = "[limits]\nlog-bytes = \"64MiB\"\nhost-calls = 100000000";
    deploy(&noisy, "flood", logger(60_000), limits).await;
    deploy(&quiet, "say", logger(30), limits).await;
    let floods = (0..4).map(async |n| noisy.invoke("flood", InvokeRequest::new(n.to_string())).await.unwrap());
    let says = async {
        for n in 0..10 {
            quiet.invoke("say", InvokeRequest::new(n.to_string())).await.unwrap();
        }
    };
    futures::join!(futures::future::join_all(floods), says);
    let lines = async |client: &Client| {
        let filter = fabric_client::LogQuery::default();
        let found = PageOptions::collect(300_000, async |paging| client.logs(&filter.clone().page(paging)).await);
        found.await.unwrap().items.len()
    };
    assert_eq!(lines(&quiet).await, 300);
    // Lines are dropped in the queue if they arrive faster than the disk takes them, and by retention in any case. The
    // report of the former is tested in `index/tests/index/queries.rs`.
    assert!(lines(&noisy).await < 4 * 60_000, "the flood is stored whole");
    // The bound on stored lines applies to disk space, not to their text.
    let index = server.folder().join("data");
    let len = |name: &str| std::fs::metadata(index.join(name)).map_or(0, |meta| meta.len());
    until("the index shrinks", async || len("index.db") < 12 * MIB).await;
    let storage = kept(&noisy, StorageKind::Logs).await;
    assert!(storage < 4 * MIB, "{storage}");
}

#[tokio::test]
async fn what_was_kept_long_enough_goes_and_the_files_shrink() {
    let storage = "keep-jobs = \"1s\"\nkeep-results = \"1s\"\nkeep-answers = \"1s\"\nsweep-every = \"1s\"";
    let (server, _config) = server(storage).await;
    let client = server.client();
    deploy(client, "printer", printer(60_000), "").await;
    let data = server.folder().join("data");
    let len = || ["state.db", "state.db-wal"].map(|name| std::fs::metadata(data.join(name)).map_or(0, |m| m.len()));
    // Results of 60 KB are stored in the database; those of 1 MiB are not.
    let calls = futures::stream::iter(0..200).map(async |n: u32| {
        let token = server.admin();
        let url = format!("{}/v1/functions/printer/invoke?mode=async", server.url());
        let call =
            reqwest::Client::new().post(url).bearer_auth(token).body(format!("{n:>60000}")).send().await.unwrap();
        assert_eq!(call.status().as_u16(), 202);
        call.json::<serde_json::Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    });
    let ids: Vec<String> = calls.buffer_unordered(16).collect().await;
    let last = ids.last().unwrap().clone();
    assert_eq!(keyed(&server, server.admin(), "k").await.0, 200);
    until("expired data is removed", async || {
        let storage = client.usage(None, None).await.unwrap().storage;
        let of = |kind| storage.kinds.iter().find(|line| line.kind == kind).unwrap().bytes.0;
        of(StorageKind::Results) < 100_000 && of(StorageKind::Jobs) < 100_000 && of(StorageKind::Answers) < 10_000
    })
    .await;
    until("the database shrinks", async || len().iter().sum::<u64>() < 8 * MIB).await;
    let gone = client.invocation(&last, None).await.unwrap_err();
    assert_eq!(code(&gone), Code::NotFound);
    assert!(server.metric("fabric_expired_total").await.unwrap() >= 200.0);
    // A new call runs again.
    let answer = client.invoke("printer", InvokeRequest::new("again")).await.unwrap();
    assert_eq!(answer.body.bytes(MIB).await.unwrap().len(), 60_000);
}
