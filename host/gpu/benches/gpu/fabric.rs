//! Through a session, as a guest's calls go.

use crate::measure::{Step, Way};
use bytes::Bytes;
use fabric_gpu::{Binding, BufferId, Command, Gpu, Grant, Options, PipelineId, Range, Session, Source, WorkerCommand};
use std::time::Duration;

/// Memory for the largest sizes, in bytes.
const MEMORY_BYTES: u64 = 4 << 30;

/// Opens the adapter as a node would.
pub async fn open(adapter: Option<String>) -> anyhow::Result<Gpu> {
    let program = env!("CARGO_BIN_EXE_fabric-gpu-worker").into();
    let mut options = Options::new(WorkerCommand { program, args: Vec::new() });
    options.adapter = adapter;
    options.memory_bytes = MEMORY_BYTES;
    Ok(Gpu::detect(options).await?)
}

pub struct Fabric {
    session: Session,
    buffers: Vec<BufferId>,
    pipelines: Vec<PipelineId>,
    freed: usize,
}

impl Fabric {
    pub fn new(gpu: &Gpu) -> anyhow::Result<Self> {
        let hour = Duration::from_secs(3600);
        let grant = Grant { total_bytes: MEMORY_BYTES, submit_deadline: hour, device_time: hour * 24 };
        Ok(Self { session: gpu.session(grant)?, buffers: Vec::new(), pipelines: Vec::new(), freed: 0 })
    }
}

impl Way for Fabric {
    async fn buffer(&mut self, bytes: u64) -> anyhow::Result<usize> {
        self.buffers.push(self.session.create(bytes).await?);
        Ok(self.buffers.len() - 1)
    }

    async fn write(&mut self, buffer: usize, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.session.write(self.buffers[buffer], 0, Bytes::copy_from_slice(bytes)).await?)
    }

    async fn read(&mut self, buffer: usize, bytes: u64) -> anyhow::Result<Vec<u8>> {
        Ok(self.session.read(Range { buffer: self.buffers[buffer], offset: 0, bytes }).await?)
    }

    async fn pipeline(&mut self, wgsl: &str, entry: &str) -> anyhow::Result<usize> {
        let source = Source { wgsl: wgsl.into(), entry: entry.into(), constants: Vec::new() };
        self.pipelines.push(self.session.compile(source).await?.0);
        Ok(self.pipelines.len() - 1)
    }

    async fn submit(&mut self, steps: &[Step], read: Option<(usize, u64)>) -> anyhow::Result<Vec<u8>> {
        let bind = |(at, buffer): (usize, &usize)| Binding {
            binding: at as u32,
            buffer: self.buffers[*buffer],
            offset: 0,
            bytes: None,
        };
        let command = |step: &Step| match step {
            Step::Run { pipeline, buffers, workgroups } => Command::Dispatch {
                pipeline: self.pipelines[*pipeline],
                bindings: buffers.iter().enumerate().map(bind).collect(),
                workgroups: *workgroups,
            },
            Step::Copy { from, to, bytes } => Command::Copy {
                source: Range { buffer: self.buffers[*from], offset: 0, bytes: *bytes },
                target: self.buffers[*to],
                target_offset: 0,
            },
        };
        let reads = read.map(|(buffer, bytes)| Range { buffer: self.buffers[buffer], offset: 0, bytes });
        let outcome = self.session.submit(steps.iter().map(command).collect(), reads.into_iter().collect()).await?;
        Ok(outcome.reads.first().map(|bytes| bytes.to_vec()).unwrap_or_default())
    }

    async fn free(&mut self) -> anyhow::Result<()> {
        for buffer in &self.buffers[self.freed..] {
            self.session.destroy(*buffer).await?;
        }
        self.freed = self.buffers.len();
        Ok(())
    }
}
