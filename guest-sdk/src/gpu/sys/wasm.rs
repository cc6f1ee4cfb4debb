//! `fabric:gpu` in a component.

use std::time::Duration;

use crate::bindings::gpu::fabric::gpu::compute as wit;
use crate::gpu::submit::{Bound, Command};
use crate::gpu::{Access, BindingLayout, DeviceLimits, Error, Info, Kind, Result, Stats, SubmitReport};

pub(in crate::gpu) fn info() -> Result<Info> {
    let info = wit::info()?;
    let limits = info.limits;
    Ok(Info {
        name: info.name,
        kind: match info.kind {
            wit::AdapterKind::Hardware => Kind::Hardware,
            wit::AdapterKind::Software => Kind::Software,
        },
        driver: info.driver,
        f16: info.f16,
        subgroup_size: info.subgroup_size,
        long_loops: info.long_loops,
        limits: DeviceLimits {
            buffer_bytes: limits.buffer_bytes,
            total_bytes: limits.total_bytes,
            shader_bytes: limits.shader_bytes,
            operations: limits.operations,
            workgroup_memory_bytes: limits.workgroup_memory_bytes,
            workgroup_invocations: limits.workgroup_invocations,
            workgroups_per_dimension: limits.workgroups_per_dimension,
            bindings: limits.bindings,
            passes_per_submit: limits.passes_per_submit,
            copy_bytes: limits.copy_bytes,
            read_bytes: limits.read_bytes,
            submit_deadline_ms: limits.submit_deadline_ms,
            device_time_left_ms: limits.device_time_left_ms,
        },
    })
}

#[derive(Debug)]
pub(in crate::gpu) struct Buffer(wit::Buffer);

impl Buffer {
    pub(in crate::gpu) fn create(bytes: u64) -> Result<Self> {
        Ok(Self(wit::Buffer::create(bytes)?))
    }

    pub(in crate::gpu) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.0.write(offset, bytes)?)
    }

    pub(in crate::gpu) fn read(&self, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        Ok(self.0.read(offset, bytes)?)
    }
}

#[derive(Debug)]
pub(in crate::gpu) struct Pipeline(wit::Pipeline);

impl Pipeline {
    pub(in crate::gpu) fn compile(wgsl: &str, entry: &str, constants: &[(&str, f64)]) -> Result<Self> {
        let constants: Vec<_> = constants.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Ok(Self(wit::Pipeline::compile(wgsl, entry, &constants)?))
    }

    pub(in crate::gpu) fn layout(&self) -> Vec<BindingLayout> {
        let entry = |entry: wit::BindingLayout| BindingLayout {
            binding: entry.binding,
            access: match entry.access {
                wit::Access::Read => Access::Read,
                wit::Access::ReadWrite => Access::ReadWrite,
            },
            min_bytes: entry.min_bytes,
        };
        self.0.layout().into_iter().map(entry).collect()
    }

    pub(in crate::gpu) fn workgroup_size(&self) -> [u32; 3] {
        self.0.workgroup_size().into()
    }
}

pub(in crate::gpu) fn submit(commands: &[Command<'_>], reads: &[Bound<'_>]) -> Result<SubmitReport> {
    let commands: Vec<_> = commands.iter().map(command).collect();
    let reads: Vec<_> = reads.iter().map(range).collect();
    let outcome = wit::submit(&commands, &reads)?;
    let stats = Stats {
        device: Duration::from_nanos(outcome.stats.device_ns),
        queue: Duration::from_nanos(outcome.stats.queue_ns),
    };
    Ok(SubmitReport { stats, reads: outcome.reads })
}

fn command<'a>(command: &Command<'a>) -> wit::Command<'a> {
    match command {
        Command::Dispatch { pipeline, bindings, workgroups } => wit::Command::Dispatch(wit::Dispatch {
            pipeline: &pipeline.0,
            bindings: bindings.iter().map(binding).collect(),
            workgroups: (*workgroups).into(),
        }),
        Command::Copy { source, target } => wit::Command::Copy(wit::BufferCopy {
            source: &source.buffer.0,
            source_offset: source.offset,
            target: &target.buffer.0,
            target_offset: target.offset,
            length: source.bytes,
        }),
        Command::Clear(part) => wit::Command::Clear(range(part)),
    }
}

fn binding<'a>((number, part): &(u32, Bound<'a>)) -> wit::Binding<'a> {
    wit::Binding { binding: *number, buffer: &part.buffer.0, offset: part.offset, size: Some(part.bytes) }
}

fn range<'a>(part: &Bound<'a>) -> wit::Range<'a> {
    wit::Range { buffer: &part.buffer.0, offset: part.offset, length: part.bytes }
}

impl From<wit::Error> for Error {
    fn from(error: wit::Error) -> Self {
        match error {
            wit::Error::Denied(why) => Self::Denied(why),
            wit::Error::Shader(at) => Self::Shader { message: at.message, line: at.line, column: at.column },
            wit::Error::Invalid(message) => Self::Invalid(message),
            wit::Error::Limit(of) => Self::Limit { name: of.name, value: of.value, limit: of.limit },
            wit::Error::OutOfMemory => Self::OutOfMemory,
            wit::Error::TimedOut => Self::TimedOut,
            wit::Error::DeviceLost(why) => Self::DeviceLost(why),
            wit::Error::Busy(why) => Self::Busy(why),
        }
    }
}
