//! wgpu in this process, with the same shader checks and one wait for each submit.

use super::measure::{Step, Way, now};
use anyhow::Context as _;
use bytes::Bytes;

pub struct Bare {
    device: wgpu::Device,
    queue: wgpu::Queue,
    staging: wgpu::Buffer,
    buffers: Vec<wgpu::Buffer>,
    pipelines: Vec<wgpu::ComputePipeline>,
}

/// Size of the staging buffer for reads, as in the worker.
const STAGING_BYTES: u64 = fabric_gpu::CHUNK_BYTES;

const SILENT: &str = "the driver does not answer";

impl Bare {
    pub fn open(name: &str) -> anyhow::Result<Self> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN;
        descriptor.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(descriptor);
        let adapters = now(instance.enumerate_adapters(wgpu::Backends::VULKAN)).context(SILENT)?;
        let adapter = adapters.into_iter().find(|a| a.get_info().name == name).context("no such adapter")?;
        let all = adapter.limits();
        let opened = now(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() & (wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP),
            required_limits: wgpu::Limits {
                max_buffer_size: all.max_buffer_size,
                max_storage_buffer_binding_size: all.max_storage_buffer_binding_size,
                ..wgpu::Limits::default().or_worse_values_from(&all)
            },
            ..Default::default()
        }));
        let (device, queue) = opened.context(SILENT)??;
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: STAGING_BYTES,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Ok(Self { device, queue, staging, buffers: Vec::new(), pipelines: Vec::new() })
    }

    fn at(&self, buffer: usize) -> anyhow::Result<&wgpu::Buffer> {
        self.buffers.get(buffer).context("no such buffer")
    }

    fn run(&self, steps: &[Step], read: Option<(usize, u64, u64)>) -> anyhow::Result<Vec<u8>> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        // Consecutive dispatches share a pass, as in the worker.
        for steps in steps.chunk_by(|a, b| matches!((a, b), (Step::Run { .. }, Step::Run { .. }))) {
            if let [Step::Copy { from, to }] = steps {
                encoder.copy_buffer_to_buffer(self.at(*from)?, 0, self.at(*to)?, 0, None);
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for step in steps {
                let Step::Run { pipeline, buffers, workgroups: [x, y, z] } = step else { continue };
                let pipeline = self.pipelines.get(*pipeline).context("no such pipeline")?;
                let bind = |(at, buffer): (usize, &usize)| {
                    let resource = self.at(*buffer)?.as_entire_binding();
                    Ok(wgpu::BindGroupEntry { binding: at as u32, resource })
                };
                let entries = buffers.iter().enumerate().map(bind).collect::<anyhow::Result<Vec<_>>>()?;
                let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: None,
                    layout: &pipeline.get_bind_group_layout(0),
                    entries: &entries,
                });
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(*x, *y, *z);
            }
        }
        if let Some((buffer, offset, bytes)) = read {
            encoder.copy_buffer_to_buffer(self.at(buffer)?, offset, &self.staging, 0, bytes);
        }
        self.queue.submit([encoder.finish()]);
        if let Some((_, _, bytes)) = read {
            self.staging.map_async(wgpu::MapMode::Read, 0..bytes, |_| {});
        }
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        let Some((_, _, bytes)) = read else { return Ok(Vec::new()) };
        let all = self.staging.get_mapped_range(0..bytes)?.to_vec();
        self.staging.unmap();
        Ok(all)
    }
}

impl Way for Bare {
    type Data = Bytes;

    fn data(words: impl Iterator<Item = u32>) -> Bytes {
        words.flat_map(u32::to_le_bytes).collect()
    }

    async fn buffer(&mut self, bytes: u64) -> anyhow::Result<usize> {
        self.buffers.push(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        }));
        Ok(self.buffers.len() - 1)
    }

    async fn write(&mut self, buffer: usize, data: &Bytes) -> anyhow::Result<()> {
        self.queue.write_buffer(self.at(buffer)?, 0, data);
        Ok(())
    }

    async fn read(&mut self, buffer: usize) -> anyhow::Result<Bytes> {
        let bytes = self.at(buffer)?.size();
        let mut all = Vec::with_capacity(bytes as usize);
        let mut done = 0;
        while done < bytes {
            let part = STAGING_BYTES.min(bytes - done);
            all.extend(self.run(&[], Some((buffer, done, part)))?);
            done += part;
        }
        Ok(all.into())
    }

    async fn pipeline(&mut self, wgsl: &str, entry: &str) -> anyhow::Result<usize> {
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(wgsl.into()),
        });
        self.pipelines.push(self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        }));
        Ok(self.pipelines.len() - 1)
    }

    async fn submit(&mut self, steps: &[Step], read: Option<(usize, u64)>) -> anyhow::Result<Bytes> {
        Ok(self.run(steps, read.map(|(buffer, bytes)| (buffer, 0, bytes)))?.into())
    }

    async fn free(&mut self) -> anyhow::Result<()> {
        self.buffers.clear();
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    }
}
