//! The engine's fingerprint: equal fingerprints run the same machine code and spend the same fuel.

use std::hash::{Hash, Hasher};
use wasmtime::Engine;

/// Changes when the host's side of a pure call changes its meaning: clock, randomness, host calls' results.
const SEMANTICS: u32 = 1;

/// `std::hash::Hasher` over BLAKE3, so that the whole of the engine's settings decides, on every machine alike.
struct Blake(blake3::Hasher);

impl Hasher for Blake {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

/// 32 hexadecimal digits over the engine's version, target and settings, and over the host's own semantics.
pub(crate) fn of(engine: &Engine) -> String {
    let mut hasher = Blake(blake3::Hasher::new());
    SEMANTICS.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().to_hex().chars().take(32).collect()
}
