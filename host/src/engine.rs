//! Settings of the two engines, one per engine class. The compile worker uses the same settings.

use fabric_types::EngineClass;
use std::num::NonZeroUsize;
use wasmtime::{Config, WasmBacktraceDetails};

/// Maximum stack of a guest, in bytes. Exceeding it ends the call with `stack-overflow`.
pub(crate) const WASM_STACK_BYTES: usize = 512 << 10;

/// Stack of a guest's fiber, in bytes: the guest's part and 1.5 MiB for host calls.
const FIBER_STACK_BYTES: usize = 2 << 20;

/// Maximum number of frames in a guest's backtrace.
pub(crate) const BACKTRACE_FRAMES: usize = 64;

/// Returns the settings that determine the meaning of machine code. The caller sets the allocation strategy.
///
/// Both classes consume fuel and can be interrupted by epochs: fuel limits execution, epochs bound the wall-clock time
/// and let other guests run. The engine does not read debug information; the compile worker builds a table from it, see
/// [`crate::symbols`]. The deterministic class also canonicalises NaN values and uses deterministic relaxed SIMD, so
/// that results are identical bit for bit.
pub(crate) fn config(class: EngineClass) -> Config {
    let deterministic = class == EngineClass::Deterministic;
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
        .cranelift_nan_canonicalization(deterministic)
        .relaxed_simd_deterministic(deterministic);
    config
}
