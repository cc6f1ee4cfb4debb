//! Validation and compilation of modules in a separate process. See [`worker`] for the code that runs there.

pub(crate) mod protocol;
mod queue;
mod round_robin;
pub(crate) mod worker;

use crate::{options::CompileOptions, symbols::table};
use fabric_confine::User;
use fabric_types::{Code, Fault, id::TenantId};
use protocol::{CODE, FACTS, FAULT, Facts, MAX_SMALL_BYTES, Request, STATUS, SYMBOLS, Target};
use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::Once,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// Wall-clock limit for the worker to send names and lines after its machine code.
const SYMBOLS_WALL: Duration = Duration::from_secs(60);

/// Exit status of a Rust process that panicked.
const PANICKED: i32 = 101;

/// A compiled module as returned by the worker.
pub(crate) struct Compiled {
    pub(crate) facts: Facts,
    pub(crate) code: Vec<u8>,
    /// Encoded table for [`table::Symbols`]. Empty if reading the module's debug information failed.
    pub(crate) symbols: Vec<u8>,
}

/// Starts compile workers and reads their output.
pub(crate) struct Compiler {
    options: CompileOptions,
    queue: queue::Queue,
    fingerprints: [String; 2],
    start_memory_bytes: u64,
    unconfined: Once,
}

impl Compiler {
    /// Creates a compiler for the engines with these fingerprints, in the order deterministic, general.
    pub(crate) fn new(options: CompileOptions, fingerprints: [String; 2], start_memory_bytes: u64) -> Self {
        let queue = queue::Queue::new(&options);
        Self { options, queue, fingerprints, start_memory_bytes, unconfined: Once::new() }
    }

    /// Returns the maximum size of a module, in bytes.
    pub(crate) fn max_module_bytes(&self) -> u64 {
        self.options.max_module_bytes.0
    }

    /// Rejects a module that is larger than the maximum.
    pub(crate) fn check_size(&self, bytes: usize) -> Result<(), Fault> {
        let max = self.options.max_module_bytes;
        if bytes as u64 <= max.0 {
            return Ok(());
        }
        Err(Fault::new(Code::TooLarge, format!("the module has {bytes} bytes, at most {max} are accepted"))
            .hint("strip debug information with `wasm-tools strip`, or optimise for size"))
    }

    /// Waits for the tenant's turn, then validates and compiles a module. Dropping the future leaves the queue or kills
    /// the worker.
    ///
    /// # Errors
    /// `too-many-requests` if too many modules are waiting; `compile-limit` if the compilation exceeds its memory or
    /// CPU limit; `unavailable` if it exceeds its wall-clock limit or the worker is killed from outside; the fault of
    /// an invalid module; otherwise `internal`.
    pub(crate) async fn compile(&self, tenant: &TenantId, module: &[u8], target: Target) -> Result<Compiled, Fault> {
        self.check_size(module.len())?;
        let _turn = self.queue.turn(tenant).await?;
        let request = Request {
            target,
            fingerprints: self.fingerprints.clone(),
            memory_bytes: self.options.memory_bytes.0,
            cpu_seconds: self.options.cpu_seconds,
            module_bytes: module.len() as u64,
            start_memory_bytes: self.start_memory_bytes,
            user: self.options.user.map(User::new),
        };
        let mut worker = Worker::start(&self.options).map_err(|e| internal("can't be started", &e))?;
        let outcome = self.run(&mut worker, &request, module).await;
        worker.end().await;
        outcome
    }

    async fn run(&self, worker: &mut Worker, request: &Request, module: &[u8]) -> Result<Compiled, Fault> {
        let wall = Duration::from_secs(self.options.wall_seconds);
        let reply = match timeout(wall, worker.code(request, module, self)).await {
            Ok(reply) => reply?,
            // CPU time depends on the module. Wall-clock time depends on the machine: a retry may succeed on another
            // node or at another time.
            Err(_) => {
                return Err(Fault::new(
                    Code::Unavailable,
                    format!("compiling the module took longer than {} s by the clock", self.options.wall_seconds),
                )
                .hint("this machine is very busy; try again"));
            }
        };
        let Some((facts, code)) = reply else { return Err(self.died(worker.ended().await?)) };
        let mut symbols = Vec::new();
        // A module without names is still usable, so this is not an error.
        if timeout(SYMBOLS_WALL, worker.symbols(&mut symbols)).await.is_err() {
            tracing::debug!("a module's debug information took too long to read");
        }
        Ok(Compiled { facts, code, symbols })
    }

    fn too_hard(&self, why: &str) -> Fault {
        Fault::new(
            Code::CompileLimit,
            format!(
                "compiling the module was stopped: {why} (allowed: {} of memory, {} s of CPU, {} s by the clock)",
                self.options.memory_bytes, self.options.cpu_seconds, self.options.wall_seconds
            ),
        )
        .hint("split very large functions, or build with less inlining; the operator's `compile-memory` and `compile-cpu-seconds` set the limits")
    }

    /// Returns the fault for a worker that ended without a result. `SIGXCPU` means that it reached its CPU limit; any
    /// other signal, that it aborted for lack of memory or could not grow its stack. A panic means that the compiler
    /// failed on the module.
    fn died(&self, status: ExitStatus) -> Fault {
        use std::os::unix::process::ExitStatusExt as _;
        match (status.signal(), status.code()) {
            (Some(signal), _) if signal == rustix::process::Signal::XCPU.as_raw() => {
                self.too_hard("it took too much CPU time")
            }
            // None of the worker's limits ends it with `SIGKILL`: the kernel's OOM killer or an operator did.
            (Some(signal), _) if signal == rustix::process::Signal::KILL.as_raw() => {
                tracing::warn!("a compile worker was killed from outside; the machine may be short of memory");
                Fault::new(Code::Unavailable, "compiling the module was interrupted: its worker was killed")
                    .hint("try again; if it happens again, the server's machine is short of memory")
            }
            (Some(_), _) => self.too_hard("it took too much memory or stack"),
            (None, Some(PANICKED)) => self.too_hard("the compiler fails on it"),
            (None, _) => internal("failed", &status),
        }
    }

    fn confined(&self, status: fabric_confine::Status) {
        if status.is_confined() {
            return;
        }
        self.unconfined.call_once(|| {
            tracing::warn!(
                landlock = %status.files,
                seccomp = %status.calls,
                "compile workers are not fully confined, this kernel lacks Landlock or seccomp"
            );
        });
    }
}

fn internal(what: &str, e: &dyn std::fmt::Display) -> Fault {
    Fault::new(Code::Internal, format!("the compile worker {what}: {e}"))
}

/// A running worker. Dropping it kills the process.
struct Worker {
    child: Child,
    output: ChildStdout,
    max_code: u64,
}

/// A message from the worker.
enum Frame {
    Whole(u8, Vec<u8>),
    /// The frame is longer than its tag allows.
    TooLong(u8),
    /// The worker closed its output, possibly in the middle of a frame.
    End,
}

impl Worker {
    fn start(options: &CompileOptions) -> io::Result<Self> {
        let mut child = Command::new(&options.worker.program)
            .args(&options.worker.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
        Ok(Self { child, output, max_code: options.max_artefact_bytes.0 })
    }

    /// Sends the request and the module, then waits for the machine code. Returns `None` if the worker ended without a
    /// result.
    async fn code(
        &mut self,
        request: &Request,
        module: &[u8],
        compiler: &Compiler,
    ) -> Result<Option<(Facts, Vec<u8>)>, Fault> {
        let head = postcard::to_stdvec(request).map_err(|e| internal("can't be sent its request", &e))?;
        let mut input = self.child.stdin.take().ok_or_else(|| internal("has no input", &"not piped"))?;
        let write = async {
            // Write errors are ignored: a worker that ends early reports the reason in a frame or by its exit status.
            let len = u32::try_from(head.len()).unwrap_or(u32::MAX);
            let _ = input.write_all(&len.to_le_bytes()).await;
            let _ = input.write_all(&head).await;
            let _ = input.write_all(module).await;
            let _ = input.shutdown().await;
            drop(input);
        };
        let ((), answer) = tokio::join!(write, self.answer(compiler));
        answer
    }

    async fn answer(&mut self, compiler: &Compiler) -> Result<Option<(Facts, Vec<u8>)>, Fault> {
        let nonsense = |e: &dyn std::fmt::Display| internal("sent invalid data", e);
        let mut facts = None;
        loop {
            match self.frame().await.map_err(|e| internal("can't be read", &e))? {
                Frame::Whole(STATUS, bytes) => {
                    compiler.confined(postcard::from_bytes(&bytes).map_err(|e| nonsense(&e))?);
                }
                Frame::Whole(FAULT, bytes) => {
                    return Err(short(postcard::from_bytes(&bytes).map_err(|e| nonsense(&e))?));
                }
                Frame::Whole(FACTS, bytes) => facts = Some(postcard::from_bytes(&bytes).map_err(|e| nonsense(&e))?),
                Frame::Whole(CODE, code) => return Ok(facts.map(|facts| (facts, code))),
                Frame::TooLong(CODE) => return Err(compiler.too_hard("it produces too much machine code")),
                Frame::Whole(tag, _) | Frame::TooLong(tag) => return Err(nonsense(&format!("frame {tag}"))),
                Frame::End => return Ok(None),
            }
        }
    }

    /// Reads symbol tables until the worker ends or fails. The last complete table is used.
    async fn symbols(&mut self, symbols: &mut Vec<u8>) {
        while let Ok(Frame::Whole(SYMBOLS, bytes)) = self.frame().await {
            *symbols = bytes;
        }
    }

    async fn frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        let Some((tag, len)) = head.split_first_mut() else { return Ok(Frame::End) };
        for part in [std::slice::from_mut(tag), len] {
            match self.output.read_exact(part).await {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(Frame::End),
                Err(e) => return Err(e),
            }
        }
        let (tag, len) = (*tag, u64::from_le_bytes(len.first_chunk::<8>().copied().unwrap_or_default()));
        let max = match tag {
            CODE => self.max_code,
            SYMBOLS => table::MAX_BYTES,
            _ => MAX_SMALL_BYTES,
        };
        if len > max {
            return Ok(Frame::TooLong(tag));
        }
        let mut bytes = Vec::new();
        (&mut self.output).take(len).read_to_end(&mut bytes).await?;
        Ok(if bytes.len() as u64 == len { Frame::Whole(tag, bytes) } else { Frame::End })
    }

    /// Kills the worker if it is still running, and waits for it to exit.
    async fn end(&mut self) {
        let _ = self.child.kill().await;
    }

    async fn ended(&mut self) -> Result<ExitStatus, Fault> {
        self.child.wait().await.map_err(|e| internal("can't be waited for", &e))
    }
}

/// Limits a fault from the worker. The worker limits its own messages, but a compromised worker might not.
fn short(mut fault: Fault) -> Fault {
    protocol::cut(&mut fault);
    fault.backtrace.clear();
    fault
}
