//! Measurement through a session: the node's side of a guest's calls, without the sandbox.

use super::{
    MEMORY_BYTES, WORKER,
    measure::{Step, Way},
};
use anyhow::Context as _;
use bytes::Bytes;
use fabric_gpu::{Binding, BufferId, ByteRange, Gpu, GpuCommand, GpuWorkerCommand, Grant, Options, PipelineId, Source};
use std::time::Duration;

/// Opens the adapter as a node does.
pub async fn open(adapter: Option<String>) -> anyhow::Result<Gpu> {
    let worker = GpuWorkerCommand { program: std::env::current_exe()?, args: vec![WORKER.into()] };
    Ok(Gpu::detect(Options { adapter, memory_bytes: MEMORY_BYTES, ..Options::new(worker) }).await?)
}

pub struct Session {
    session: fabric_gpu::Session,
    /// Buffers with their sizes in bytes.
    buffers: Vec<(BufferId, u64)>,
    pipelines: Vec<PipelineId>,
}

impl Session {
    pub async fn new(gpu: &Gpu) -> anyhow::Result<Self> {
        let grant = Grant {
            total_bytes: MEMORY_BYTES,
            submit_deadline: Duration::from_secs(10),
            device_time: Duration::from_secs(3600),
            ..Grant::default()
        };
        Ok(Self { session: gpu.session_when_free(grant).await?, buffers: Vec::new(), pipelines: Vec::new() })
    }

    /// Closes the session after the device has freed its resources.
    pub async fn close(self) {
        self.session.close().await;
    }

    fn whole(&self, buffer: usize) -> anyhow::Result<ByteRange> {
        let (buffer, bytes) = *self.buffers.get(buffer).context("no such buffer")?;
        Ok(ByteRange { buffer, offset: 0, bytes })
    }

    fn command(&self, step: &Step) -> anyhow::Result<GpuCommand> {
        Ok(match step {
            Step::Run { pipeline, buffers, workgroups } => {
                let bind = |(at, buffer): (usize, &usize)| {
                    let buffer = self.whole(*buffer)?.buffer;
                    Ok(Binding { binding: at as u32, buffer, offset: 0, bytes: None })
                };
                GpuCommand::Dispatch {
                    pipeline: *self.pipelines.get(*pipeline).context("no such pipeline")?,
                    bindings: buffers.iter().enumerate().map(bind).collect::<anyhow::Result<_>>()?,
                    workgroups: *workgroups,
                }
            }
            Step::Copy { from, to } => {
                GpuCommand::Copy { source: self.whole(*from)?, target: self.whole(*to)?.buffer, target_offset: 0 }
            }
        })
    }
}

impl Way for Session {
    type Data = Bytes;

    fn data(words: impl Iterator<Item = u32>) -> Bytes {
        words.flat_map(u32::to_le_bytes).collect()
    }

    async fn buffer(&mut self, bytes: u64) -> anyhow::Result<usize> {
        self.buffers.push((self.session.create(bytes).await?, bytes));
        Ok(self.buffers.len() - 1)
    }

    async fn write(&mut self, buffer: usize, data: &Bytes) -> anyhow::Result<()> {
        Ok(self.session.write(self.whole(buffer)?.buffer, 0, data.clone()).await?)
    }

    async fn read(&mut self, buffer: usize) -> anyhow::Result<Bytes> {
        Ok(self.session.read(self.whole(buffer)?).await?.into())
    }

    async fn pipeline(&mut self, wgsl: &str, entry: &str) -> anyhow::Result<usize> {
        let source = Source { wgsl: wgsl.into(), entry: entry.into(), constants: Vec::new() };
        self.pipelines.push(self.session.compile(source).await?.0);
        Ok(self.pipelines.len() - 1)
    }

    async fn submit(&mut self, steps: &[Step], read: Option<(usize, u64)>) -> anyhow::Result<Bytes> {
        let commands = steps.iter().map(|step| self.command(step)).collect::<anyhow::Result<_>>()?;
        let read = read.map(|(buffer, bytes)| anyhow::Ok(ByteRange { bytes, ..self.whole(buffer)? })).transpose()?;
        let outcome = self.session.submit(commands, read.into_iter().collect()).await?;
        Ok(outcome.reads.into_iter().next().unwrap_or_default())
    }

    async fn free(&mut self) -> anyhow::Result<()> {
        for (buffer, _) in self.buffers.drain(..) {
            self.session.destroy(buffer).await?;
        }
        Ok(())
    }
}
