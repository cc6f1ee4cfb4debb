//! Deploys and calls every guest of `examples/hostile` through the public API. Checks the error, the bound, that other
//! calls are served meanwhile, and that no resources leak.

use fabric_api::Problem;
use fabric_client::{Client, DeployRequest, Error, InvokeRequest};
use fabric_tests::{Options, Server, built, hostile, hostile_names, manifest};
use fabric_types::{Code, job::JobState, rest::invocation::InvocationState};
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// Growth of the server, beyond the guests' own memory, that a test of a few hundred calls allows.
const SLACK: u64 = 64 * MIB;

/// One guest and one limit.
struct Case {
    guest: &'static str,
    /// The manifest without its name.
    manifest: &'static str,
    code: Code,
    /// The function's fuel limit.
    fuel: u64,
    /// `true` if the call ends within milliseconds.
    quick: bool,
}

const fn case(guest: &'static str, manifest: &'static str, code: Code) -> Case {
    Case { guest, manifest, code, fuel: 100_000_000_000, quick: true }
}

const fn slow(guest: &'static str, manifest: &'static str, code: Code) -> Case {
    Case { quick: false, ..case(guest, manifest, code) }
}

/// Guests whose synchronous call ends with a fault. The fuel of the others is the default, so that only the intended
/// limit is reached.
const CASES: &[Case] = &[
    Case { fuel: 3_000_000, ..case("endless-loop", "[limits]\nfuel = 3000000", Code::OutOfFuel) },
    slow("endless-loop", "[limits]\ndeadline-ms = 300", Code::Deadline),
    Case { fuel: 3_000_000, ..case("start-loop", "[limits]\nfuel = 3000000", Code::OutOfFuel) },
    slow("start-loop", "[limits]\ndeadline-ms = 300", Code::Deadline),
    slow("sleep", "[limits]\ndeadline-ms = 300", Code::Deadline),
    case("recursion", "", Code::StackOverflow),
    case("grow-memory", "[limits]\nmemory-bytes = \"32MiB\"", Code::MemoryLimit),
    case("giant-allocation", "", Code::MemoryLimit),
    case("many-memories", "[limits]\nmemory-bytes = \"64MiB\"", Code::MemoryLimit),
    case("fill-2gib", "", Code::MemoryLimit),
    case("fill-outside", "", Code::TrapMemory),
    case("grow-table", "", Code::TableLimit),
    case("flood-output", "[limits]\noutput-bytes = \"2MiB\"", Code::OutputLimit),
    case("flood-log", "[limits]\nlog-bytes = \"16KiB\"", Code::LogLimit),
    case("flood-emit", "[limits]\noutput-bytes = \"2MiB\"", Code::OutputLimit),
    case("host-call-storm", "[limits]\nhost-calls = 10000", Code::HostCallLimit),
    case("handle-storm", "", Code::HandleLimit),
    case("trap", "", Code::TrapUnreachable),
    case("exit-status", "", Code::GuestExit),
    case("bad-utf8", "", Code::GuestContract),
];

/// Guests whose tests are not in the table. `gpu-mischief` is tested in `host/tests/host/gpu.rs`, `http-mirror` in
/// `walls_http.rs`.
const OTHERS: &[&str] = &[
    "canary",
    "describe-loop",
    "gpu-mischief",
    "http-flood",
    "http-loop",
    "http-mirror",
    "unknown-import",
    "volume-escape",
    "volume-flood",
];

#[test]
fn every_hostile_guest_has_a_test() {
    let mut tested: Vec<_> = CASES.iter().map(|c| c.guest).chain(OTHERS.iter().copied()).collect();
    tested.sort_unstable();
    tested.dedup();
    assert_eq!(tested, hostile_names());
}

async fn call(client: &Client, function: &str) -> Result<bytes::Bytes, Error> {
    client.invoke(function, InvokeRequest::new("")).await?.body.bytes(64 * MIB).await
}

async fn fault(client: &Client, function: &str) -> Problem {
    let error = call(client, function).await.expect_err(function);
    error.problem().unwrap_or_else(|| panic!("{function}: {error}")).clone()
}

/// Calls `noop` with a new body, so that a guest runs, and checks the response.
async fn ping(client: &Client, number: u64) {
    let answer = client.invoke("noop", InvokeRequest::new(number.to_string())).await.unwrap();
    assert!(!answer.cached);
    assert_eq!(answer.body.bytes(MIB).await.unwrap(), number.to_string());
}

/// Starts a server with every case deployed as `case-N`, and `noop`.
async fn hostile_server(options: Options) -> Server {
    let server = Server::start(options).await;
    server.example("noop").await;
    for (n, case) in CASES.iter().enumerate() {
        server.deploy(&format!("case-{n}"), hostile(case.guest), case.manifest).await;
    }
    server
}

#[tokio::test]
async fn each_limit_ends_its_guest_with_its_code_while_others_are_served() {
    let server = hostile_server(Options::default()).await;
    let client = server.client();
    let mut pings = 0;
    let mut wrong = Vec::new();
    for (n, case) in CASES.iter().enumerate() {
        let name = format!("case-{n}");
        let before = server.process().resident();
        server.process().forget_peak();
        let problem = {
            let ended = fault(client, &name);
            tokio::pin!(ended);
            loop {
                pings += 1;
                tokio::select! {
                    biased;
                    problem = &mut ended => break problem,
                    () = ping(client, pings) => {}
                }
            }
        };
        let grown = server.process().peak().saturating_sub(before);
        let fuel = problem.fuel.unwrap_or(0);
        if problem.code != case.code || fuel > case.fuel || grown > 32 * MIB + SLACK {
            wrong.push(format!("{} {:?}: grew by {grown}, {problem:?}", case.guest, case.manifest));
        }
        // The details that a developer needs to fix the function.
        assert!(problem.invocation_id.is_some() && problem.status == case.code.http_status(), "{problem:?}");
        if case.code == Code::OutOfFuel {
            assert!(fuel > case.fuel - 100_000, "{fuel} of {} spent", case.fuel);
        }
        match case.guest {
            "trap" => {
                let names: Vec<_> = problem.backtrace.iter().map(|f| f.function.as_str()).collect();
                assert_eq!(names, ["innermost", "entry"]);
            }
            "exit-status" => {
                assert!(problem.detail.contains("status 3"), "{problem:?}");
                assert!(problem.stderr.iter().any(|line| line.contains("the third kind of failure")), "{problem:?}");
            }
            "grow-memory" => assert!(problem.hint.as_deref().unwrap().contains("limits.memory-bytes"), "{problem:?}"),
            _ => {}
        }
        // The next call is served as before.
        ping(client, 1_000_000 + pings).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
}

#[tokio::test]
async fn others_are_served_while_every_slot_is_taken_by_a_loop() {
    let server = Server::start(Options::slots(1)).await;
    for name in ["noop", "http-hello"] {
        server.example(name).await;
    }
    server.deploy("looping", hostile("endless-loop"), "[limits]\nfuel = 1000000000000000").await;
    server.deploy("http-loop", hostile("http-loop"), "[limits]\nfuel = 1000000000000000").await;
    let client = server.client();
    // These calls would run for a minute. The test stops each of them below.
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { call(&client, "looping").await })
        })
        .collect();
    let stuck = client.clone();
    let stuck =
        tokio::spawn(async move { stuck.fetch("default", "http-loop", "/", reqwest::Method::GET, "".into()).await });
    let queued = client.invoke_async("looping", InvokeRequest::new("")).await.unwrap();
    server.until_metric("fabric_node_running_guests", |n| n >= 6.0).await;
    for n in 0..20 {
        ping(client, n).await;
        let page =
            client.fetch("default", "http-hello", &format!("/{n}"), reqwest::Method::GET, "".into()).await.unwrap();
        assert!(page.bytes(MIB).await.unwrap().starts_with(b"Hello"));
    }
    server.put("a/b", "text").await;
    assert_eq!(client.get("a/b", &Default::default()).await.unwrap().bytes(MIB).await.unwrap(), "text");
    client.ready().await.unwrap();
    assert!(server.cli(&["ls", "a/"]).await.ok().text().contains("a/b"));
    assert!(calls.iter().all(|call| !call.is_finished()) && !stuck.is_finished(), "the loops ended too early");
    // A queued invocation is cancelled.
    client.cancel_invocation(queued.id.as_str()).await.unwrap();
    let queued = client.invocation(queued.id.as_str(), Some(Duration::from_secs(60))).await.unwrap();
    assert_eq!(queued.state, InvocationState::Cancelled);
    // A guest is stopped when its caller disconnects.
    for call in calls {
        call.abort();
    }
    stuck.abort();
    server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
}

#[tokio::test]
async fn the_bound_on_calls_at_once_holds() {
    let server = Server::start(Options::default()).await;
    server.deploy("sleeper", hostile("sleep"), "[limits]\nconcurrency = 2").await;
    let sleepers: Vec<_> = (0..2)
        .map(|_| {
            let client = server.client().clone();
            tokio::spawn(async move { call(&client, "sleeper").await })
        })
        .collect();
    server.until_metric("fabric_node_running_guests", |n| n == 2.0).await;
    assert_eq!(fault(server.client(), "sleeper").await.code, Code::TooManyRequests);
    for sleeper in sleepers {
        sleeper.abort();
    }
    server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
}

#[tokio::test]
async fn a_flood_in_a_job_fails_the_job_once() {
    let server = Server::start(Options::default()).await;
    server.deploy("flood-emit", hostile("flood-emit"), "[limits]\nemit-bytes = \"1MiB\"").await;
    server.deploy("looping", hostile("endless-loop"), "[limits]\nfuel = 1000000").await;
    let client = server.client();
    let spec = |json| serde_json::from_value::<fabric_types::job::JobSpec>(json).unwrap();
    let items = serde_json::json!({"items": [1, 2, 3]});
    for (body, code) in [
        (serde_json::json!({"function": "flood-emit", "input": items, "shuffle": {"partitions": 2}}), Code::EmitLimit),
        (serde_json::json!({"function": "looping", "input": items}), Code::OutOfFuel),
    ] {
        let job = client.submit(&spec(body), None).await.unwrap();
        let job = client.wait_job(job.id.as_str()).await.unwrap();
        assert_eq!(job.state, JobState::Failed);
        assert_eq!(job.error.as_ref().map(|e| e.code), Some(code), "{job:?}");
        // Every attempt would reach the limit again, so there is no retry.
        assert_eq!(job.tasks.retries, 0, "{job:?}");
        let tasks = client.tasks(job.id.as_str(), &Default::default()).await.unwrap().items;
        assert!(tasks.iter().all(|task| task.attempts <= 1), "{tasks:?}");
    }
    // The job's budget stops it although each task is within its limits.
    let body =
        serde_json::json!({"function": "looping", "input": {"items": (0..100).collect::<Vec<_>>()}, "budget-fuel": 10});
    let job = client.submit(&spec(body), None).await.unwrap();
    let job = client.wait_job(job.id.as_str()).await.unwrap();
    assert_eq!(job.state, JobState::Failed);
    assert!(job.cost.fuel <= 8_000_000, "{job:?}");
}

#[tokio::test]
async fn http_functions_are_under_the_same_limits() {
    let server = Server::start(Options::default()).await;
    server.deploy("fuel", hostile("http-loop"), "[limits]\nfuel = 3000000").await;
    server.deploy("time", hostile("http-loop"), "[limits]\ndeadline-ms = 300").await;
    server.deploy("flood", hostile("http-flood"), "[limits]\noutput-bytes = \"1MiB\"").await;
    let client = server.client();
    let get = async |name: &str| client.fetch("default", name, "/", reqwest::Method::GET, "".into()).await;
    for (name, code) in [("fuel", Code::OutOfFuel), ("time", Code::Deadline)] {
        let error = get(name).await.expect_err(name);
        assert_eq!(error.code(), code, "{error}");
    }
    // The response has begun, so the server can only break it off. It never appears complete.
    let body = get("flood").await.unwrap();
    let error = body.bytes(8 * MIB).await.expect_err("the response was complete");
    assert!(matches!(error, Error::Interrupted(_)), "{error:?}");
    server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
}

#[tokio::test]
async fn nothing_is_left_behind_by_a_thousand_faults() {
    let server = hostile_server(Options::default()).await;
    let client = server.client();
    let rounds = async |rounds: usize| {
        for _ in 0..rounds {
            for (n, case) in CASES.iter().enumerate().filter(|(_, case)| case.quick) {
                assert_eq!(fault(client, &format!("case-{n}")).await.code, case.code);
            }
        }
        server.until_metric("fabric_node_running_guests", |n| n == 0.0).await;
        let process = server.process();
        (process.descriptors(), process.threads(), process.children(), process.resident())
    };
    // Resources that are created once, such as the pool's slots and database connections, exist after this warm-up.
    let (descriptors, threads, children, resident) = rounds(20).await;
    let after = rounds(100).await;
    assert!(after.0 <= descriptors + 4, "{} descriptors became {}", descriptors, after.0);
    assert!(after.1 <= threads + 4, "{} threads became {}", threads, after.1);
    assert_eq!(after.2, children, "child processes are left");
    assert!(after.3 < resident + 32 * MIB, "{resident} resident bytes became {}", after.3);
}

async fn refused(client: &Client, name: &str, module: bytes::Bytes) -> Problem {
    let error = client.deploy(&DeployRequest::new(manifest(name, ""), module)).await.expect_err(name);
    error.problem().unwrap_or_else(|| panic!("{error}")).clone()
}

/// Returns a module of about 100 KiB that makes a compiler copy a thousand values over a thousand edges, dozens of
/// times.
fn compile_bomb() -> bytes::Bytes {
    let results = "i32 ".repeat(900);
    let mut text = format!("(module (memory (export \"memory\") 1) (type $many (func (result {results})))\n");
    for function in 0..24 {
        text += &format!("(func $f{function} (result {results})");
        text += &"(block (type $many) ".repeat(900);
        text += &"(i32.const 0)".repeat(901);
        text += "(br_table";
        for depth in 0..900 {
            text += &format!(" {depth}");
        }
        text += ")";
        text += &")".repeat(900);
        text += ")\n";
    }
    text += "(func (export \"_start\")))";
    wat::parse_str(&text).unwrap().into()
}

#[tokio::test]
async fn what_is_not_a_fit_module_is_refused_with_a_reason() {
    let server = Server::start(Options::default()).await;
    let client = server.client();
    server.example("noop").await;
    let whole = built("noop");
    for (bytes, code, said) in [
        (bytes::Bytes::new(), Code::NotWasm, "no bytes"),
        (bytes::Bytes::from_static(b"\x7fELF\x02\x01\x01"), Code::NotWasm, "native program"),
        (bytes::Bytes::from_static(b"(module)"), Code::NotWasm, "text format"),
        (whole.slice(..whole.len() / 2), Code::InvalidModule, "cut off"),
        (whole.slice(..6), Code::InvalidModule, ""),
        (wat::parse_str("(module)").unwrap().into(), Code::NoEntry, "_start"),
    ] {
        let problem = refused(client, "refused", bytes).await;
        assert_eq!(problem.code, code, "{problem:?}");
        assert!(problem.detail.contains(said), "{problem:?}");
    }
    let problem = refused(client, "refused", hostile("unknown-import")).await;
    assert_eq!(problem.code, Code::UnknownImport, "{problem:?}");
    assert!(problem.detail.contains("acme:database/query@1.0.0"), "the import is not named: {problem:?}");
    assert!(problem.hint.as_deref().unwrap().contains("compose"), "no hint how to satisfy it: {problem:?}");
    assert!(client.function("refused").await.unwrap_err().is_not_found(), "a refused module created a function");

    // The CLI writes the reason to standard error, and its exit status names the party at fault.
    std::fs::write(server.folder().join("cut.wasm"), &whole[..whole.len() / 2]).unwrap();
    let ran = server.cli(&["deploy", "cut.wasm"]).await.status(1);
    assert!(ran.stderr.starts_with("error[invalid-module]"), "{ran:?}");

    // The call that reads a guest's description is bounded too.
    let deployed = server.deploy("describe-loop", hostile("describe-loop"), "").await;
    assert!(deployed.warnings.iter().any(|w| w.contains("describe")), "{deployed:?}");
}

#[tokio::test]
async fn a_compilation_that_explodes_is_stopped_and_others_are_served() {
    let server = Server::start(Options::default()).await;
    server.example("noop").await;
    let client = server.client();
    let bomb = compile_bomb();
    assert!(bomb.len() < MIB as usize, "a small module: {} bytes", bomb.len());
    let before = server.process().resident();
    server.process().forget_peak();
    let mut pings = 0;
    let problem = {
        let refused = refused(client, "bomb", bomb);
        tokio::pin!(refused);
        loop {
            tokio::select! {
                biased;
                problem = &mut refused => break problem,
                () = ping(client, pings) => pings += 1,
            }
        }
    };
    assert_eq!(problem.code, Code::CompileLimit, "{problem:?}");
    assert!(pings > 0, "no call was served meanwhile");
    let grown = server.process().peak().saturating_sub(before);
    assert!(grown < SLACK, "the server grew by {grown} bytes during a compilation in a worker");
    assert_eq!(server.process().children(), 0, "a worker is left");
    ping(client, u64::MAX).await;
}

#[tokio::test]
async fn a_volume_is_all_that_a_guest_sees_of_the_disk() {
    let server = Server::start(Options::default()).await;
    let more = "[[grants.volumes]]\nname = \"data\"\npath = \"/data\"";
    server.deploy("escape", hostile("volume-escape"), more).await;
    let open = async |path: &str| {
        let answer = server.client().invoke("escape", InvokeRequest::new(path.to_owned())).await.unwrap();
        String::from_utf8(answer.body.bytes(MIB).await.unwrap().to_vec()).unwrap()
    };
    // The first call creates the volume. The test adds a file, and links that lead out of the volume.
    assert_ne!(open("file").await, "open");
    let volumes = server.folder().join("data/sandbox/volumes/default");
    let volume = volumes.join("data");
    std::fs::write(volume.join("file"), "x").unwrap();
    std::fs::create_dir_all(volumes.join("other")).unwrap();
    std::fs::write(volumes.join("other/secret"), "x").unwrap();
    std::os::unix::fs::symlink("../other/secret", volume.join("link")).unwrap();
    std::os::unix::fs::symlink(server.folder().join("data/admin-token"), volume.join("absolute")).unwrap();
    std::os::unix::fs::symlink("..", volume.join("up")).unwrap();
    assert_eq!(open("file").await, "open");
    for path in [
        "../other/secret",
        "link",
        "absolute",
        "up/other/secret",
        "/etc/passwd",
        "//etc/passwd",
        "./../../../../admin-token",
        "x/../../other/secret",
        "..\\other\\secret",
        "%2e%2e/other/secret",
        "file/../../other/secret",
        "../other/secret\0",
        "..",
    ] {
        let answer = open(path).await;
        assert!(answer.bytes().all(|b| b.is_ascii_digit()) && answer.len() == 2, "{path:?}: {answer}");
    }
    // Without the grant, nothing can be opened.
    server.deploy("bare", hostile("volume-escape"), "").await;
    let answer = server.client().invoke("bare", InvokeRequest::new("file")).await.unwrap();
    assert_eq!(answer.body.bytes(MIB).await.unwrap(), "08");
}
