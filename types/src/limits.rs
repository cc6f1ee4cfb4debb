//! The limits of a function call.

use crate::units::ByteSize;
use serde::{Deserialize, Serialize};

/// The limits of a function. The host enforces each of them; a call that exceeds one fails with the code given here.
///
/// All limits have defaults. A deployment with a limit above its ceiling is rejected, and each call runs under the
/// lower of limit and ceiling: see [`Policy`](crate::policy::Policy).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Fuel, about one unit for each WebAssembly instruction: a number, or a text such as `"500M"` or `"10G"`. Default
    /// 100,000,000,000. Code `out-of-fuel`.
    #[serde(deserialize_with = "crate::count::deserialize")]
    pub fuel: u64,
    /// Wall clock in milliseconds, from the start of the instance. Default 60,000. Code `deadline`.
    pub deadline_ms: u64,
    /// Linear memory in bytes, summed over the instance's memories. Default 256 MiB. Code `memory-limit`.
    pub memory_bytes: ByteSize,
    /// Table elements, summed over the instance's tables. Default 100,000. Code `table-limit`.
    pub table_elements: u64,
    /// Size of the result in bytes. Default 64 MiB. Code `output-limit`.
    pub output_bytes: ByteSize,
    /// Keyed records that a map task may emit, in bytes. Default 256 MiB. Code `emit-limit`.
    pub emit_bytes: ByteSize,
    /// Log lines, standard output of handlers and standard error, in bytes. Default 256 KiB. Code `log-limit`.
    pub log_bytes: ByteSize,
    /// Host calls. Default 10,000,000. Code `host-call-limit`.
    pub host_calls: u64,
    /// Open handles (WASI resources). Default 1,024. Code `handle-limit`.
    pub handles: u32,
    /// Concurrent calls of this function on one node. Further calls fail with `too-many-requests`. Default 256.
    pub concurrency: u32,
    /// Size of a request body for handlers, in bytes. Default 64 MiB. Code `too-large`.
    pub body_bytes: ByteSize,
    /// GPU buffers of a call in total, in bytes, reserved when the call first uses the GPU. Default 64 MiB. Allocations
    /// beyond it fail with `limit`.
    pub gpu_memory_bytes: ByteSize,
    /// Device time of all submits of a call in total, in milliseconds. Default 60,000. Further submits fail with
    /// `limit`; the submit that uses up the rest runs to completion.
    pub gpu_ms: u64,
    /// Duration of one submit, in milliseconds. A longer one is stopped and fails with `timed-out`. Default 2,000.
    pub gpu_submit_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 100_000_000_000,
            deadline_ms: 60_000,
            memory_bytes: ByteSize::mib(256),
            table_elements: 100_000,
            output_bytes: ByteSize::mib(64),
            emit_bytes: ByteSize::mib(256),
            log_bytes: ByteSize::kib(256),
            host_calls: 10_000_000,
            handles: 1_024,
            concurrency: 256,
            body_bytes: ByteSize::mib(64),
            gpu_memory_bytes: ByteSize::mib(64),
            gpu_ms: 60_000,
            gpu_submit_ms: 2_000,
        }
    }
}
