//! Attempts on device time: endless work, many tiny submits, long work; and the state after a loss.

use fabric::gpu::{Buffer, Pipeline, Result, Submit};
use serde_json::{Value, json};

use crate::shaders::{INCREMENT, compile};
use crate::{answer, honest};

/// A loop of `data[0]` iterations.
const LONG: &str = "
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(1) fn main() {
    let n = data[0];
    for (var i = 0u; i < n; i++) { data[1] = data[1] * 1664525u + 1013904223u + i; }
}";

/// Runs a dispatch that does not end in practice, even if a driver truncates loops: the loop runs in 2 to the 48th
/// workgroups.
fn hang() -> Result<()> {
    let (long, data) = (compile(LONG)?, Buffer::from_slice(&[u32::MAX, 1])?);
    Submit::new().dispatch(&long, &[&data], [65_535; 3]).run().map(drop)
}

pub fn endless() -> Result<Value> {
    hang().map(|()| json!("it ended"))
}

pub fn tiny_submits(n: u32) -> Result<Value> {
    let (add, data) = (compile(INCREMENT)?, Buffer::<u32>::new(1)?);
    for _ in 0..n {
        Submit::new().dispatch(&add, &[&data], 1).run()?;
    }
    Ok(json!(data.read()?.first()))
}

pub fn stale() -> Result<Value> {
    let (add, data) = (compile(INCREMENT)?, Buffer::<u32>::new(64)?);
    let lost = hang().map(|()| json!("it ended"));
    let add_one =
        |data: &Buffer<u32>, add: &Pipeline| Submit::new().dispatch(add, &[data], 1).run().map(|_| json!("done"));
    Ok(json!({
        "lost": answer::of(lost),
        "write": answer::of(data.write(0, &[1]).map(|()| json!("done"))),
        "read": answer::of(data.read().map(|words| json!(words))),
        "both": answer::of(add_one(&data, &add)),
        "pipeline": answer::of(Buffer::new(64).and_then(|new| add_one(&new, &add))),
        "buffer": answer::of(compile(INCREMENT).and_then(|new| add_one(&data, &new))),
        "new": answer::of(honest::sum(1000).map(Value::from)),
    }))
}

pub fn spin(n: u32) -> Result<Value> {
    let (long, data) = (compile(LONG)?, Buffer::from_slice(&[60_000_u32, 1])?);
    for _ in 0..n {
        Submit::new().dispatch(&long, &[&data], 64).run()?;
    }
    Ok(json!(n))
}
