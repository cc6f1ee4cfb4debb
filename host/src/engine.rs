//! The engines' settings: one set for pure functions, one for all others. The compile worker uses the same.

use std::num::NonZeroUsize;
use wasmtime::{Config, WasmBacktraceDetails};

/// The stack a guest may use, in bytes. Beyond it the call ends with `stack-overflow`.
pub(crate) const WASM_STACK_BYTES: usize = 512 << 10;

/// The stack of a guest's fiber: the guest's part and 1.5 MiB for host calls made from it.
const FIBER_STACK_BYTES: usize = 2 << 20;

/// Frames kept of a guest's backtrace.
pub(crate) const BACKTRACE_FRAMES: usize = 64;

/// Everything that decides what machine code means; allocation is up to the caller.
///
/// Both classes spend fuel and can be interrupted by epochs: fuel is the limit, epochs bound the wall clock and let
/// others run. Debug information is not the engine's to read: the compile worker makes a table of it, see
/// [`crate::symbols`]. `pure` adds what makes results repeat bit for bit: one NaN, and one meaning of relaxed SIMD.
pub(crate) fn config(pure: bool) -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES))
        .memory_init_cow(true)
        .wasm_memory64(false)
        .cranelift_nan_canonicalization(pure)
        .relaxed_simd_deterministic(pure);
    config
}
