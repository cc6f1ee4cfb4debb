//! The one table of error codes: what each means, whose fault it is, and how REST, the CLI and the retry logic treat it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The module did something its limits or the sandbox forbid, or failed by itself.
    Guest,
    /// The request was wrong.
    Caller,
    /// Fabric or something it stands on failed.
    Host,
}

/// A process exit status of the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// No such thing.
    NotFound = 3,
    /// Not allowed.
    Denied = 4,
    /// The guest failed.
    GuestFault = 5,
    /// A budget or limit was hit.
    Limit = 6,
    /// The server can't be reached.
    Unreachable = 7,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:tt, $class:ident, $status:literal, $exit:ident, $retry:literal;)*) => {
        /// A stable error code. `docs/errors.md` has a section for each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The text of it, as in `out-of-fuel`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whose fault it is.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// The HTTP status of a response that carries it.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What the CLI exits with.
            #[must_use]
            pub const fn exit(self) -> Exit {
                match self { $(Self::$name => Exit::$exit,)* }
            }

            /// Whether the same attempt may succeed later or elsewhere.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retry,)* }
            }
        }
    };
}

codes! {
    // The guest's limits.
    /// The function's fuel was spent.
    OutOfFuel = "out-of-fuel", Guest, 422, Limit, false;
    /// The wall clock limit passed.
    Deadline = "deadline", Guest, 504, Limit, false;
    /// Linear memory would have grown past the limit.
    MemoryLimit = "memory-limit", Guest, 422, Limit, false;
    /// Tables would have grown past the limit.
    TableLimit = "table-limit", Guest, 422, Limit, false;
    /// The call stack was exhausted.
    StackOverflow = "stack-overflow", Guest, 422, GuestFault, false;
    /// The result is larger than the function may produce.
    OutputLimit = "output-limit", Guest, 422, Limit, false;
    /// More was logged than the function may log.
    LogLimit = "log-limit", Guest, 422, Limit, false;
    /// More keyed records were emitted than the function may emit.
    EmitLimit = "emit-limit", Guest, 422, Limit, false;
    /// More host calls were made than the function may make.
    HostCallLimit = "host-call-limit", Guest, 422, Limit, false;
    /// More handles were open than the function may hold.
    HandleLimit = "handle-limit", Guest, 422, Limit, false;
    // The guest's failures.
    /// `unreachable` was executed; in Rust a panic ends so.
    TrapUnreachable = "trap:unreachable", Guest, 422, GuestFault, false;
    /// Memory was accessed outside its bounds.
    TrapMemory = "trap:out-of-bounds-memory", Guest, 422, GuestFault, false;
    /// A table was accessed outside its bounds, or an indirect call met the wrong function.
    TrapTable = "trap:bad-indirect-call", Guest, 422, GuestFault, false;
    /// An integer operation overflowed, divided by zero, or a conversion had no result.
    TrapArithmetic = "trap:arithmetic", Guest, 422, GuestFault, false;
    /// Any other trap.
    TrapOther = "trap:other", Guest, 422, GuestFault, false;
    /// The guest handed the host bytes that break the contract, such as invalid UTF-8.
    GuestContract = "guest-contract", Guest, 422, GuestFault, false;
    /// A command ended with a status other than 0.
    GuestExit = "guest-exit", Guest, 422, GuestFault, false;
    /// The function reported a failure of its own.
    FunctionFailed = "function-failed", Guest, 422, GuestFault, false;
    /// The function reported a passing failure.
    FunctionRetryable = "function-retryable", Guest, 503, GuestFault, true;
    /// The function says its input or a parameter is wrong.
    InvalidInput = "invalid-input", Caller, 422, Failed, false;
    // Modules.
    /// The bytes are not WebAssembly.
    NotWasm = "not-wasm", Caller, 422, Failed, false;
    /// The bytes begin as WebAssembly but do not validate.
    InvalidModule = "invalid-module", Caller, 422, Failed, false;
    /// The module imports something the host does not offer.
    UnknownImport = "unknown-import", Caller, 422, Failed, false;
    /// The module exports nothing that can be called.
    NoEntry = "no-entry", Caller, 422, Failed, false;
    /// Compiling the module took more memory or time than allowed.
    CompileLimit = "compile-limit", Caller, 422, Limit, false;
    // Requests.
    /// The request is malformed.
    BadRequest = "bad-request", Caller, 400, Failed, false;
    /// Parameters do not fit the function's schema.
    InvalidParams = "invalid-params", Caller, 422, Failed, false;
    /// The manifest is wrong.
    InvalidManifest = "invalid-manifest", Caller, 422, Failed, false;
    /// An object path is not allowed.
    InvalidPath = "invalid-path", Caller, 400, Failed, false;
    /// The data set can't be split as asked.
    InvalidInputSpec = "invalid-input-spec", Caller, 422, Failed, false;
    /// No token, or not a valid one.
    Unauthenticated = "unauthenticated", Caller, 401, Denied, false;
    /// The token does not allow it.
    Denied = "denied", Caller, 403, Denied, false;
    /// No such thing, or not yours.
    NotFound = "not-found", Caller, 404, NotFound, false;
    /// The method is not one that this address takes.
    MethodNotAllowed = "method-not-allowed", Caller, 405, Failed, false;
    /// The body is of a media type that is not read there.
    UnsupportedMediaType = "unsupported-media-type", Caller, 415, Failed, false;
    /// It is in a state that does not allow this.
    Conflict = "conflict", Caller, 409, Failed, false;
    /// The idempotency key was used for another request.
    IdempotencyMismatch = "idempotency-mismatch", Caller, 422, Failed, false;
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed = "precondition-failed", Caller, 412, Failed, false;
    /// The body is larger than allowed.
    TooLarge = "too-large", Caller, 413, Limit, false;
    /// The range lies outside the object.
    RangeNotSatisfiable = "range-not-satisfiable", Caller, 416, Failed, false;
    /// More calls at once than the function or tenant may have.
    TooManyRequests = "too-many-requests", Caller, 429, Limit, true;
    /// The job's or tenant's fuel budget is spent.
    BudgetExhausted = "budget-exhausted", Caller, 402, Limit, false;
    /// The tenant keeps as much on disk as it may.
    StorageQuota = "storage-quota", Caller, 507, Limit, false;
    /// The job was cancelled.
    Cancelled = "cancelled", Caller, 409, Failed, false;
    // Fabric.
    /// A defect in Fabric.
    Internal = "internal", Host, 500, Failed, false;
    /// The object store failed.
    StoreUnavailable = "store-unavailable", Host, 503, Failed, true;
    /// The node has no memory left for the call, or for the tenant's; try again.
    NodeMemory = "node-memory", Host, 503, Failed, true;
    /// The disk has no room that tenants may use.
    DiskFull = "disk-full", Host, 507, Failed, true;
    /// No room or shutting down; try again.
    Unavailable = "unavailable", Host, 503, Failed, true;
    /// The node that ran the task went away.
    NodeLost = "node-lost", Host, 503, Failed, true;
    /// The server can't be reached.
    Unreachable = "unreachable", Host, 503, Unreachable, true;
    /// A running task's input changed in the store.
    InputChanged = "input-changed", Caller, 409, Failed, false;
    /// The process that ran it died, more than once. It is not run again.
    ProcessKilled = "process-killed", Guest, 422, GuestFault, false;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_unique_and_read_back() {
        let texts: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(serde_json::from_value::<Code>(code.as_str().into()).ok(), Some(*code));
        }
    }

    #[test]
    fn every_code_is_explained() {
        let page = include_str!("../../docs/errors.md");
        for code in Code::ALL {
            let row = format!("| `{code}` | {} | {} |", code.http_status(), code.exit() as u8);
            assert!(page.contains(&row), "docs/errors.md has no row that begins `{row}`");
        }
        let rows = page.lines().filter(|l| l.starts_with("| `")).count();
        assert_eq!(rows, Code::ALL.len(), "docs/errors.md explains a code that is not there");
    }
}
