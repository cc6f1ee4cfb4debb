//! Host implementation of `fabric:gpu`. Maps handles in a guest's table to IDs in its GPU session.

use super::{
    GuestBuffer, GuestPipeline,
    bindings::fabric::gpu::compute::{
        Access, AdapterInfo, AdapterKind, BindingLayout, Command, Error as Fault, Host, HostBuffer, HostPipeline,
        LimitError, Limits, Outcome, Range, ShaderError, Stats,
    },
};
use crate::state::State;
use bytes::Bytes;
use fabric_gpu::{self as gpu, Error, LoopProbe, Source};
use std::time::Duration;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, Fault>>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Denied(why) => Self::Denied(why),
            Error::Shader { message, line, column } => Self::Shader(ShaderError { message, line, column }),
            Error::Invalid(_) => Self::Invalid(text),
            Error::Limit { name, value, limit } => Self::Limit(LimitError { name, value, limit }),
            Error::OutOfMemory => Self::OutOfMemory,
            Error::TimedOut { .. } => Self::TimedOut,
            Error::Busy(why) => Self::Busy(why),
            _ => Self::DeviceLost(text),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl State {
    fn buffer(&self, handle: &Resource<GuestBuffer>) -> wasmtime::Result<gpu::BufferId> {
        Ok(self.table.get(handle)?.0)
    }

    fn range(&self, range: &Range) -> wasmtime::Result<gpu::ByteRange> {
        Ok(gpu::ByteRange { buffer: self.buffer(&range.buffer)?, offset: range.offset, bytes: range.length })
    }

    fn command(&self, command: &Command) -> wasmtime::Result<gpu::GpuCommand> {
        Ok(match command {
            Command::Clear(range) => gpu::GpuCommand::Clear(self.range(range)?),
            Command::Copy(copy) => gpu::GpuCommand::Copy {
                source: gpu::ByteRange {
                    buffer: self.buffer(&copy.source)?,
                    offset: copy.source_offset,
                    bytes: copy.length,
                },
                target: self.buffer(&copy.target)?,
                target_offset: copy.target_offset,
            },
            Command::Dispatch(dispatch) => {
                let bindings = dispatch.bindings.iter().map(|binding| {
                    Ok(gpu::Binding {
                        binding: binding.binding,
                        buffer: self.buffer(&binding.buffer)?,
                        offset: binding.offset,
                        bytes: binding.size,
                    })
                });
                let (x, y, z) = dispatch.workgroups;
                gpu::GpuCommand::Dispatch {
                    pipeline: self.table.get(&dispatch.pipeline)?.id,
                    bindings: bindings.collect::<wasmtime::Result<_>>()?,
                    workgroups: [x, y, z],
                }
            }
        })
    }
}

impl HostBuffer for State {
    async fn create(&mut self, size: u64) -> Answer<Resource<GuestBuffer>> {
        let session = match self.gpu.session().await {
            Ok(session) => session,
            Err(error) => return Ok(Err(error.into())),
        };
        match session.create(size).await {
            Ok(id) => Ok(Ok(self.table.push(GuestBuffer(id))?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn size(&mut self, handle: Resource<GuestBuffer>) -> wasmtime::Result<u64> {
        let id = self.buffer(&handle)?;
        // A buffer that was lost with the device has no size.
        Ok(self.gpu.session.as_ref().and_then(|session| session.size(id).ok()).unwrap_or(0))
    }

    async fn write(&mut self, handle: Resource<GuestBuffer>, offset: u64, bytes: Vec<u8>) -> Answer<()> {
        let id = self.buffer(&handle)?;
        Ok(match self.gpu.session().await {
            Ok(session) => session.write(id, offset, Bytes::from(bytes)).await.map_err(Into::into),
            Err(error) => Err(error.into()),
        })
    }

    async fn read(&mut self, handle: Resource<GuestBuffer>, offset: u64, length: u64) -> Answer<Vec<u8>> {
        let range = gpu::ByteRange { buffer: self.buffer(&handle)?, offset, bytes: length };
        Ok(self.gpu.read(range).await.map_err(Into::into))
    }

    async fn drop(&mut self, handle: Resource<GuestBuffer>) -> wasmtime::Result<()> {
        let GuestBuffer(id) = self.table.delete(handle)?;
        if let Some(session) = &self.gpu.session {
            // The buffer may already be lost with the device.
            let _ = session.destroy(id).await;
        }
        Ok(())
    }
}

impl HostPipeline for State {
    async fn compile(
        &mut self,
        wgsl: String,
        entry: String,
        constants: Vec<(String, f64)>,
    ) -> Answer<Resource<GuestPipeline>> {
        match self.gpu.compile(Source { wgsl, entry, constants }).await {
            Ok((id, layout)) => Ok(Ok(self.table.push(GuestPipeline { id, layout })?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn layout(&mut self, handle: Resource<GuestPipeline>) -> wasmtime::Result<Vec<BindingLayout>> {
        let pipeline = self.table.get(&handle)?;
        let layouts = pipeline.layout.bindings.iter().map(|layout| BindingLayout {
            binding: layout.binding,
            access: match layout.access {
                gpu::BindingAccess::Read => Access::Read,
                gpu::BindingAccess::ReadWrite => Access::ReadWrite,
            },
            min_bytes: layout.min_bytes,
        });
        Ok(layouts.collect())
    }

    async fn workgroup_size(&mut self, handle: Resource<GuestPipeline>) -> wasmtime::Result<(u32, u32, u32)> {
        let [x, y, z] = self.table.get(&handle)?.layout.workgroup_size;
        Ok((x, y, z))
    }

    async fn drop(&mut self, handle: Resource<GuestPipeline>) -> wasmtime::Result<()> {
        let GuestPipeline { id, .. } = self.table.delete(handle)?;
        if let Some(session) = &self.gpu.session {
            let _ = session.drop_pipeline(id).await;
        }
        Ok(())
    }
}

impl Host for State {
    async fn info(&mut self) -> Answer<AdapterInfo> {
        let info = match self.gpu.gpu() {
            Ok(gpu) => gpu.info(),
            Err(error) => return Ok(Err(error.into())),
        };
        let (grant, left, limits) = (&self.gpu.grant, self.gpu.left(), info.limits);
        Ok(Ok(AdapterInfo {
            name: info.name,
            kind: match info.kind {
                gpu::AdapterKind::Hardware => AdapterKind::Hardware,
                gpu::AdapterKind::Software => AdapterKind::Software,
            },
            driver: info.driver,
            f16: info.f16,
            subgroup_size: info.subgroup_size,
            long_loops: info.loop_probe == LoopProbe::Complete,
            limits: Limits {
                buffer_bytes: limits.buffer_bytes.min(grant.total_bytes),
                total_bytes: grant.total_bytes,
                shader_bytes: limits.shader_bytes,
                operations: limits.operations,
                workgroup_memory_bytes: limits.workgroup_memory_bytes,
                workgroup_invocations: limits.workgroup_invocations,
                workgroups_per_dimension: limits.workgroups_per_dimension,
                bindings: limits.bindings,
                passes_per_submit: limits.passes_per_submit,
                copy_bytes: limits.copy_bytes,
                read_bytes: limits.read_bytes,
                submit_deadline_ms: millis(grant.submit_deadline),
                device_time_left_ms: millis(left),
            },
        }))
    }

    async fn submit(&mut self, commands: Vec<Command>, reads: Vec<Range>) -> Answer<Outcome> {
        let commands = commands.iter().map(|command| self.command(command)).collect::<wasmtime::Result<_>>()?;
        let reads = reads.iter().map(|range| self.range(range)).collect::<wasmtime::Result<_>>()?;
        match self.gpu.submit(commands, reads).await {
            Ok(outcome) => Ok(Ok(Outcome {
                stats: Stats { device_ns: outcome.stats.device_ns, queue_ns: outcome.stats.queue_ns },
                reads: outcome.reads.into_iter().map(Into::into).collect(),
            })),
            Err(error) => Ok(Err(error.into())),
        }
    }
}
