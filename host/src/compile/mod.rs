//! Compilation, in a process of its own: see [`worker`] for what runs there.

pub(crate) mod protocol;
pub(crate) mod worker;

use crate::options::CompileOptions;
use fabric_types::{Code, Fault};
use protocol::Request;
use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    sync::Semaphore,
};

/// Starts workers and reads their answers.
pub(crate) struct Compiler {
    options: CompileOptions,
    turns: Semaphore,
}

impl Compiler {
    pub(crate) fn new(options: CompileOptions) -> Self {
        let turns = Semaphore::new(options.concurrency.max(1));
        Self { options, turns }
    }

    /// Refuses a module that is too large to be read.
    pub(crate) fn check_size(&self, bytes: usize) -> Result<(), Fault> {
        let max = self.options.max_module_bytes;
        if bytes as u64 <= max.0 {
            return Ok(());
        }
        Err(Fault::new(Code::TooLarge, format!("the module has {bytes} bytes, at most {max} are taken"))
            .hint("strip debug information with `wasm-tools strip`, or optimise for size"))
    }

    /// Compiles a module for the engine with this fingerprint. Dropping the future kills the worker.
    ///
    /// # Errors
    /// `compile-limit` when it takes more memory or time than allowed, `invalid-module`, or `internal`.
    pub(crate) async fn compile(
        &self,
        module: &[u8],
        pure: bool,
        component: bool,
        fingerprint: &str,
    ) -> Result<Vec<u8>, Fault> {
        self.check_size(module.len())?;
        let Ok(_turn) = self.turns.acquire().await else {
            return Err(Fault::new(Code::Unavailable, "the host is shutting down"));
        };
        let request = Request {
            pure,
            component,
            fingerprint: fingerprint.to_owned(),
            memory_bytes: self.options.memory_bytes.0,
            cpu_seconds: self.options.cpu_seconds,
            module_bytes: module.len() as u64,
        };
        let wall = Duration::from_secs(self.options.wall_seconds);
        match tokio::time::timeout(wall, self.exchange(&request, module)).await {
            Ok(answer) => answer,
            // Its CPU time is the module's; the clock's is the machine's, and another node or a quieter hour may do it.
            Err(_) => Err(Fault::new(
                Code::Unavailable,
                format!("compiling the module took longer than {} s by the clock", self.options.wall_seconds),
            )
            .hint("this machine is very busy; try again")),
        }
    }

    fn too_hard(&self, why: &str) -> Fault {
        Fault::new(
            Code::CompileLimit,
            format!(
                "compiling the module was stopped: {why} (allowed: {} of memory, {} s of CPU, {} s by the clock)",
                self.options.memory_bytes, self.options.cpu_seconds, self.options.wall_seconds
            ),
        )
        .hint("split very large functions, or build with less inlining")
    }

    async fn exchange(&self, request: &Request, module: &[u8]) -> Result<Vec<u8>, Fault> {
        let internal = |what: &str, e: &dyn std::fmt::Display| {
            Fault::new(Code::Internal, format!("the compile worker {what}: {e}"))
        };
        let head = postcard::to_stdvec(request).map_err(|e| internal("can't be asked", &e))?;
        let mut child = Command::new(&self.options.worker.program)
            .args(&self.options.worker.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| internal("can't be started", &e))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(internal("has no streams", &"not piped"));
        };
        let max = self.options.max_artefact_bytes.0;
        let write = async {
            // A worker that dies while it is written to has said why, or its exit status does.
            let len = u32::try_from(head.len()).unwrap_or(u32::MAX);
            let _ = stdin.write_all(&len.to_le_bytes()).await;
            let _ = stdin.write_all(&head).await;
            let _ = stdin.write_all(module).await;
            let _ = stdin.shutdown().await;
            drop(stdin);
        };
        let read = async {
            let mut bytes = Vec::new();
            stdout.take(max + 2).read_to_end(&mut bytes).await.map(|_| bytes)
        };
        let ((), bytes) = tokio::join!(write, read);
        let bytes = bytes.map_err(|e| internal("can't be read", &e))?;
        if bytes.len() as u64 > max + 1 {
            return Err(self.too_hard("it makes too much machine code"));
        }
        let status = child.wait().await.map_err(|e| internal("is lost", &e))?;
        match (status.success(), protocol::reply(bytes)) {
            (true, Some(reply)) => reply,
            _ => Err(self.died(status)),
        }
    }

    /// A worker only dies of its limits: of CPU time by signal, of memory by an abort or a stack it could not grow.
    fn died(&self, status: ExitStatus) -> Fault {
        use std::os::unix::process::ExitStatusExt as _;
        match status.signal() {
            Some(signal) if signal == rustix::process::Signal::XCPU.as_raw() => {
                self.too_hard("it took too much CPU time")
            }
            Some(signal) if signal == rustix::process::Signal::KILL.as_raw() => {
                self.too_hard("it took too much CPU time or memory")
            }
            Some(_) => self.too_hard("it took too much memory"),
            None => Fault::new(Code::Internal, format!("the compile worker failed: {status}")),
        }
    }
}
