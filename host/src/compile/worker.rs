//! The compile worker: a process of its own that limits itself, compiles one module and ends.
//!
//! Compiling is where a small module can ask for a lot of memory and time. Here it can only take this process down.

use crate::{
    compile::protocol::{ARTEFACT, FAULT, MAX_REQUEST_BYTES, Request},
    engine, fingerprint,
};
use fabric_types::{Code, Fault};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use std::io::{self, Read, Write};
use wasmtime::Engine;

/// Runs the worker over standard input and output; call it before any thread or runtime is started. It returns the
/// exit status: 0 when there was an answer, whether machine code or a fault.
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
    let mut module = Vec::new();
    input.take(request.module_bytes).read_to_end(&mut module)?;
    match compile(&request, &module) {
        Ok(code) => {
            output.write_all(&[ARTEFACT])?;
            output.write_all(&code)?;
        }
        Err(fault) => {
            output.write_all(&[FAULT])?;
            output.write_all(&postcard::to_stdvec(&fault).map_err(io::Error::other)?)?;
        }
    }
    output.flush()
}

/// Binds this process before it has seen a byte of the module.
fn limit(request: &Request) -> io::Result<()> {
    let both = |n: u64| Rlimit { current: Some(n), maximum: Some(n) };
    // What the process has mapped at its start is not the module's doing.
    let mapped = mapped_bytes().unwrap_or(0);
    setrlimit(Resource::As, both(mapped.saturating_add(request.memory_bytes)))?;
    setrlimit(Resource::Cpu, both(request.cpu_seconds))?;
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Fsize, both(0))?;
    // Serving comes first.
    let _ = nice(10);
    Ok(())
}

/// The address space in use: the first number of `statm`, in pages.
fn mapped_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().next()?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

fn compile(request: &Request, module: &[u8]) -> Result<Vec<u8>, Fault> {
    let internal = |e: wasmtime::Error| Fault::new(Code::Internal, format!("the compile worker can't start: {e:#}"));
    let engine = Engine::new(&engine::config(request.pure)).map_err(internal)?;
    if fingerprint::of(&engine) != request.fingerprint {
        return Err(Fault::new(Code::Internal, "the compile worker is of another version than the host")
            .hint("restart the server after an upgrade"));
    }
    let code = if request.component { engine.precompile_component(module) } else { engine.precompile_module(module) };
    code.map_err(|e| Fault::new(Code::InvalidModule, format!("the module does not compile: {:#}", e)))
}
