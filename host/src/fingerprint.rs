//! The engine fingerprint. Engines with equal fingerprints run the same machine code and consume the same fuel.

use std::hash::{Hash, Hasher};
use wasmtime::Engine;

/// Version of the host's side of a pure call: clock, randomness, and results of host calls. Incremented when their
/// semantics change.
const SEMANTICS: u32 = 1;

/// A `std::hash::Hasher` over BLAKE3. It covers all settings of the engine, and its result is the same on every
/// machine.
struct Blake(blake3::Hasher);

impl Hasher for Blake {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

/// Returns 32 hexadecimal digits for the engine's version, target and settings, and the host's semantics.
pub(crate) fn of(engine: &Engine) -> String {
    let mut hasher = Blake(blake3::Hasher::new());
    SEMANTICS.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().to_hex().chars().take(32).collect()
}
