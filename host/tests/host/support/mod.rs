//! A host over a temporary folder, and functions that deploy and run guests.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use bytes::Bytes;
use fabric_host::*;
use fabric_types::{Fault, digest::ModuleDigest, function::Deployment, id::*, limits::Limits, manifest::Manifest};
use std::{path::PathBuf, sync::Arc};

pub struct Sandbox {
    pub host: Host,
    pub dir: tempfile::TempDir,
}

pub fn worker() -> WorkerCommand {
    WorkerCommand { program: env!("CARGO_BIN_EXE_fabric-compile-worker").into(), args: Vec::new() }
}

pub fn options(dir: &std::path::Path) -> Options {
    let mut options = Options::new(dir, worker());
    options.max_instances = 4;
    options
}

pub fn sandbox_with(change: impl FnOnce(&mut Options)) -> Sandbox {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path());
    change(&mut options);
    Sandbox { host: Host::start(options).unwrap(), dir }
}

pub fn sandbox() -> Sandbox {
    sandbox_with(|_| {})
}

pub fn wat(text: &str) -> Bytes {
    wat::parse_str(text).unwrap().into()
}

/// Returns a guest that `cargo xtask guests` built.
pub fn guest(name: &str) -> Bytes {
    let dir = std::env::var_os("FABRIC_GUESTS_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")), PathBuf::from);
        target.join("guests")
    });
    let path = dir.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask guests`", path.display())).into()
}

/// Returns the tenant of all deployments in these tests.
pub fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

impl Sandbox {
    pub async fn deploy(&self, module: &Bytes, change: impl FnOnce(&mut Manifest)) -> Result<Arc<Loaded>, Fault> {
        let inspected = self.host.inspect_and_compile(&acme(), module.clone()).await?;
        let mut manifest = Manifest::named(FunctionName::new("guest").unwrap());
        change(&mut manifest);
        let deployment = Arc::new(Deployment {
            tenant: acme(),
            function: FunctionName::new("guest").unwrap(),
            version: 1,
            module: ModuleDigest::of(module),
            module_bytes: module.len() as u64,
            entry: inspected.entry,
            manifest,
            created_ms: 0,
            note: String::new(),
        });
        let bytes = module.clone();
        self.host.load(&deployment, || async move { Ok(bytes) }).await
    }

    pub async fn load(&self, module: &Bytes) -> Arc<Loaded> {
        self.deploy(module, |_| {}).await.unwrap()
    }

    pub async fn map(&self, loaded: &Loaded, input: impl Into<Bytes>, limits: Limits) -> TaskReport {
        let mut call = TaskCall::new(TaskStage::Map, source::MemorySource::one("input", input));
        call.limits = limits;
        self.host.run_task(loaded, call).await
    }

    /// Deploys a preview 1 module in text format and runs it.
    pub async fn run_wat(&self, text: &str, limits: Limits) -> TaskReport {
        let loaded = self.load(&wat(text)).await;
        self.map(&loaded, "", limits).await
    }
}

pub fn text(report: &TaskReport) -> String {
    match &report.result {
        Ok(output) => String::from_utf8_lossy(&output.bytes).into_owned(),
        Err(fault) => panic!("{fault:?}"),
    }
}

/// Returns a preview 1 command that runs `body`. It imports `fd_write` and related functions, and exports its memory.
pub fn command(body: &str) -> String {
    format!(
        r#"(module $guest
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
        (import "wasi_snapshot_preview1" "sched_yield" (func $sched_yield (result i32)))
        (memory (export "memory") 2)
        (table $t 1 funcref)
        (type $unit (func))
        ;; Writes len bytes at ptr to fd.
        (func $write (param $fd i32) (param $ptr i32) (param $len i32)
          (i32.store (i32.const 0) (local.get $ptr))
          (i32.store (i32.const 4) (local.get $len))
          (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
        {body})"#
    )
}
