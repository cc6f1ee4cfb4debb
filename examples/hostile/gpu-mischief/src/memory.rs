//! Attempts on memory: bytes beyond a buffer, data of other sessions, allocations above the grant.

use fabric::gpu::{self, Buffer, Error, Result, Submit};
use serde_json::{Value, json};

use crate::shaders::compile;

/// Elements read or written at once: 4 MiB.
const PIECE: usize = 1 << 20;

/// Value of every word of the buffers at the end of [`canary`].
const LEFT_BEHIND: u32 = 0xA5A5_A5A5;

pub fn out_of_bounds() -> Result<Value> {
    // All indices are out of bounds: just beyond the buffer, far beyond it, and wrapped around.
    let pipeline = compile(
        "
@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> found: array<atomic<u32>, 64>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    var indices = array<u32, 3>(64u + id.x, id.x * 65537u + 64u, 0xffffffffu - id.x);
    for (var i = 0u; i < 3u; i++) {
        let value = data[indices[i]];
        if value != 5u && value != 0xdeadu && value != 0u { atomicAdd(&found[0], 1u); }
        data[indices[i]] = 0xdeadu;
    }
}",
    )?;
    let data = Buffer::from_slice(&[5_u32; 64])?;
    let beside = Buffer::from_slice(&[5_u32; 64])?;
    let found = Buffer::<u32>::new(64)?;
    let outcome = Submit::new().dispatch(&pipeline, &[&data, &found], 4096).read(&found).read(&beside).run()?;
    let beside_changed = outcome.values::<u32>(1)?.iter().filter(|value| **value != 5).count();
    Ok(json!({ "foreign": outcome.values::<u32>(0)?.first(), "beside_changed": beside_changed }))
}

pub fn canary() -> Result<Value> {
    let limits = gpu::info()?.limits;
    let (mut left, largest) = (limits.total_bytes / 4, limits.buffer_bytes / 4);
    let (mut bytes, mut not_zero) = (0_u64, 0_u64);
    let mut buffers = Vec::new();
    while left > 0 {
        let len = usize::try_from(left.min(largest)).unwrap_or(usize::MAX);
        let buffer = Buffer::<u32>::new(len)?;
        for start in (0..len).step_by(PIECE) {
            let words = buffer.read_range(start..len.min(start + PIECE))?;
            not_zero += words.iter().flat_map(|word| word.to_le_bytes()).filter(|byte| *byte != 0).count() as u64;
        }
        bytes += len as u64 * 4;
        left -= len as u64;
        buffers.push(buffer);
    }
    let piece = vec![LEFT_BEHIND; PIECE];
    for buffer in &buffers {
        for start in (0..buffer.len()).step_by(PIECE) {
            buffer.write(start, piece.get(..PIECE.min(buffer.len() - start)).unwrap_or_default())?;
        }
    }
    // Nothing is freed: the host has to clean up.
    std::mem::forget(buffers);
    Ok(json!({ "bytes": bytes, "not_zero": not_zero }))
}

pub fn big_buffer(bytes: Option<u64>) -> Result<Value> {
    let bytes = match bytes {
        Some(bytes) => bytes,
        None => gpu::info()?.limits.buffer_bytes + 4,
    };
    let len = usize::try_from(bytes / 4)
        .map_err(|_| Error::Invalid(format!("{bytes} bytes are more than this guest can ask for")))?;
    Ok(json!({ "bytes": Buffer::<u32>::new(len)?.len() as u64 * 4 }))
}

pub fn many_buffers(n: u32) -> Result<Value> {
    let buffers = (0..n).map(|_| Buffer::<u32>::new(1)).collect::<Result<Vec<_>>>()?;
    Ok(json!({ "buffers": buffers.len() }))
}
