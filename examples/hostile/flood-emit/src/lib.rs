//! Emits records of 4 KiB for ever. Ends with `emit-limit` in a job with a shuffle, and with `output-limit` in a plain
//! invocation, where records become lines of the result.

use fabric::Input;

/// Emits for ever.
#[fabric::map]
fn flood(_input: Input) -> fabric::Result<()> {
    let mut number = 0_u64;
    loop {
        fabric::emit_bytes(number.to_le_bytes().to_vec(), vec![b'x'; 4096]);
        number = number.wrapping_add(1);
    }
}

/// There for the shuffle; no record ever gets here.
#[fabric::reduce]
fn never(a: u64, _b: u64) -> u64 {
    a
}
