//! Execution of a submit: its steps in order, then the ranges to read, with one submission to the device and one wait.

use super::{device::Device, session::Session};
use crate::{
    Error,
    command::{Binding, ByteRange, GpuCommand, PipelineId},
};
use std::time::Instant;

/// A completed submit. The bytes read are still mapped.
pub(super) struct Done<'a> {
    device: &'a Device,
    bytes: u64,
    device_ns: u64,
}

impl Done<'_> {
    /// Calls `lend` with the concatenated bytes of all ranges and the device time in nanoseconds.
    pub(super) fn with_bytes<T>(self, lend: impl FnOnce(&[u8], u64) -> T) -> T {
        let staging = &self.device.staging;
        if self.bytes == 0 {
            return lend(&[], self.device_ns);
        }
        let start = self.device.clock_bytes();
        match staging.get_mapped_range(start..start + self.bytes) {
            Ok(view) => lend(&view, self.device_ns),
            Err(_) => lend(&[], self.device_ns),
        }
    }
}

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.device.staging.unmap();
    }
}

/// Runs a submit and waits for it. A hung submit never returns; the node then kills this process.
pub(super) fn run<'a>(
    device: &'a Device,
    session: &Session,
    commands: &[GpuCommand],
    reads: &[ByteRange],
) -> Result<Done<'a>, Error> {
    // All handles are resolved before any step is recorded.
    let steps = commands.iter().map(|command| step(device, session, command)).collect::<Result<Vec<_>, _>>()?;
    let sources = reads.iter().map(|r| session.buffer(r.buffer).map(|b| (b, r))).collect::<Result<Vec<_>, _>>()?;
    let started = Instant::now();
    let mut bytes = 0;
    device.checked(|gpu| {
        let mut encoder = gpu.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        device.stamp(&mut encoder, 0);
        record(&mut encoder, &steps);
        device.stamp(&mut encoder, 1);
        device.resolve_clock(&mut encoder);
        for (buffer, range) in sources {
            let to = device.clock_bytes() + bytes;
            encoder.copy_buffer_to_buffer(buffer, range.offset, &device.staging, to, range.bytes);
            bytes += range.bytes;
        }
        device.queue.submit([encoder.finish()]);
    })?;
    let mapped = device.clock_bytes() + bytes;
    if mapped > 0 {
        // An error of the mapping is reported by `get_mapped_range`.
        device.staging.map_async(wgpu::MapMode::Read, 0..mapped, |_| {});
    }
    device.wait()?;
    let device_ns =
        device.read_clock().unwrap_or_else(|| u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    Ok(Done { device, bytes, device_ns })
}

enum Step<'a> {
    Dispatch { pipeline: &'a wgpu::ComputePipeline, group: wgpu::BindGroup, workgroups: [u32; 3] },
    Copy { source: &'a wgpu::Buffer, offset: u64, target: &'a wgpu::Buffer, target_offset: u64, bytes: u64 },
    Clear { buffer: &'a wgpu::Buffer, offset: u64, bytes: u64 },
}

fn step<'a>(device: &Device, session: &'a Session, command: &GpuCommand) -> Result<Step<'a>, Error> {
    Ok(match command {
        GpuCommand::Clear(range) => {
            Step::Clear { buffer: session.buffer(range.buffer)?, offset: range.offset, bytes: range.bytes }
        }
        GpuCommand::Copy { source, target, target_offset } => Step::Copy {
            source: session.buffer(source.buffer)?,
            offset: source.offset,
            target: session.buffer(*target)?,
            target_offset: *target_offset,
            bytes: source.bytes,
        },
        GpuCommand::Dispatch { pipeline, bindings, workgroups } => {
            let group = bind(device, session, *pipeline, bindings)?;
            Step::Dispatch { pipeline: &session.pipeline(*pipeline)?.pipeline, group, workgroups: *workgroups }
        }
    })
}

fn bind(device: &Device, session: &Session, id: PipelineId, bindings: &[Binding]) -> Result<wgpu::BindGroup, Error> {
    let layout = &session.pipeline(id)?.layout;
    let mut entries = Vec::with_capacity(bindings.len());
    for binding in bindings {
        entries.push(wgpu::BindGroupEntry {
            binding: binding.binding,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: session.buffer(binding.buffer)?,
                offset: binding.offset,
                size: binding.bytes.and_then(wgpu::BufferSize::new),
            }),
        });
    }
    let descriptor = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
    device.checked(|gpu| gpu.create_bind_group(&descriptor))
}

/// Records the steps. Consecutive dispatches share a pass; wgpu inserts barriers between them for buffers that are
/// written.
fn record(encoder: &mut wgpu::CommandEncoder, steps: &[Step<'_>]) {
    let mut rest = steps;
    while let Some(first) = rest.first() {
        match first {
            Step::Clear { buffer, offset, bytes } => {
                if *bytes > 0 {
                    encoder.clear_buffer(buffer, *offset, Some(*bytes));
                }
                rest = rest.get(1..).unwrap_or_default();
            }
            Step::Copy { source, offset, target, target_offset, bytes } => {
                encoder.copy_buffer_to_buffer(source, *offset, target, *target_offset, *bytes);
                rest = rest.get(1..).unwrap_or_default();
            }
            Step::Dispatch { .. } => {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                while let Some(Step::Dispatch { pipeline, group, workgroups: [x, y, z] }) = rest.first() {
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(0, group, &[]);
                    pass.dispatch_workgroups(*x, *y, *z);
                    rest = rest.get(1..).unwrap_or_default();
                }
            }
        }
    }
}
