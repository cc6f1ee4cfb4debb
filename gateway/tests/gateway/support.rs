//! A server wired like `fabric serve`, over a temporary folder, and helpers for requests.

use bytes::Bytes;
use fabric_api::Problem;
use fabric_backend::Backend;
use fabric_driver::Driver;
use fabric_embedded::Embedded;
use fabric_gateway::{Gateway, Handle, JupyterHub, Options, Services, tokens::ensure_admin_token};
use fabric_host::{Host, WorkerCommand};
use fabric_index::{Index, RecordSink};
use fabric_node::{NodeHandle, NodeMetrics};
use fabric_results::ResultStore;
use fabric_store::{Store, StoreOptions};
use fabric_types::{id::NodeId, price::Prices};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use reqwest::{Method, multipart};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Copies standard input to standard output.
pub const CAT: &str = r#"(module
 (import "wasi_snapshot_preview1" "fd_read" (func $r (param i32 i32 i32 i32) (result i32)))
 (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 2)
 (func (export "_start") (local $n i32) (local $at i32)
  (loop $more
   (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 65536))
   (if (call $r (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
   (local.set $n (i32.load (i32.const 8)))
   (if (i32.eqz (local.get $n)) (then (return)))
   (local.set $at (i32.const 1024))
   (loop $write
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $n))
    (if (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then (unreachable)))
    (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
    (local.set $n (i32.sub (local.get $n) (i32.load (i32.const 8))))
    (br_if $write (local.get $n)))
   (br $more))))"#;

/// Traps.
pub const TRAP: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (unreachable)))"#;

/// Runs until its fuel is spent.
pub const LOOP: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))"#;

pub struct Server {
    pub services: Services,
    pub host: Host,
    pub admin: String,
    pub addr: std::net::SocketAddr,
    handle: Option<Handle>,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}: {}", self.status, self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    /// Returns the answer, after asserting that it has this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Returns the problem, after asserting that it has this code and is complete.
    #[track_caller]
    pub fn problem(&self, code: &str) -> Problem {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}: {}", self.status, self.text());
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.code.as_str(), code, "{}", self.text());
        assert_eq!(problem.status, self.status);
        assert_eq!(problem.status, problem.code.http_status());
        assert_eq!(problem.kind, format!("urn:fabric:error:{code}"));
        assert!(!problem.detail.is_empty() && self.header("fabric-request-id").is_some());
        problem
    }
}

fn worker() -> WorkerCommand {
    if let Some(program) = std::env::var_os("FABRIC_BIN") {
        return WorkerCommand { program: program.into(), args: vec!["compile-worker".to_owned()] };
    }
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("fabric-compile-worker");
    assert!(
        program.exists(),
        "{} is not there; run `cargo build -p fabric-host --bin fabric-compile-worker`, or name the binary in FABRIC_BIN",
        program.display()
    );
    WorkerCommand { program, args: Vec::new() }
}

/// Returns a guest that `cargo xtask guests` built.
pub fn guest(name: &str) -> Bytes {
    let folder = std::env::var_os("FABRIC_GUESTS_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")), PathBuf::from);
        target.join("guests")
    });
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask guests`", path.display())).into()
}

pub fn wat(text: &str) -> Bytes {
    wat::parse_str(text).unwrap().into()
}

/// Returns options with accounts over the sandbox's own volumes.
pub fn storage(data: &Path, index: &Index, store: &Store) -> fabric_node::StorageOptions {
    let volumes = fabric_node::Volumes::new(data.join("sandbox/volumes"), store.accounts().clone());
    fabric_node::StorageOptions::new(index.clone(), volumes)
}

async fn services(data: &Path, epoch: Option<u64>, change: impl FnOnce(&mut Backend)) -> (Services, Host) {
    let mut backend = Embedded::open(&data.join("state.db")).unwrap();
    change(&mut backend);
    let index = Index::open(&data.join("index.db")).unwrap();
    let store = Store::open(&data.join("objects").display().to_string(), StoreOptions::default()).unwrap();
    let results = ResultStore::new(backend.results.clone(), store.clone());
    let node_metrics = NodeMetrics::default();
    let mut sandbox = fabric_host::Options::new(data.join("sandbox"), worker());
    sandbox.observer = Some(node_metrics.observer());
    let host = Host::start(sandbox).unwrap();
    let driver = Driver::start(fabric_driver::Options {
        backend: backend.clone(),
        store: store.clone(),
        results: results.clone(),
        index: index.clone(),
        config: fabric_driver::Config::default(),
        max_tasks: fabric_driver::DEFAULT_MAX_TASKS,
        open_jobs: fabric_driver::DEFAULT_OPEN_JOBS,
        epoch,
        retention: fabric_driver::Retention::default(),
        fingerprint: Arc::new({
            let host = host.clone();
            move |class| host.fingerprint(class).to_owned()
        }),
    })
    .await
    .unwrap();
    let node = NodeHandle::start(fabric_node::Options {
        id: NodeId::new("local").unwrap(),
        epoch: 0,
        slots: 2,
        url: None,
        offer: fabric_node::Offer::default(),
        backend: backend.clone(),
        store: store.clone(),
        results: results.clone(),
        notes: RecordSink::Index(index.clone()),
        host: host.clone(),
        folder: None,
        policy: fabric_types::policy::Policy::default(),
        metrics: node_metrics.clone(),
        storage: storage(data, &index, &store),
    })
    .await
    .unwrap();
    let mut metrics = Registry::default();
    node_metrics.register(&mut metrics);
    let metrics = Arc::new(Mutex::new(metrics));
    let services = Services {
        backend,
        store,
        index,
        driver: Some(driver),
        peers: None,
        dependencies: Vec::new(),
        jupyterhub: None,
        node,
        results,
        metrics,
        python_runner: None,
        data_dir: data.to_owned(),
        prices: Some(Prices { fuel: 2.0, ..Prices::default() }),
        keep_answers: Duration::from_secs(86_400),
        keep_tokens: Duration::from_secs(86_400),
        sweep_every: Duration::from_secs(3600),
    };
    (services, host)
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Options::default(), |_| {}).await
    }

    pub async fn with(options: Options, change: impl FnOnce(&mut Backend)) -> Self {
        Self::owning(options, None, change).await
    }

    /// Starts a server that owns the jobs under a lease of this epoch, as in a fleet.
    pub async fn owning(options: Options, epoch: Option<u64>, change: impl FnOnce(&mut Backend)) -> Self {
        Self::made(options, epoch, change, None).await
    }

    /// Starts a server for the users of a Hub.
    pub async fn of_hub(hub: JupyterHub) -> Self {
        Self::made(Options::default(), None, |_| {}, Some(hub)).await
    }

    async fn made(
        options: Options,
        epoch: Option<u64>,
        change: impl FnOnce(&mut Backend),
        jupyterhub: Option<JupyterHub>,
    ) -> Self {
        // Another test of this process may have done this already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let (services, host) = services(folder.path(), epoch, change).await;
        let services = Services { jupyterhub, ..services };
        let gateway = Gateway::new(services.clone());
        let admin = ensure_admin_token(gateway.tokens(), folder.path(), "process local on here").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let handle = gateway.serve(options, listener).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { services, host, admin, addr: handle.addr, handle: Some(handle), client, _folder: folder }
    }

    /// Makes the server report that it leaves. It continues to serve.
    pub fn leave(&self) {
        self.handle.as_ref().unwrap().leave();
    }

    /// Stops the gateway and waits for it.
    pub async fn stop(&mut self) {
        self.handle.take().unwrap().stop().await;
    }

    /// Returns a request with the admin's token.
    pub fn ask(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.bare(method, path).bearer_auth(&self.admin)
    }

    /// Returns a request without a token.
    pub fn bare(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("http://{}{path}", self.addr))
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.ask("GET", path)).await
    }

    pub async fn json(&self, method: &str, path: &str, body: Value) -> Answer {
        send(self.ask(method, path).header("content-type", "application/json").body(body.to_string())).await
    }

    /// Deploys a module under a name; `more` is merged into the manifest.
    pub async fn deploy(&self, name: &str, module: Bytes, more: Value) -> Answer {
        send(self.ask("POST", "/v1/functions").multipart(form(name, module, more))).await
    }

    /// Creates a token of a role in a tenant. Returns its id and secret.
    pub async fn token(&self, role: &str, tenant: &str) -> (String, String) {
        let made =
            self.json("POST", "/v1/tokens", json!({ "name": role, "role": role, "tenant": tenant })).await.is(201);
        let made = made.json();
        (made["token"]["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
    }

    /// Sends bytes, closes the sending side of the connection, and returns the response.
    pub async fn cut_off(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Sends bytes and reads until the server closes.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        // The sending side stays open: closing it would tell the server that the client does not wait for an answer. A
        // server that closes before it has read everything resets the connection; its response still counts. An event
        // stream does not end: after its first bytes, silence is enough.
        let mut all = Vec::new();
        let mut patience = Duration::from_secs(10);
        while let Ok(Ok(1..)) = tokio::time::timeout(patience, stream.read_buf(&mut all)).await {
            patience = Duration::from_millis(200);
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}

pub fn form(name: &str, module: Bytes, more: Value) -> multipart::Form {
    let mut manifest = json!({ "function": { "name": name } });
    merge(&mut manifest, more);
    multipart::Form::new()
        .text("manifest", manifest.to_string())
        .part("module", multipart::Part::bytes(module.to_vec()).file_name("m.wasm"))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap() }
}
