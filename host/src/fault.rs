//! The one place where an engine's error becomes a fault with a code, a backtrace and a hint.

use crate::{
    engine::BACKTRACE_FRAMES,
    symbols::table::{Symbols, UNKNOWN},
};
use fabric_types::{Code, Fault, fault::Frame};
use wasmtime::{FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

/// A fault on its way through the guest's stack to the caller.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Stop(pub(crate) Box<Fault>);

impl Stop {
    /// As an error that ends the guest.
    pub(crate) fn error(fault: Fault) -> wasmtime::Error {
        wasmtime::Error::from(Self(Box::new(fault)))
    }
}

/// The piece of work that a call is, which says how to stay below its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A request to an http function.
    Request,
    /// A call of a handler.
    Call,
    /// A partition for a mapper, or what a reducer merges.
    Task,
}

impl Unit {
    /// A hint on how to stay below a limit of the manifest.
    pub(crate) fn within(self, limit: &str) -> String {
        let less = match self {
            Self::Request => "do less in one request",
            Self::Call => "do less in one call",
            Self::Task => "work on smaller partitions",
        };
        format!("{less}, or raise `limits.{limit}` in fabric.toml")
    }
}

/// How a call that was given up ended.
pub(crate) fn deadline(limit_ms: u64, unit: Unit) -> Fault {
    Fault::new(Code::Deadline, format!("the call took longer than {limit_ms} ms")).hint(unit.within("deadline-ms"))
}

/// How a call that its caller gave up ended.
pub(crate) fn cancelled() -> Fault {
    Fault::new(Code::Cancelled, "the call was cancelled")
}

/// Bytes of the longest text of the engine's that is passed on: it may quote the module.
const MAX_TEXT: usize = 4096;

/// Reads an error of the engine; `symbols` has the names of the code that it may have come from.
///
/// What is neither a trap, nor ours, nor the pool's comes from the canonical ABI: the guest handed over something
/// that is not what its type says.
pub(crate) fn classify(error: &wasmtime::Error, unit: Unit, last_words: Option<String>, symbols: &Symbols) -> Fault {
    let cause = || {
        let mut text = error.root_cause().to_string();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text
    };
    let mut fault = if let Some(Stop(fault)) = error.downcast_ref::<Stop>() {
        (**fault).clone()
    } else if let Some(I32Exit(status)) = error.downcast_ref::<I32Exit>() {
        exit(*status, last_words)
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        trapped(*trap, unit, last_words)
    } else if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        Fault::new(Code::HandleLimit, "more handles are open than the function may hold")
            .hint("close what is no longer used, or raise `limits.handles` in fabric.toml")
    } else if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        Fault::new(Code::Unavailable, format!("no free slot for another instance: {}", cause()))
    } else {
        Fault::new(Code::GuestContract, format!("the guest broke the interface's contract: {}", cause()))
            .hint("strings must be UTF-8 and pointers must lie in memory; bindings made by a tool take care of both")
    };
    if fault.code.class() == fabric_types::code::Class::Guest
        && let Some(backtrace) = error.downcast_ref::<WasmBacktrace>()
    {
        fault.backtrace = frames(backtrace, symbols);
    }
    fault
}

/// The fault of a command that ended with a status other than 0.
pub(crate) fn exit(status: i32, last_words: Option<String>) -> Fault {
    let fault = Fault::new(Code::GuestExit, format!("the command ended with status {status}"));
    match last_words {
        Some(words) => fault.hint(format!("its standard error ended with: {words}")),
        None => fault,
    }
}

fn trapped(trap: Trap, unit: Unit, last_words: Option<String>) -> Fault {
    let code = match trap {
        Trap::OutOfFuel => {
            return Fault::new(Code::OutOfFuel, "the function's fuel was spent").hint(unit.within("fuel"));
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
    match (code, last_words) {
        (Code::TrapUnreachable, Some(words)) => fault.hint(format!("its standard error ended with: {words}")),
        _ => fault,
    }
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
    frames
}

/// Where in the module's file a frame is, and where its function begins. Modules of a component are told apart by it.
fn place(frame: &FrameInfo) -> Option<(u32, u32)> {
    let position = u32::try_from(frame.module_offset()?).ok()?;
    Some((position, position.checked_sub(u32::try_from(frame.func_offset()?).ok()?)?))
}
