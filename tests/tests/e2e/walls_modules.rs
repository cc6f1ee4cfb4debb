//! Modules that attack their readers: the parser, the compiler, the reader of debug information. Each is sent through
//! the public API of a server whose process must survive.

use bytes::Bytes;
use fabric_api::Problem;
use fabric_client::{Client, DeployRequest, Error, InvokeRequest};
use fabric_tests::{Options, Process, Server, manifest, until};
use fabric_types::{Code, rest::token::Role};
use std::fmt::Write as _;

#[path = "../../../host/tests/host/support/debug_info.rs"]
mod debug_info;

/// Starts a server with these flags.
async fn server(flags: &[&str]) -> Server {
    Server::start(Options { args: flags.iter().map(|flag| (*flag).to_owned()).collect() }).await
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// Returns a command whose inner function traps.
fn trapping() -> Vec<u8> {
    wat(r#"(module $guest
        (func $inner unreachable)
        (func $outer (export "_start") (call $inner)))"#)
}

async fn deploy(client: &Client, name: &str, module: impl Into<Bytes>) -> Result<(), Problem> {
    match client.deploy(&DeployRequest::new(manifest(name, ""), module.into())).await {
        Ok(_) => Ok(()),
        Err(error) => Err(problem(&error)),
    }
}

fn problem(error: &Error) -> Problem {
    error.problem().cloned().unwrap_or_else(|| panic!("not a problem of the server's: {error}"))
}

async fn trap(client: &Client, name: &str) -> Problem {
    problem(&client.invoke(name, InvokeRequest::new(Vec::new())).await.expect_err("it traps"))
}

async fn is_healthy(server: &Server) {
    let answer = server.raw("GET", "/healthz", None, "").await;
    assert_eq!(answer.status, 200, "{}", server.log());
}

/// Returns a module with one function that takes the compiler minutes: many blocks and live values. `seed` makes
/// modules distinct.
fn slow(seed: u32) -> Vec<u8> {
    let mut body = String::new();
    for i in 0..60_000_u32 {
        write!(
            body,
            "(local.set {} (i32.add (local.get {}) (local.get {})))(br_if 0 (local.get {}))",
            i % 500,
            (i * 7) % 500,
            (i * 13) % 500,
            (i * 3 + seed) % 500
        )
        .unwrap();
    }
    let locals = "i32 ".repeat(500);
    wat(&format!(r#"(module (func (export "_start") (local {locals}) (block {body})))"#))
}

/// Returns the process ids of the server's compile workers.
fn workers(server: &Server) -> Vec<u32> {
    let parent = format!("PPid:\t{}", server.process().0);
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let of = |file: &str| std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&of("status")).lines().any(|line| line == parent)
            && of("cmdline").split(|byte| *byte == 0).any(|argument| argument == b"compile-worker")
    })
    .collect()
}

#[tokio::test]
async fn debug_information_can_neither_kill_nor_stop_the_server() {
    let server = server(&[]).await;
    let (client, process) = (server.client(), server.process().0);
    server.process().forget_peak();
    for (what, module) in debug_info::hostile(&trapping()) {
        deploy(client, "trapping", module).await.unwrap_or_else(|e| panic!("{what}: {e:?}"));
        let before = server.process().resident();
        let problem = trap(client, "trapping").await;
        assert_eq!(problem.code, Code::TrapUnreachable, "{what}: {problem:?}");
        let frames = &problem.backtrace;
        assert!((2..=64).contains(&frames.len()), "{what}: {frames:?}");
        assert!(frames.iter().all(|frame| frame.function.len() <= 500), "{what}: {frames:?}");
        let grown = server.process().peak().saturating_sub(before);
        assert!(grown < 256 << 20, "{what}: the server grew by {grown} bytes");
        server.process().forget_peak();
        is_healthy(&server).await;
    }
    assert_eq!(server.process().0, process, "the server is another process");
}

#[tokio::test]
async fn a_trap_names_functions_files_and_lines_all_the_same() {
    let server = server(&[]).await;
    let bare = trapping();
    let bodies = debug_info::functions(&bare);
    let mut info = debug_info::Info::new(0);
    let inlined = info.abstract_function("helper");
    info.function("inner", bodies[0]);
    info.inlined(inlined, bodies[0], 12);
    info.end();
    info.end();
    let mut sections = info.sections();
    let rows = [(bodies[0].0, 1, 34)];
    sections.push((".debug_line", debug_info::lines(&[], &[(b"main.c", 0)], &rows, bodies[0].1)));
    deploy(server.client(), "named", debug_info::with(&bare, &sections)).await.unwrap();
    let problem = trap(server.client(), "named").await;
    let frames: Vec<_> = problem.backtrace.into_iter().map(|f| (f.function, f.location)).collect();
    let frame = |name: &str, location: Option<&str>| (name.to_owned(), location.map(str::to_owned));
    assert_eq!(
        frames,
        [frame("helper", Some("/src/main.c:34")), frame("inner", Some("/src/main.c:12")), frame("outer", None)]
    );
}

/// Returns a module of twenty functions, each with one jump table of 65,000 branches out of a block with 900 results:
/// the validator compares every result of every branch.
fn jump_tables() -> Vec<u8> {
    let results = "i32 ".repeat(900);
    let values = "(i32.const 0)".repeat(900);
    let ways = "0 ".repeat(65_000);
    let function =
        format!("(func (result {results}) (block (result {results}) {values} (br_table {ways} (i32.const 0))))");
    wat(&format!(r#"(module {} (func (export "_start")))"#, function.repeat(20)))
}

#[tokio::test]
async fn a_module_that_takes_minutes_to_validate_is_stopped_and_others_are_served() {
    let server = server(&["--compile-cpu-seconds", "1"]).await;
    let bomb = jump_tables();
    assert!(bomb.len() < 2 << 20, "a small module: {} bytes", bomb.len());
    let other = server.client_in("other");
    let refused = deploy(server.client(), "bomb", bomb);
    tokio::pin!(refused);
    let mut served = 0;
    let problem = loop {
        tokio::select! {
            biased;
            outcome = &mut refused => break outcome.unwrap_err(),
            () = is_healthy(&server) => served += 1,
        }
        if served == 3 {
            deploy(&other, "small", trapping()).await.unwrap();
        }
    };
    assert_eq!(problem.code, Code::CompileLimit, "{problem:?}");
    assert!(problem.hint.as_deref().is_some_and(|hint| hint.contains("compile-cpu-seconds")), "{problem:?}");
    assert!(served > 3, "no other request was served meanwhile");
    assert_eq!(server.process().children(), 0, "a worker is left");
}

/// Returns nested components.
fn nested(depth: usize) -> Vec<u8> {
    const HEAD: [u8; 8] = [0, b'a', b's', b'm', 13, 0, 1, 0];
    (0..depth).fold(HEAD.to_vec(), |inner, _| [&HEAD[..], &[4], &debug_info::leb(inner.len() as u64), &inner].concat())
}

/// Returns component types, each a list of the one before.
fn types(depth: usize) -> Vec<u8> {
    let mut text = String::from("(component (type (list u8))");
    for n in 0..depth {
        write!(text, "(type (list {n}))").unwrap();
    }
    wat(&(text + ")"))
}

#[tokio::test]
async fn a_module_that_the_compiler_fails_on_is_the_deployers_fault() {
    let server = server(&["--compile-cpu-seconds", "2", "--compile-memory", "256MiB"]).await;
    let blocks = format!(r#"(module (func (export "_start") {} {}))"#, "block ".repeat(30_000), "end ".repeat(30_000));
    let exports: String = (0..300_000).map(|n| format!("(export \"e{n}\" (func 0))")).collect();
    let long = "x".repeat(90_000);
    for (what, module) in [
        ("nested components", nested(2000)),
        ("nested types", types(5000)),
        ("nested blocks", wat(&blocks)),
        ("300,000 exports", wat(&format!(r#"(module (func (export "_start")) {exports})"#))),
        ("a long import", wat(&format!(r#"(module (import "{long}" "x" (func)) (func (export "_start")))"#))),
    ] {
        if let Err(problem) = deploy(server.client(), "deep", module).await {
            assert!(
                matches!(
                    problem.code,
                    Code::CompileLimit | Code::InvalidModule | Code::NoEntry | Code::UnknownImport | Code::TooLarge
                ),
                "{what}: {problem:?}"
            );
            assert!(problem.detail.len() < 10_000, "{what}: a message of {} bytes", problem.detail.len());
        }
        is_healthy(&server).await;
    }
    let limited = Server::start(Options { args: vec!["--max-module-bytes".into(), "2KiB".into()] }).await;
    deploy(limited.client(), "small", trapping()).await.unwrap();
    let problem = deploy(limited.client(), "large", nested(2000)).await.unwrap_err();
    assert_eq!(problem.code, Code::TooLarge, "{problem:?}");
}

/// Deploys without an idempotency key, so that the work is cancelled when the caller disconnects. The form is sent in
/// chunks.
async fn post(url: String, secret: String, module: Bytes) -> (u16, Code) {
    const BOUNDARY: &str = "walls";
    let part = |name: &str| format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n");
    let head = format!("{}{}\r\n{}", part("manifest"), manifest("slow", ""), part("module"));
    let chunks = [Bytes::from(head), module, Bytes::from(format!("\r\n--{BOUNDARY}--\r\n"))];
    let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks.map(Ok::<_, std::io::Error>)));
    let request = reqwest::Client::new()
        .post(format!("{url}/v1/functions"))
        .bearer_auth(secret)
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(body);
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.bytes().await.unwrap());
    let problem: Problem = serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{status}: {e}"));
    (status, problem.code)
}

#[tokio::test]
async fn one_tenants_slow_modules_keep_no_other_tenant_waiting() {
    let server = server(&["--compile-concurrency", "2"]).await;
    let (greedy, other) = (server.token("greedy", Role::Developer).await, server.client_in("other"));
    // One module is compiled, the maximum number waits, and one is rejected.
    let mut deploys = tokio::task::JoinSet::new();
    let module = Bytes::from(slow(1));
    for _ in 0..18 {
        deploys.spawn(post(server.url().to_owned(), greedy.clone(), module.clone()));
    }
    let refused = deploys.join_next().await.unwrap().unwrap();
    assert_eq!(refused, (429, Code::TooManyRequests));
    until("the greedy tenant's module is being compiled", async || !workers(&server).is_empty()).await;
    let worker = workers(&server);
    assert_eq!(worker.len(), 1, "a tenant may use half of the workers");
    is_confined(worker[0]).await;

    // The other tenant is served while that worker runs.
    deploy(&other, "small", trapping()).await.unwrap();
    assert_eq!(workers(&server), worker, "the slow worker has ended");
    assert_eq!(deploys.len(), 17);

    // Disconnecting callers stop their worker and free their places in the queue.
    deploys.shutdown().await;
    until("no worker is left", async || workers(&server).is_empty()).await;
    deploy(&server.client_in("greedy"), "small", trapping()).await.unwrap();
}

#[tokio::test]
async fn a_worker_ends_with_its_server() {
    let mut server = server(&[]).await;
    let deploy = tokio::spawn(post(server.url().to_owned(), server.admin().to_owned(), slow(2).into()));
    until("the module is being compiled", async || !workers(&server).is_empty()).await;
    let worker = workers(&server)[0];
    server.kill9().await;
    let gone = || std::fs::read_to_string(format!("/proc/{worker}/status")).map_or(true, |s| s.contains("State:\tZ"));
    until("its worker has ended too", async || gone()).await;
    deploy.abort();
}

/// Checks the confinement of a compile worker, as the kernel reports it.
async fn is_confined(worker: u32) {
    let read = || std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    // The worker confines itself before it reads the module, and a moment after it appears.
    until("the worker is confined", async || read().lines().any(|line| line == "Seccomp:\t2")).await;
    let status = read();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!((field("NoNewPrivs").as_str(), field("Seccomp").as_str()), ("1", "2"), "{status}");
    // Only root becomes another user.
    let user = if Process::is_root() { "65534".to_owned() } else { Process::own_user().to_string() };
    assert_eq!((field("Uid"), field("CapEff")), (user, "0".repeat(16)), "{status}");
    let environment = std::fs::read(format!("/proc/{worker}/environ")).unwrap();
    assert_eq!(environment, b"", "the worker has environment variables");
}
