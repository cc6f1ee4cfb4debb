//! Attacks with manifest settings, through the public API: limits above any machine, grants without permission, more
//! memory than exists, and guests that sleep on slots.

use bytes::Bytes;
use fabric_api::Problem;
use fabric_client::{Client, DeployRequest, InvokeRequest};
use fabric_tests::{Options, Server, built, hostile, manifest};
use fabric_types::{
    Code,
    job::{JobSpec, JobState},
    rest::token::Role,
};
use futures::future::join_all;
use serde_json::json;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};

const MIB: u64 = 1 << 20;

/// A command that echoes its input.
const CAT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (loop $more
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (br $more))))))"#;

/// A command that grows its memory by 16 MiB at a time up to 1 GiB, touches every page, and holds it for three seconds.
const HUNGRY: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $at i32) (local $end i32)
    (local.set $at (i32.const 65536))
    (loop $more
      (drop (memory.grow (i32.const 256)))
      (local.set $end (i32.mul (memory.size) (i32.const 65536)))
      (loop $touch
        (i32.store (local.get $at) (i32.const 1))
        (local.set $at (i32.add (local.get $at) (i32.const 4096)))
        (br_if $touch (i32.lt_u (local.get $at) (local.get $end))))
      (br_if $more (i32.lt_u (memory.size) (i32.const 16128))))
    (i32.store8 (i32.const 8) (i32.const 0))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3000000000))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;

/// A command that writes 64 KiB blocks to its output forever.
const FLOOD: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (i32.store (i32.const 4) (i32.const 65536))
    (loop $more
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
      (br $more))))"#;

fn wat(text: &str) -> Bytes {
    wat::parse_str(text).unwrap().into()
}

async fn refused(client: &Client, manifest: String, module: &Bytes) -> Problem {
    let error = client.deploy(&DeployRequest::new(manifest.clone(), module.clone())).await.expect_err(&manifest);
    error.problem().unwrap_or_else(|| panic!("{manifest}: {error}")).clone()
}

async fn called(client: &Client, function: &str, body: impl Into<Bytes>) -> Result<Bytes, Problem> {
    let called = match client.invoke(function, InvokeRequest::new(body.into())).await {
        Ok(answer) => answer.body.bytes(64 * MIB).await,
        Err(error) => Err(error),
    };
    called.map_err(|error| error.problem().unwrap_or_else(|| panic!("{function}: {error}")).clone())
}

#[tokio::test]
async fn a_limit_above_its_ceiling_is_refused_with_the_key_and_the_remedy() {
    let mut server = Server::start(Options::default()).await;
    let (client, module) = (server.client(), wat(CAT));
    let most = u64::MAX;
    for (key, value, shown) in [
        ("fuel", json!(most), most.to_string()),
        ("deadline-ms", json!(most), most.to_string()),
        ("deadline-ms", json!(3_600_001), "3600001".to_owned()),
        ("table-elements", json!(most), most.to_string()),
        ("output-bytes", json!("100GiB"), "100GiB".to_owned()),
        ("emit-bytes", json!("100GiB"), "100GiB".to_owned()),
        ("log-bytes", json!("1TiB"), "1024GiB".to_owned()),
        ("host-calls", json!(most), most.to_string()),
        ("handles", json!(u32::MAX), u32::MAX.to_string()),
        ("concurrency", json!(4000), "4000".to_owned()),
        ("body-bytes", json!("1TiB"), "1024GiB".to_owned()),
        ("body-bytes", json!((1_u64 << 30) + 1), ((1_u64 << 30) + 1).to_string()),
        ("gpu-memory-bytes", json!("1TiB"), "1024GiB".to_owned()),
        ("gpu-ms", json!(most), most.to_string()),
    ] {
        let manifest = json!({"function": {"name": "greedy"}, "limits": {key: value}}).to_string();
        let problem = refused(client, manifest, &module).await;
        assert_eq!(problem.code, Code::InvalidManifest, "{key}: {problem:?}");
        assert!(problem.detail.contains(&format!("limits.{key} is {shown}, and the ceiling is ")), "{problem:?}");
        let hint = problem.hint.unwrap();
        assert!(hint.contains(&format!("fabric tenants set default --ceiling {key}={shown}")), "{hint}");
    }
    // Invalid values are rejected too.
    for (key, value) in [
        ("memory-bytes", json!("5GiB")),
        ("gpu-submit-ms", json!(most)),
        ("deadline-ms", json!(0)),
        ("concurrency", json!(0)),
        ("concurrency", json!(-1)),
        ("concurrency", json!(1_u64 << 32)),
        ("fuel", json!(1.5)),
        ("output-bytes", json!("18446744073709551615GiB")),
        ("output-bytes", json!("NaN")),
        ("output-bytes", json!(-1)),
    ] {
        let manifest = json!({"function": {"name": "greedy"}, "limits": {key: value}}).to_string();
        let problem = refused(client, manifest, &module).await;
        assert_eq!(problem.code, Code::InvalidManifest, "{key}: {problem:?}");
    }

    // The operator's file and a tenant's ceiling: the tenant's takes precedence, and each is shown with its origin.
    let file = server.folder().join("fabric.toml");
    std::fs::write(&file, "[ceilings]\noutput-bytes = \"1MiB\"\nconcurrency = 10\n").unwrap();
    server.restart_with(Options { args: vec!["--config".into(), file.display().to_string()] }).await;
    let client = server.client();
    let asks = |limits: &str| manifest("greedy", &format!("[limits]\n{limits}"));
    let problem = refused(client, asks("output-bytes = \"2MiB\""), &module).await;
    assert!(problem.detail.contains("limits.output-bytes is 2MiB, and the ceiling is 1MiB"), "{problem:?}");
    let set = server.cli(&["tenants", "set", "default", "--ceiling", "output-bytes=200GiB"]).await.ok();
    assert!(set.text().contains("output-bytes=200GiB"), "{}", set.text());
    let deployed = client.deploy(&DeployRequest::new(asks("output-bytes = \"100GiB\""), module.clone())).await.unwrap();
    assert!(
        deployed.warnings.iter().any(|w| w.contains("limits.concurrency is lowered from its default 256 to 10")),
        "{:?}",
        deployed.warnings
    );
    let shown = server.cli(&["config", "show", "--config", &file.display().to_string()]).await.ok();
    let row = |key: &str| shown.text().lines().find(|line| line.contains(key)).unwrap().to_owned();
    assert!(
        row("serve.ceilings.output-bytes").contains("1MiB")
            && row("serve.ceilings.output-bytes").contains("fabric.toml")
    );
    assert!(
        row("serve.ceilings.deadline-ms").contains("3600000") && row("serve.ceilings.deadline-ms").contains("default")
    );
    // A ceiling cannot exceed the server's own maximum.
    let wrong =
        server.cli(&["tenants", "set", "default", "--ceiling", "deadline-ms=18446744073709551615"]).await.status(1);
    assert!(wrong.stderr.contains("ceiling deadline-ms"), "{}", wrong.stderr);
    let wrong = server.cli(&["tenants", "set", "default", "--ceiling", "memory=1"]).await.status(2);
    assert!(wrong.stderr.contains("memory-bytes"), "{}", wrong.stderr);
}

#[tokio::test]
async fn a_ceiling_that_was_lowered_holds_for_what_is_deployed() {
    let server = Server::start(Options::default()).await;
    let client = server.client();
    server.deploy("endless", hostile("endless-loop"), "[limits]\nfuel = 1000000000000000\ndeadline-ms = 600000").await;
    server.deploy("cat", wat(CAT), "[limits]\nbody-bytes = 1000").await;
    assert_eq!(called(client, "cat", "0123456789a").await.unwrap(), "0123456789a");
    server.cli(&["tenants", "set", "default", "--ceiling", "deadline-ms=200", "--ceiling", "body-bytes=10"]).await.ok();
    let problem = called(client, "endless", "").await.unwrap_err();
    assert_eq!((problem.code, problem.detail.contains("200 ms")), (Code::Deadline, true), "{problem:?}");
    assert_eq!(called(client, "cat", "0123456789a").await.unwrap_err().code, Code::TooLarge);
    let spec: JobSpec =
        serde_json::from_value(json!({"function": "endless", "input": {"items": [1]}, "max-attempts": 1})).unwrap();
    let job = client.submit(&spec, None).await.unwrap();
    let job = client.wait_job(job.id.as_str()).await.unwrap();
    assert_eq!((job.state, job.error.unwrap().code), (JobState::Failed, Code::Deadline));
    let invocation = client.invoke_async("cat", InvokeRequest::new("0123456789a")).await.unwrap_err();
    assert_eq!(invocation.problem().unwrap().code, Code::TooLarge);
    // Another tenant keeps the server's ceilings.
    let other = server.client_in("other");
    other.deploy(&DeployRequest::new(manifest("cat", ""), wat(CAT))).await.unwrap();
    assert_eq!(called(&other, "cat", "0123456789a").await.unwrap(), "0123456789a");
}

#[tokio::test]
async fn a_grant_needs_the_tenants_permission_at_deploy_and_at_each_call() {
    let server = Server::start(Options::default()).await;
    let client = server.client();
    let module = wat(CAT);
    let asks = |name: &str, grants: &str| manifest(name, &format!("[grants]\n{grants}"));
    let network = asks("net", "network = [\"api.example.org\", \"other.example.org:8443\"]");
    // Grants are denied by default.
    let problem = refused(client, network.clone(), &module).await;
    assert_eq!((problem.code, problem.status), (Code::Denied, 403));
    assert!(problem.detail.contains("grants.network = \"api.example.org\""), "{problem:?}");
    assert!(problem.hint.unwrap().contains("fabric tenants set default --grant network=api.example.org"));
    server.cli(&["tenants", "set", "default", "--grant", "network=api.example.org"]).await.ok();
    let problem = refused(client, network.clone(), &module).await;
    assert!(problem.detail.contains("other.example.org:8443"), "{problem:?}");
    server.cli(&["tenants", "set", "default", "--grant", "network=*.example.org:8443"]).await.ok();
    client.deploy(&DeployRequest::new(network, module.clone())).await.unwrap();
    assert_eq!(called(client, "net", "x").await.unwrap(), "x");
    // A manifest may not contain a pattern, even if the tenant's permission is one.
    server.cli(&["tenants", "set", "default", "--grant", "network=*"]).await.ok();
    let problem = refused(client, asks("any", "network = [\"*\"]"), &module).await;
    assert_eq!(problem.code, Code::InvalidManifest, "{problem:?}");

    // A grant that the server permits by default can be withdrawn and restored.
    let own = [
        ("clocks", "clocks = true"),
        ("random", "random = true"),
        ("env", "env = { A = \"1\" }"),
        ("volumes", "[[grants.volumes]]\nname = \"v\"\npath = \"/v\""),
        ("gpu", "[resources]\ngpu = \"preferred\""),
        ("network", "network = [\"api.example.org\"]"),
    ];
    for (grant, lines) in own {
        let name = format!("uses-{grant}");
        client.deploy(&DeployRequest::new(asks(&name, lines), module.clone())).await.unwrap();
        assert_eq!(called(client, &name, "x").await.unwrap(), "x");
        server.cli(&["tenants", "set", "default", "--grant", &format!("{grant}=no")]).await.ok();
        let withdrawn = called(client, &name, "y").await.unwrap_err();
        assert_eq!(withdrawn.code, Code::Denied, "{grant}: {withdrawn:?}");
        assert!(withdrawn.hint.as_deref().unwrap().contains(&format!("--grant {grant}=")), "{withdrawn:?}");
        let spec = serde_json::from_value(json!({"function": name, "input": {"items": [1]}})).unwrap();
        let job = client.submit(&spec, None).await.unwrap_err();
        assert_eq!(job.problem().unwrap().code, Code::Denied, "{grant}");
        let later = client.invoke_async(&name, InvokeRequest::new("")).await.unwrap_err();
        assert_eq!(later.problem().unwrap().code, Code::Denied, "{grant}");
        let again = refused(client, asks("again", lines), &module).await;
        assert_eq!(again.code, Code::Denied, "{grant}");
        server.cli(&["tenants", "set", "default", "--grant", &format!("{grant}=default")]).await.ok();
        let back = called(client, &name, "z").await;
        assert_eq!(back.is_ok(), grant != "network", "{grant}");
    }
    // A tenant's own admin cannot permit grants.
    let developer = server.client_with(&server.token("default", Role::TenantAdmin).await);
    let quota = serde_json::from_value(json!({"grants": {"network": ["*"]}})).unwrap();
    let denied = developer.set_tenant_quota(&"default".parse().unwrap(), &quota).await.unwrap_err();
    assert_eq!(denied.problem().unwrap().code, Code::Denied);
}

#[tokio::test]
async fn sleepers_on_every_slot_leave_another_tenant_one() {
    let server = Server::start(Options::slots(2)).await;
    let (sleepy, small) = (server.client_in("sleepy"), server.client_in("small"));
    sleepy.deploy(&DeployRequest::new(manifest("sleep", ""), hostile("sleep"))).await.unwrap();
    small.deploy(&DeployRequest::new(manifest("cat", ""), wat(CAT))).await.unwrap();
    let spec: JobSpec = serde_json::from_value(json!({"function": "sleep", "input": {"items": [1]}})).unwrap();
    for _ in 0..20 {
        let jobs = join_all((0..15).map(|_| sleepy.submit(&spec, None))).await;
        jobs.into_iter().for_each(|job| drop(job.unwrap()));
    }
    let spec = serde_json::from_value(json!({"function": "cat", "input": {"items": [1, 2, 3]}})).unwrap();
    let job = small.submit(&spec, None).await.unwrap();
    let job =
        tokio::time::timeout(Duration::from_secs(30), small.wait_job(job.id.as_str())).await.expect("still queued");
    assert_eq!(job.unwrap().state, JobState::Succeeded);
    // No task of the first tenant failed because of it.
    let page = sleepy.jobs(&Default::default()).await.unwrap();
    assert!(page.items.iter().all(|job| job.tasks.failed == 0 && job.tasks.retries == 0));
}

/// Sends the head and most of the body of a request, waits for `go_on`, and sends the rest. Returns the status, or
/// `None` if the server closed the connection.
async fn held_open(
    server: &Server,
    token: &str,
    path: &str,
    headers: &str,
    bytes: usize,
    mut go_on: watch::Receiver<bool>,
) -> Option<u16> {
    let mut stream = TcpStream::connect(server.url().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: {bytes}\r\n{headers}\r\n"
    );
    let piece = vec![b'x'; 256 << 10];
    let mut sent = stream.write_all(head.as_bytes()).await.is_ok();
    for at in 0..bytes / piece.len() {
        if at == bytes / piece.len() - 1 {
            go_on.wait_for(|go| *go).await.unwrap();
        }
        if !sent {
            break;
        }
        sent = stream.write_all(&piece).await.is_ok();
    }
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).await.ok()?;
    std::str::from_utf8(&answer[..read]).ok()?.split(' ').nth(1)?.parse().ok()
}

/// The server's configured memory, in bytes.
const MEMORY: u64 = 1 << 30;
/// The memory of the process itself, in bytes: code, connections, databases.
const BASE: u64 = 256 * MIB;

#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_below_what_was_configured_whatever_callers_want() {
    let server = Server::start(Options { args: vec!["--memory".into(), "1GiB".into()] }).await;
    let mut tenants = Vec::new();
    for name in ["one", "two", "three"] {
        let token = server.token(name, Role::Developer).await;
        tenants.push((name, server.client_with(&token), token));
    }
    let large = "[limits]\nmemory-bytes = \"1GiB\"\noutput-bytes = \"1GiB\"\nbody-bytes = \"128MiB\"\n";
    for (_, client, _) in &tenants {
        for (name, module) in [("hungry", HUNGRY), ("flood", FLOOD), ("cat", CAT)] {
            client.deploy(&DeployRequest::new(manifest(name, large), wat(module))).await.unwrap();
        }
    }
    let idle = server.metric("fabric_memory_charged_bytes").await.unwrap();
    let process = server.process();
    process.forget_peak();
    let (go, waits) = watch::channel(false);
    let attack = async {
        // Half of the bodies have an idempotency key, so that they are buffered twice.
        let bodies = join_all((0..16).map(|n| {
            let (_, _, token) = &tenants[n % tenants.len()];
            let key = if n % 2 == 0 { format!("idempotency-key: attack-{n}\r\n") } else { String::new() };
            let path = "/v1/functions/cat/invoke";
            let (server, waits) = (&server, waits.clone());
            async move { held_open(server, token, path, &key, 64 << 20, waits).await }
        }));
        let guests = async {
            let hungry = join_all((0..6).map(|n| called(&tenants[n % 3].1, "hungry", format!("{n}"))));
            let floods = join_all((0..3).map(|n| called(&tenants[n].1, "flood", format!("{n}"))));
            let (hungry, floods) = tokio::join!(hungry, floods);
            go.send_replace(true);
            hungry.into_iter().chain(floods).collect::<Vec<_>>()
        };
        tokio::join!(bodies, guests)
    };
    tokio::pin!(attack);
    let mut answered = 0;
    let (bodies, guests) = loop {
        tokio::select! {
            ended = &mut attack => break ended,
            answer = server.raw("GET", "/healthz", None, "") => {
                assert_eq!(answer.status, 200);
                answered += 1;
            }
        }
    };
    let peak = process.peak();
    assert!(peak < MEMORY + BASE, "{} MiB resident, of {} MiB configured", peak / MIB, MEMORY / MIB);
    assert!(answered > 10);
    // Each call ended with an error that names the cause, and the server survived.
    assert_eq!(guests.len(), 9);
    for guest in guests {
        let problem = guest.expect_err("a guest had memory for all of it");
        let known = [Code::NodeMemory, Code::MemoryLimit, Code::OutputLimit];
        assert!(known.contains(&problem.code), "{problem:?}");
    }
    let refused = bodies.iter().filter(|status| **status != Some(200)).count();
    assert!(refused > 0, "all 16 bodies of 64 MiB were accepted within 1 GiB");
    assert!(server.metric("fabric_memory_refused_total").await.unwrap() > 0.0);
    // Afterwards all memory is released, and every function works.
    server.until_metric("fabric_memory_charged_bytes", |bytes| bytes <= idle).await;
    for (name, client, _) in &tenants {
        assert_eq!(called(client, "cat", *name).await.unwrap(), *name);
        let body = vec![b'y'; 8 << 20];
        assert_eq!(called(client, "cat", body.clone()).await.unwrap(), body);
    }
}

/// The server's limit of file descriptors.
const DESCRIPTORS: u64 = 2048;
/// The number of them that guests of one tenant may hold.
const OF_TENANT: usize = 512;

#[tokio::test]
async fn open_files_of_guests_leave_the_process_its_own() {
    // The server inherits this limit.
    let limit = rustix::process::Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let server = Server::start(Options { args: Vec::new() }).await;
    let more = "[limits]\nhandles = 60000\n[grants]\nclocks = true\n\
                [[grants.volumes]]\nname = \"data\"\npath = \"/data\"\nwrite = true";
    for tenant in ["a", "b"] {
        let client = server.client_in(tenant);
        client.deploy(&DeployRequest::new(manifest("flood", more), built("volume-flood"))).await.unwrap();
    }
    let [a, b] = ["a", "b"].map(|tenant| server.client_in(tenant));
    let floods = [&a, &a, &b].map(|client| called(client, "flood", "open 50000"));
    let floods = join_all(floods);
    let asking = async {
        for _ in 0..20 {
            // Each request uses a new connection.
            let answer = reqwest::Client::new().get(format!("{}/healthz", server.url())).send();
            let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.expect("no response within 10 s");
            assert!(answer.unwrap().status().is_success());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (floods, ()) = futures::join!(floods, asking);
    let open: Vec<usize> = floods
        .into_iter()
        .map(|answer| {
            let answer = String::from_utf8(answer.unwrap().to_vec()).unwrap();
            assert!(answer.contains("error"), "{answer}");
            answer.split(' ').next().unwrap().parse().unwrap()
        })
        .collect();
    assert!(open[0] + open[1] <= OF_TENANT && open[2] <= OF_TENANT && open[2] > 100, "{open:?}");
    // Closed descriptors can be used again.
    assert_eq!(&*called(&a, "flood", "open 100").await.unwrap(), b"100 open");
}

#[tokio::test]
async fn bodies_that_are_never_sent_are_charged() {
    let args = ["--memory", "512MiB"].map(str::to_owned).to_vec();
    let server = Server::start(Options { args }).await;
    let more = "public = true\n[limits]\nhandles = 65536\noutput-bytes = \"1MiB\"";
    server.client().deploy(&DeployRequest::new(manifest("flood", more), built("http-flood"))).await.unwrap();
    let process = server.process();
    process.forget_peak();
    let calls = (0..4).map(async |_| {
        let url = format!("{}/f/default/flood/bodies/30000", server.url());
        reqwest::Client::new().get(url).send().await.unwrap().status().as_u16()
    });
    let statuses = join_all(calls).await;
    assert!(statuses.iter().all(|status| *status >= 400), "{statuses:?}");
    let peak = process.peak();
    assert!(peak < (512 << 20) + BASE, "{} MiB resident", peak / MIB);
}
