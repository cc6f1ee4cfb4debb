//! Emits records of 4 KiB forever. Ends with `emit-limit` in a job with a shuffle, and with `output-limit` in a plain
//! invocation, which writes records as lines of the result.

use fabric::Input;

/// Emits records forever.
#[fabric::map]
fn flood(_input: Input) -> fabric::Result<()> {
    let mut number = 0_u64;
    loop {
        fabric::emit_bytes(number.to_le_bytes().to_vec(), vec![b'x'; 4096]);
        number = number.wrapping_add(1);
    }
}

/// Required for a shuffle. Never receives a record.
#[fabric::reduce]
fn never(a: u64, _b: u64) -> u64 {
    a
}
