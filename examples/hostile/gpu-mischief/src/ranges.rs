//! Invalid arguments. Each attempt has its own result, so that none hides another.

use fabric::gpu::{Buffer, Pipeline, Result, Submit};
use serde_json::{Value, json};

use crate::answer;
use crate::shaders::{INCREMENT, compile};

fn ended<T>(result: Result<T>) -> Value {
    answer::of(result.map(|_| json!("done")))
}

pub fn big_dispatch() -> Result<Value> {
    let (add, data) = (compile(INCREMENT)?, Buffer::<u32>::new(64)?);
    Submit::new().dispatch(&add, &[&data], [1, 1, 65_536]).run().map(|_| json!("done"))
}

pub fn bad_range() -> Result<Value> {
    let (add, data) = (compile(INCREMENT)?, Buffer::<u32>::new(64)?);
    let other = Buffer::<u32>::new(128)?;
    Ok(json!({
        "write": ended(data.write(60, &[1; 5])),
        "write_far": ended(data.write(usize::MAX, &[1])),
        "read": ended(data.read_range(64..65)),
        "read_in_submit": ended(Submit::new().read(data.slice(1..65)).run()),
        "clear": ended(Submit::new().clear(data.slice(0..65)).run()),
        "copy": ended(Submit::new().copy(&other, other.slice(0..128)).run()),
        "copy_far": ended(Submit::new().copy(other.slice(100..164), &data).run()),
        "bind": ended(Submit::new().dispatch(&add, &[&data.slice(64..128)], 1).run()),
        "bind_between": ended(Submit::new().dispatch(&add, &[&other.slice(1..)], 1).run()),
    }))
}

pub fn wrong_binding() -> Result<Value> {
    let two = compile(
        "
struct Wide { numbers: array<u32, 8> }
@group(0) @binding(1) var<storage, read> wide: Wide;
@group(0) @binding(3) var<storage, read_write> data: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&data) { data[id.x] = wide.numbers[id.x % 8u]; }
}",
    )?;
    let (small, data) = (Buffer::<u32>::new(7)?, Buffer::<u32>::new(64)?);
    let numbers: Vec<u32> = two.layout().iter().map(|entry| entry.binding).collect();
    Ok(json!({
        "layout": numbers,
        "missing": ended(Submit::new().dispatch(&two, &[&data], 1).run()),
        "too_small": ended(Submit::new().dispatch(&two, &[&small, &data], 1).run()),
        "twice": ended(Submit::new().dispatch(&two, &[&data, &data], 1).run()),
        "no_entry_point": ended(Pipeline::compile(INCREMENT, "elsewhere", &[])),
        "no_constant": ended(Pipeline::compile(INCREMENT, "main", &[("absent", 1.0)])),
    }))
}
