//! Randomness for guests. A guest without the `random` grant gets ChaCha12 streams seeded with its task key.

use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
use wasmtime_wasi::WasiCtxBuilder;

/// Seeds a guest's randomness. The secure and the insecure interface use separate streams, so that reading one does not
/// advance the other.
pub(crate) fn seed(wasi: &mut WasiCtxBuilder, seed: &[u8; 32]) {
    let stream = |n: u64| {
        let mut rng = ChaCha12Rng::from_seed(*seed);
        rng.set_stream(n);
        rng
    };
    let insecure = seed.first_chunk::<16>().copied().unwrap_or_default();
    wasi.secure_random(stream(0));
    wasi.insecure_random(stream(1));
    wasi.insecure_random_seed(u128::from_le_bytes(insecure));
}
