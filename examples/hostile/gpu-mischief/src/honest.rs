//! Valid work that must succeed at any time.

use fabric::gpu::{self, Buffer, Element, Histogram, Kind, Map, Matmul, Op, Reduce, Result, Saxpy, Scan, Shape};
use serde_json::{Value, json};

pub fn info() -> Result<Value> {
    let info = gpu::info()?;
    let limits = info.limits;
    Ok(json!({
        "name": info.name,
        "kind": match info.kind { Kind::Hardware => "hardware", Kind::Software => "software" },
        "driver": info.driver,
        "f16": info.f16,
        "subgroup_size": info.subgroup_size,
        "long_loops": info.long_loops,
        "limits": {
            "buffer-bytes": limits.buffer_bytes,
            "total-bytes": limits.total_bytes,
            "shader-bytes": limits.shader_bytes,
            "operations": limits.operations,
            "workgroup-memory-bytes": limits.workgroup_memory_bytes,
            "workgroup-invocations": limits.workgroup_invocations,
            "workgroups-per-dimension": limits.workgroups_per_dimension,
            "bindings": limits.bindings,
            "passes-per-submit": limits.passes_per_submit,
            "copy-bytes": limits.copy_bytes,
            "read-bytes": limits.read_bytes,
            "submit-deadline-ms": limits.submit_deadline_ms,
            "device-time-left-ms": limits.device_time_left_ms,
        },
    }))
}

/// Returns the sum of the squares of 0 to n - 1, wrapped to 32 bits.
pub fn sum(n: u32) -> Result<u32> {
    let numbers: Vec<u32> = (0..n).collect();
    let input = Buffer::from_slice(&numbers)?;
    let squares = Buffer::new(input.len())?;
    Map::<u32>::compile("fn f(x: T) -> T { return x * x; }")?.run(&input, &squares)?;
    Reduce::compile(Op::Sum)?.run(&squares)
}

/// Returns, for each built-in pass, the number of results that differ from those of the CPU.
pub fn passes(n: u32) -> Result<Value> {
    // Integers below 1,024, so that sums as floats are exact.
    let numbers: Vec<u32> = (0..n).map(|i| i.wrapping_mul(2_654_435_761) >> 22).collect();
    let floats: Vec<f32> = numbers.iter().map(|n| *n as f32).collect();
    let (whole, float) = (Buffer::from_slice(&numbers)?, Buffer::from_slice(&floats)?);
    let mut wrong = serde_json::Map::new();

    let halves = Buffer::<f32>::new(floats.len())?;
    Map::<f32>::compile("fn f(x: T) -> T { return x * 0.5; }")?.run(&float, &halves)?;
    wrong.insert("map".into(), differ(&halves.read()?, floats.iter().map(|x| x * 0.5)));

    Saxpy::compile()?.run(2.0, &float, &halves)?;
    wrong.insert("saxpy".into(), differ(&halves.read()?, floats.iter().map(|x| x * 0.5 + 2.0 * x)));

    let reduced = [Op::Sum, Op::Min, Op::Max].map(|op| Reduce::compile(op).and_then(|reduce| reduce.run(&whole)));
    let reduced = reduced.into_iter().collect::<Result<Vec<u32>>>()?;
    let sum = numbers.iter().fold(0_u32, |sum, n| sum.wrapping_add(*n));
    let extremes = [numbers.iter().min(), numbers.iter().max()].map(|n| n.copied().unwrap_or(0));
    wrong.insert("reduce".into(), differ(&reduced, [sum].into_iter().chain(extremes)));

    let counts = Histogram::compile(64)?.run(&float, 0.0..1024.0)?;
    let bin = |b: u32| numbers.iter().filter(|n| **n / 16 == b).count() as u32;
    wrong.insert("histogram".into(), differ(&counts, (0..64).map(bin)));

    Scan::<u32>::compile()?.run(&whole)?;
    let sums = numbers.iter().scan(0_u32, |sum, n| {
        *sum = sum.wrapping_add(*n);
        Some(*sum)
    });
    wrong.insert("scan".into(), differ(&whole.read()?, sums));
    wrong.insert("matmul".into(), matmul()?);
    Ok(Value::Object(wrong))
}

/// Checks a product of small integers, which floats represent exactly, over more than one tile.
fn matmul() -> Result<Value> {
    let shape = Shape { rows: 130, inner: 33, columns: 131 };
    let a: Vec<f32> = (0..130 * 33).map(|i| (i % 7) as f32).collect();
    let b: Vec<f32> = (0..33 * 131).map(|i| (i % 5) as f32).collect();
    let product = Buffer::new(130 * 131)?;
    Matmul::compile()?.run(shape, &Buffer::from_slice(&a)?, &Buffer::from_slice(&b)?, &product)?;
    let cell = |at: usize| {
        let (row, column) = (a.chunks(33).nth(at / 131), b.iter().skip(at % 131).step_by(131));
        row.unwrap_or_default().iter().zip(column).map(|(a, b)| a * b).sum::<f32>()
    };
    Ok(differ(&product.read()?, (0..130 * 131).map(cell)))
}

/// Returns the number of values that differ from the expected ones. Missing and surplus values count too.
fn differ<T: Element + PartialEq>(got: &[T], expected: impl Iterator<Item = T>) -> Value {
    let expected: Vec<T> = expected.collect();
    let wrong = got.iter().zip(&expected).filter(|(got, expected)| got != expected).count();
    json!(wrong + got.len().abs_diff(expected.len()))
}
