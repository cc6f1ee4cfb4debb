//! The table of error codes: the meaning of each, the party at fault, the HTTP status, the exit status and whether to
//! retry.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The party at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The module exceeded a limit, violated the sandbox, or failed.
    Guest,
    /// The request was wrong.
    Caller,
    /// Fabric or a service that it depends on failed.
    Host,
}

/// An exit status of the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success.
    Ok = 0,
    /// Failure.
    Failed = 1,
    /// Wrong command line.
    Usage = 2,
    /// Not found.
    NotFound = 3,
    /// Permission denied.
    Denied = 4,
    /// Guest fault.
    GuestFault = 5,
    /// A budget or limit was exceeded.
    Limit = 6,
    /// The server can't be reached.
    Unreachable = 7,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:tt, $class:ident, $status:literal, $exit:ident, $retry:literal;)*) => {
        /// A stable error code. `docs/errors.md` has a row for each, which a test compares.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the code as text, such as `out-of-fuel`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Returns the party at fault.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// Returns the HTTP status of a response with this code.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Returns the exit status of the CLI for this code.
            #[must_use]
            pub const fn exit(self) -> Exit {
                match self { $(Self::$name => Exit::$exit,)* }
            }

            /// Returns `true` if the same attempt may succeed later or on another node.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$name => $retry,)* }
            }
        }
    };
}

codes! {
    // Limits of the guest.
    /// The call spent its fuel.
    OutOfFuel = "out-of-fuel", Guest, 422, Limit, false;
    /// The wall-clock deadline passed.
    Deadline = "deadline", Guest, 504, Limit, false;
    /// Linear memory would have exceeded the limit.
    MemoryLimit = "memory-limit", Guest, 422, Limit, false;
    /// Tables would have exceeded the limit.
    TableLimit = "table-limit", Guest, 422, Limit, false;
    /// The call stack was exhausted.
    StackOverflow = "stack-overflow", Guest, 422, GuestFault, false;
    /// The result exceeds the function's limit.
    OutputLimit = "output-limit", Guest, 422, Limit, false;
    /// Log output exceeds the function's limit.
    LogLimit = "log-limit", Guest, 422, Limit, false;
    /// Emitted keyed records exceed the function's limit.
    EmitLimit = "emit-limit", Guest, 422, Limit, false;
    /// Host calls exceed the function's limit.
    HostCallLimit = "host-call-limit", Guest, 422, Limit, false;
    /// Open handles exceed the function's limit.
    HandleLimit = "handle-limit", Guest, 422, Limit, false;
    // Failures of the guest.
    /// `unreachable` was executed. A panic in Rust ends this way.
    TrapUnreachable = "trap:unreachable", Guest, 422, GuestFault, false;
    /// Memory was accessed outside its bounds.
    TrapMemory = "trap:out-of-bounds-memory", Guest, 422, GuestFault, false;
    /// A table was accessed outside its bounds, or an indirect call reached a function of another type.
    TrapTable = "trap:bad-indirect-call", Guest, 422, GuestFault, false;
    /// An integer operation overflowed or divided by zero, or a conversion was out of range.
    TrapArithmetic = "trap:arithmetic", Guest, 422, GuestFault, false;
    /// Any other trap.
    TrapOther = "trap:other", Guest, 422, GuestFault, false;
    /// The guest passed bytes to the host that violate the interface, such as invalid UTF-8.
    GuestContract = "guest-contract", Guest, 422, GuestFault, false;
    /// A command exited with a status other than 0.
    GuestExit = "guest-exit", Guest, 422, GuestFault, false;
    /// The function reported a failure.
    FunctionFailed = "function-failed", Guest, 422, GuestFault, false;
    /// The function reported a temporary failure.
    FunctionRetryable = "function-retryable", Guest, 503, GuestFault, true;
    /// The function reported that its input or a parameter is invalid.
    InvalidInput = "invalid-input", Caller, 422, Failed, false;
    // Modules.
    /// The bytes are not WebAssembly.
    NotWasm = "not-wasm", Caller, 422, Failed, false;
    /// The bytes begin like WebAssembly but do not validate.
    InvalidModule = "invalid-module", Caller, 422, Failed, false;
    /// The module imports an interface that the host does not provide.
    UnknownImport = "unknown-import", Caller, 422, Failed, false;
    /// The module has no export that can be called.
    NoEntry = "no-entry", Caller, 422, Failed, false;
    /// Compiling the module exceeded the memory or time limit.
    CompileLimit = "compile-limit", Caller, 422, Limit, false;
    // Requests.
    /// The request is malformed.
    BadRequest = "bad-request", Caller, 400, Failed, false;
    /// The parameters do not match the function's schema.
    InvalidParams = "invalid-params", Caller, 422, Failed, false;
    /// The manifest is invalid.
    InvalidManifest = "invalid-manifest", Caller, 422, Failed, false;
    /// The object path is invalid.
    InvalidPath = "invalid-path", Caller, 400, Failed, false;
    /// The data set can't be split as requested.
    InvalidInputSpec = "invalid-input-spec", Caller, 422, Failed, false;
    /// The token is missing or invalid.
    Unauthenticated = "unauthenticated", Caller, 401, Denied, false;
    /// The token does not permit the operation.
    Denied = "denied", Caller, 403, Denied, false;
    /// The resource does not exist, or belongs to another tenant.
    NotFound = "not-found", Caller, 404, NotFound, false;
    /// The URL does not support the method.
    MethodNotAllowed = "method-not-allowed", Caller, 405, Failed, false;
    /// The media type of the body is not supported.
    UnsupportedMediaType = "unsupported-media-type", Caller, 415, Failed, false;
    /// The resource's state does not permit the operation.
    Conflict = "conflict", Caller, 409, Failed, false;
    /// The idempotency key was used with another request.
    IdempotencyMismatch = "idempotency-mismatch", Caller, 422, Failed, false;
    /// `If-Match` or `If-None-Match` does not hold.
    PreconditionFailed = "precondition-failed", Caller, 412, Failed, false;
    /// The body is too large.
    TooLarge = "too-large", Caller, 413, Limit, false;
    /// The range lies outside the object.
    RangeNotSatisfiable = "range-not-satisfiable", Caller, 416, Failed, false;
    /// The function or tenant has too many concurrent calls.
    TooManyRequests = "too-many-requests", Caller, 429, Limit, true;
    /// The job's or tenant's fuel budget is spent.
    BudgetExhausted = "budget-exhausted", Caller, 402, Limit, false;
    /// The tenant has reached its storage quota.
    StorageQuota = "storage-quota", Caller, 507, Limit, false;
    /// The job was cancelled.
    Cancelled = "cancelled", Caller, 409, Failed, false;
    // Fabric.
    /// A bug in Fabric.
    Internal = "internal", Host, 500, Failed, false;
    /// The object store failed.
    StoreUnavailable = "store-unavailable", Host, 503, Failed, true;
    /// The node has no memory left for the call, or for this tenant's calls. Retry.
    NodeMemory = "node-memory", Host, 503, Failed, true;
    /// The disk has no space left for tenants.
    DiskFull = "disk-full", Host, 507, Failed, true;
    /// The server has no capacity left, or is shutting down. Retry.
    Unavailable = "unavailable", Host, 503, Failed, true;
    /// The node that ran the task was lost.
    NodeLost = "node-lost", Host, 503, Failed, true;
    /// The server can't be reached.
    Unreachable = "unreachable", Host, 503, Unreachable, true;
    /// The input of a running task changed in the store.
    InputChanged = "input-changed", Caller, 409, Failed, false;
    /// The process that ran the task died more than once. It is not run again.
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
