//! The compile worker: a process that limits itself, validates and compiles one module, and exits.
//!
//! Each step can take much memory and time, even for a small module. A module can exhaust only this process, which
//! can't open files, use the network or start programs.

use crate::{
    compile::protocol::{self, CODE, FACTS, FAULT, Facts, MAX_REQUEST_BYTES, Request, STATUS, SYMBOLS, Target},
    engine, fingerprint, imports, inspect,
    shape::{self, Form, Shape},
    symbols::{self, Budget},
};
use fabric_types::{Code, EngineClass, Fault};
use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, nice, setrlimit},
};
use std::io::{self, Read, Write};
use wasmtime::Engine;

/// CPU seconds for reading debug information: the budget, and the limit at which the kernel kills the worker.
const SYMBOL_CPU_SECONDS: u64 = 5;
const SYMBOL_CPU_KILL_SECONDS: u64 = 10;

/// Step budget for reading debug information. An entry with ten attributes costs eleven steps.
const SYMBOL_STEPS: u64 = 400_000_000;

/// Runs the worker over standard input and output. Call it before any thread or runtime is started. Returns the exit
/// status: 0 if a result was sent, either machine code or a fault; otherwise 1.
#[must_use]
pub fn main() -> u8 {
    match serve(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn serve(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut len = [0; 4];
    input.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len);
    if len > MAX_REQUEST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut request = vec![0; len as usize];
    input.read_exact(&mut request)?;
    let request: Request = postcard::from_bytes(&request).map_err(|_| io::ErrorKind::InvalidData)?;
    limit(&request)?;
    let status = fabric_confine::compute_only(request.user.as_ref())?;
    end_with_host()?;
    frame(output, STATUS, &encoded(&status)?)?;
    let mut module = Vec::new();
    input.take(request.module_bytes).read_to_end(&mut module)?;
    match compile(&request, &module) {
        Ok((facts, code)) => {
            frame(output, FACTS, &encoded(&facts)?)?;
            frame(output, CODE, &code)?;
            drop(code);
            // Reading names is cheap. Reading lines may end this process, but the frames already sent stay valid.
            frame(output, SYMBOLS, &symbols::names(&module))?;
            limit_symbols()?;
            let mut budget = Budget::new(SYMBOL_STEPS, SYMBOL_CPU_SECONDS);
            frame(output, SYMBOLS, &symbols::read(&module, &mut budget))
        }
        Err(fault) => frame(output, FAULT, &encoded(&short(fault))?),
    }
}

/// Kills this process when the host exits, since only the host reads the output. A host that is killed does not kill
/// its children.
fn end_with_host() -> io::Result<()> {
    let watch = || {
        let output = io::stdout();
        // No events are requested: `poll` always reports a hangup.
        let mut fds = [PollFd::new(&output, PollFlags::empty())];
        while !matches!(poll(&mut fds, None), Ok(n) if n > 0) {}
        let _ = kill_process(getpid(), Signal::KILL);
    };
    std::thread::Builder::new().name("hangup".into()).stack_size(64 << 10).spawn(watch).map(|_| ())
}

fn encoded(value: &impl serde::Serialize) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(io::Error::other)
}

fn frame(output: &mut impl Write, tag: u8, bytes: &[u8]) -> io::Result<()> {
    output.write_all(&[tag])?;
    output.write_all(&(bytes.len() as u64).to_le_bytes())?;
    output.write_all(bytes)?;
    output.flush()
}

/// Truncates a fault's messages. They quote the module, which may have long names.
fn short(mut fault: Fault) -> Fault {
    protocol::cut(&mut fault);
    fault
}

/// Sets this process's resource limits before it reads any byte of the module.
fn limit(request: &Request) -> io::Result<()> {
    let both = |n: u64| Rlimit { current: Some(n), maximum: Some(n) };
    // Memory that is already mapped at the start is not charged to the module.
    let mapped = mapped_bytes().unwrap_or(0);
    setrlimit(Resource::As, both(mapped.saturating_add(request.memory_bytes)))?;
    // The hard limit is higher, so that the worker ends with `SIGXCPU`, by which the host recognises the CPU limit.
    let more = Some(request.cpu_seconds.saturating_add(1));
    setrlimit(Resource::Cpu, Rlimit { current: Some(request.cpu_seconds), maximum: more })?;
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Fsize, both(0))?;
    // Serving calls has priority over compiling.
    let _ = nice(10);
    Ok(())
}

/// Lowers the CPU limit once only debug information is left to read.
fn limit_symbols() -> io::Result<()> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).tv_sec.unsigned_abs();
    let until = used.saturating_add(SYMBOL_CPU_KILL_SECONDS);
    let limits = getrlimit(Resource::Cpu);
    let current = limits.current.map_or(until, |n| n.min(until));
    Ok(setrlimit(Resource::Cpu, Rlimit { current: Some(current), ..limits })?)
}

/// Returns the size of the address space in use, in bytes: the first number of `statm`, which is in pages.
fn mapped_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().next()?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// Derives a module's facts from its bytes. Checks its imports and initial memory.
fn facts(request: &Request, shape: &Shape) -> Result<Facts, Fault> {
    imports::check(shape)?;
    let entry = inspect::entry(shape)?;
    if shape.memory > request.start_memory_bytes {
        return Err(crate::load::start_memory(shape.memory, request.start_memory_bytes));
    }
    let class = match request.target {
        Target::ByEntry => crate::load::class_of(entry.kind),
        Target::Class(class) => class,
    };
    Ok(Facts { entry, describes: inspect::described(shape), memory: shape.memory, class })
}

fn compile(request: &Request, module: &[u8]) -> Result<(Facts, Vec<u8>), Fault> {
    let shape = shape::read(module)?;
    let facts = facts(request, &shape)?;
    let internal = |e: wasmtime::Error| Fault::new(Code::Internal, format!("the compile worker can't start: {e:#}"));
    let engine = Engine::new(&engine::config(facts.class)).map_err(internal)?;
    let [deterministic, general] = &request.fingerprints;
    let expected = match facts.class {
        EngineClass::Deterministic => deterministic,
        EngineClass::General => general,
    };
    if fingerprint::of(&engine) != *expected {
        return Err(Fault::new(Code::Internal, "the compile worker is of another version than the host")
            .hint("restart the server after an upgrade"));
    }
    let bare = symbols::hide(module.to_vec());
    let code = match shape.form {
        Form::Component => engine.precompile_component(&bare),
        Form::Core => engine.precompile_module(&bare),
    };
    let code = code.map_err(|e| Fault::new(Code::InvalidModule, format!("the module does not compile: {:#}", e)))?;
    Ok((facts, code))
}
