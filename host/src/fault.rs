//! Conversion of engine errors to faults with a code, a backtrace and a hint.

use crate::{
    engine::BACKTRACE_FRAMES,
    failure_output::FailureOutput,
    symbols::table::{Symbols, UNKNOWN},
};
use fabric_types::{Code, Fault, fault::Frame};
use wasmtime::{FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

/// A fault that propagates through the guest's stack to the caller.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FaultError(pub(crate) Box<Fault>);

impl FaultError {
    /// Wraps a fault in an error that ends the guest.
    pub(crate) fn error(fault: Fault) -> wasmtime::Error {
        wasmtime::Error::from(Self(Box::new(fault)))
    }
}

/// The unit of work of a call, which selects hints on staying within limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkUnit {
    /// A request to an http function.
    Request,
    /// A call of a handler.
    Call,
    /// A mapper's partition, or a reducer's input.
    Task,
}

impl WorkUnit {
    /// Returns a hint on staying within a limit of the manifest.
    pub(crate) fn limit_hint(self, limit: &str) -> String {
        let less = match self {
            Self::Request => "do less in one request",
            Self::Call => "do less in one call",
            Self::Task => "work on smaller partitions",
        };
        format!("{less}, or raise `limits.{limit}` in fabric.toml")
    }
}

/// Returns the fault of a call that exceeded its deadline.
pub(crate) fn deadline(limit_ms: u64, unit: WorkUnit) -> Fault {
    Fault::new(Code::Deadline, format!("the call took longer than {limit_ms} ms")).hint(unit.limit_hint("deadline-ms"))
}

/// Returns the fault of a cancelled call.
pub(crate) fn cancelled() -> Fault {
    Fault::new(Code::Cancelled, "the call was cancelled")
}

/// Maximum length of an engine message in a fault, in bytes. Such a message may quote the module.
const MAX_TEXT: usize = 4096;

/// Converts an engine error to a fault. `symbols` has the names of the code that may have raised it.
///
/// An error that is not a [`FaultError`], an exit, a trap, or a full table or pool comes from the canonical ABI: the guest
/// passed a value that does not match its type.
pub(crate) fn classify(
    error: &wasmtime::Error,
    unit: WorkUnit,
    failure_output: FailureOutput,
    symbols: &Symbols,
) -> Fault {
    let cause = || {
        let mut text = error.root_cause().to_string();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text
    };
    let mut fault = if let Some(FaultError(fault)) = error.downcast_ref::<FaultError>() {
        (**fault).clone()
    } else if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        with_stderr(exit(*status), failure_output)
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        let fault = trapped(*trap, unit);
        // The reason that the guest printed explains only its own abort, which ends in `unreachable`.
        let reason = failure_output.reason.filter(|_| fault.code == Code::TrapUnreachable);
        with_stderr(fault, FailureOutput { reason, ..failure_output })
    } else if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        Fault::new(Code::HandleLimit, "more handles are open than the function may hold")
            .hint("close what is no longer used, or raise `limits.handles` in fabric.toml")
    } else if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        Fault::new(Code::Unavailable, format!("no free slot for another instance: {}", cause()))
    } else {
        Fault::new(Code::GuestContract, format!("the guest broke the interface's contract: {}", cause()))
            .hint("strings must be UTF-8 and pointers must lie in memory; generated bindings ensure both")
    };
    if fault.code.class() == fabric_types::code::Class::Guest
        && let Some(backtrace) = error.downcast_ref::<WasmBacktrace>()
    {
        fault.backtrace = frames(backtrace, symbols);
    }
    fault
}

/// Returns the fault of a command that exited with a status other than 0.
fn exit(status: i32) -> Fault {
    Fault::new(Code::GuestExit, format!("the command ended with status {status}"))
}

/// Adds the guest's standard error to a fault: the reason as its message, and the last lines.
fn with_stderr(mut fault: Fault, output: FailureOutput) -> Fault {
    if let Some(mut reason) = output.reason {
        reason.truncate(reason.floor_char_boundary(MAX_TEXT));
        fault.message = reason;
    }
    fault.stderr = output.lines;
    fault
}

fn trapped(trap: Trap, unit: WorkUnit) -> Fault {
    let code = match trap {
        Trap::OutOfFuel => {
            return Fault::new(Code::OutOfFuel, "the function's fuel was spent").hint(unit.limit_hint("fuel"));
        }
        Trap::StackOverflow => Code::StackOverflow,
        Trap::Interrupt => Code::Deadline,
        Trap::UnreachableCodeReached => Code::TrapUnreachable,
        Trap::MemoryOutOfBounds | Trap::HeapMisaligned => Code::TrapMemory,
        Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature => Code::TrapTable,
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => Code::TrapArithmetic,
        _ => Code::TrapOther,
    };
    let fault = Fault::new(code, trap.to_string());
    match code {
        // Compilers place the stack of Rust and C below other data, so a stack overflow leaves the memory.
        Code::TrapMemory => fault.hint(
            "an address or a length is wrong; or the calls nest too deeply: Rust and C keep their stack in this memory",
        ),
        _ => fault,
    }
}

/// Name prefixes of functions that a language runtime or the SDK adds to a guest's own functions.
const RUNTIME_NAMES: [&str; 13] = [
    "std::",
    "core::",
    "alloc::",
    "rust_begin_unwind",
    "rust_panic",
    "__rust",
    "__wasm",
    "__wasi",
    "__main_void",
    "_start",
    "_initialize",
    "wit_bindgen::",
    "runtime.",
];
/// Source folders of a language runtime.
const RUNTIME_SOURCES: [&str; 3] = ["/rustc/", "/library/std/", "/library/core/"];

fn is_runtime(frame: &Frame) -> bool {
    let name = frame.function.trim_start_matches(['<', '&', '_']);
    let starts = |start: &&str| name.starts_with(*start) || frame.function.starts_with(*start);
    name == "abort"
        || RUNTIME_NAMES.iter().any(starts)
        || frame.location.as_deref().is_some_and(|at| RUNTIME_SOURCES.iter().any(|source| at.contains(source)))
}

fn frames(backtrace: &WasmBacktrace, symbols: &Symbols) -> Vec<Frame> {
    let mut frames = Vec::new();
    for frame in backtrace.frames() {
        if frames.len() >= BACKTRACE_FRAMES {
            break;
        }
        let known = place(frame).map(|(position, start)| symbols.frames(position, start, frame.func_index()));
        match known {
            Some(known) if !known.is_empty() => frames.extend(known),
            _ => frames.push(Frame { function: UNKNOWN.to_owned(), module: None, location: None }),
        }
    }
    frames.truncate(BACKTRACE_FRAMES);
    // Frames of the runtime are the same for every panic. They stay if there are no others.
    if frames.iter().any(|frame| !is_runtime(frame)) {
        frames.retain(|frame| !is_runtime(frame));
    }
    frames
}

/// Returns the position of a frame in the module's file, and that of its function. The position also distinguishes the
/// modules of a component.
fn place(frame: &FrameInfo) -> Option<(u32, u32)> {
    let position = u32::try_from(frame.module_offset()?).ok()?;
    Some((position, position.checked_sub(u32::try_from(frame.func_offset()?).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, location: Option<&str>) -> Frame {
        Frame { function: function.to_owned(), module: None, location: location.map(str::to_owned) }
    }

    #[test]
    fn frames_of_a_languages_runtime_are_told_from_a_guests() {
        for (function, location) in [
            ("__rust_start_panic", None),
            ("rust_begin_unwind", None),
            ("core::panicking::panic_fmt", None),
            ("<alloc::vec::Vec<T> as core::ops::Index>::index", None),
            ("std::sys::backtrace::__rust_end_short_backtrace", None),
            ("abort", None),
            ("_start", None),
            ("runtime.panicIndex", None),
            ("FnOnce::call_once", Some("/rustc/5980761/library/core/src/ops/function.rs:250")),
        ] {
            assert!(is_runtime(&frame(function, location)), "{function}");
        }
        for (function, location) in [
            ("weather::parse", Some("src/lib.rs:12")),
            ("<weather::Map as fabric::Mapper>::map", None),
            ("aborted_runs", None),
            ("corelib::f", None),
            ("main.main", None),
            (UNKNOWN, None),
        ] {
            assert!(!is_runtime(&frame(function, location)), "{function}");
        }
    }
}
