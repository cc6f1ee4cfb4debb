//! Shader validation before the worker receives a shader: from a cache, or in a checker process.

use super::process::Process;
use crate::{
    AdapterInfo, Error, Options,
    command::Reflection,
    protocol::{Reply, Start, encode},
    shader::{self, Source},
};
use rustix::process::Signal;
use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// Capacity of the cache of layouts. The least used entry is evicted first.
const KEPT: u64 = 1024;

/// Ratio of a check's wall-clock limit to its CPU time limit.
const WALL_FACTOR: u32 = 4;

/// A valid shader.
pub(super) struct Passed {
    /// Cache key of the compiled pipeline.
    pub(super) key: [u8; 32],
    /// Bindings and workgroup size.
    pub(super) reflection: Reflection,
    /// True if the result came from the cache.
    pub(super) known: bool,
}

/// Runs checker processes, a limited number at a time, and caches their results.
pub(super) struct Checker {
    turns: Semaphore,
    passed: moka::sync::Cache<[u8; 32], Reflection>,
}

impl Checker {
    pub(super) fn new(options: &Options) -> Self {
        Self { turns: Semaphore::new(options.checks.max(1)), passed: moka::sync::Cache::new(KEPT) }
    }

    /// Checks a pipeline for this adapter. Dropping the future kills the checker process.
    ///
    /// # Errors
    /// The errors of [`shader::check`]; [`Error::Limit`] for `check-memory-bytes` and `check-cpu-seconds`.
    pub(super) async fn check(&self, options: &Options, info: &AdapterInfo, source: &Source) -> Result<Passed, Error> {
        shader::precheck(source, &info.limits)?;
        let key = key(source, info);
        if let Some(reflection) = self.passed.get(&key) {
            return Ok(Passed { key, reflection, known: true });
        }
        let Ok(_turn) = self.turns.acquire().await else {
            return Err(Error::DeviceLost("the node is shutting down".into()));
        };
        let reflection = in_a_process(options, info, source).await?;
        self.passed.insert(key, reflection.clone());
        Ok(Passed { key, reflection, known: false })
    }
}

async fn in_a_process(options: &Options, info: &AdapterInfo, source: &Source) -> Result<Reflection, Error> {
    let lost = |e: std::io::Error| Error::Busy(format!("the shader checker can't be started: {e}"));
    let start = Start::Check {
        source: source.clone(),
        extensions: info.extensions(),
        limits: info.limits.clone(),
        memory_bytes: options.check_memory_bytes,
        cpu_seconds: options.check_cpu_seconds,
        user: options.user,
    };
    let start = encode(&start, 0).map_err(|_| Error::invalid("the shader and its constants are too long"))?;
    let mut process = Process::spawn(options).map_err(lost)?;
    let wall = Duration::from_secs(options.check_cpu_seconds) * WALL_FACTOR;
    match timeout(wall, process.ask(&start, &[])).await {
        Ok(Ok((Reply::Checked(reflection), _))) => Ok(reflection),
        Ok(Ok((Reply::Failed(error), _))) => Err(error),
        Ok(_) => Err(died(process.status().await.map_err(lost)?, options)),
        // Wall-clock time depends on the machine's load, so this is not a fault of the shader.
        Err(_) => Err(Error::Busy("this machine took too long to check the shader".into())),
    }
}

/// Maps a checker's exit status to an error. `SIGKILL` has an external cause, such as a machine out of memory. Any
/// other end is caused by the shader: it exceeds a limit or crashes the parser.
fn died(status: ExitStatus, options: &Options) -> Error {
    let limit = |name: &str, limit: u64| Error::Limit { name: name.to_owned(), value: limit.saturating_add(1), limit };
    match status.signal() {
        Some(signal) if signal == Signal::XCPU.as_raw() => limit("check-cpu-seconds", options.check_cpu_seconds),
        Some(signal) if signal == Signal::KILL.as_raw() => Error::Busy("the shader's checker was killed".into()),
        Some(_) => limit("check-memory-bytes", options.check_memory_bytes),
        None => Error::Shader { message: "the parser fails on this shader".into(), line: 0, column: 0 },
    }
}

/// Returns the cache key of a compiled pipeline: blake3 over source, entry point, constants, adapter, driver and naga's
/// version, each prefixed with its length.
fn key(source: &Source, info: &AdapterInfo) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(source.wgsl.as_bytes());
    add(source.entry.as_bytes());
    add(info.fingerprint().as_bytes());
    for (name, value) in &source.constants {
        add(name.as_bytes());
        add(&value.to_bits().to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}
