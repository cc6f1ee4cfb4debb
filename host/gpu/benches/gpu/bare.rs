//! wgpu in this process, with the same checks in its shaders and one wait for each submit.

use crate::measure::{Step, Way};
use anyhow::Context as _;

pub struct Bare {
    device: wgpu::Device,
    queue: wgpu::Queue,
    staging: wgpu::Buffer,
    buffers: Vec<Option<wgpu::Buffer>>,
    pipelines: Vec<wgpu::ComputePipeline>,
}

/// Bytes of the buffer that reads arrive in: the worker's size.
const STAGING_BYTES: u64 = fabric_gpu::CHUNK_BYTES;

impl Bare {
    pub fn open(name: &str) -> anyhow::Result<Self> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN;
        descriptor.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(descriptor);
        let adapters = now(instance.enumerate_adapters(wgpu::Backends::VULKAN))?;
        let adapter = adapters.into_iter().find(|a| a.get_info().name == name).context("no such adapter")?;
        let all = adapter.limits();
        let (device, queue) = now(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() & wgpu::Features::SHADER_F16,
            required_limits: wgpu::Limits {
                max_buffer_size: all.max_buffer_size,
                max_storage_buffer_binding_size: all.max_storage_buffer_binding_size,
                ..wgpu::Limits::default().or_worse_values_from(&all)
            },
            ..Default::default()
        }))??;
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: STAGING_BYTES,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Ok(Self { device, queue, staging, buffers: Vec::new(), pipelines: Vec::new() })
    }

    fn at(&self, buffer: usize) -> anyhow::Result<&wgpu::Buffer> {
        self.buffers[buffer].as_ref().context("freed")
    }

    fn run(&self, steps: &[Step], read: Option<(usize, u64, u64)>) -> anyhow::Result<Vec<u8>> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut rest = steps;
        while let Some(first) = rest.first() {
            if let Step::Copy { from, to, bytes } = first {
                encoder.copy_buffer_to_buffer(self.at(*from)?, 0, self.at(*to)?, 0, *bytes);
                rest = &rest[1..];
                continue;
            }
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            while let Some(Step::Run { pipeline, buffers, workgroups: [x, y, z] }) = rest.first() {
                let pipeline = &self.pipelines[*pipeline];
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
                rest = &rest[1..];
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
    async fn buffer(&mut self, bytes: u64) -> anyhow::Result<usize> {
        self.buffers.push(Some(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })));
        Ok(self.buffers.len() - 1)
    }

    async fn write(&mut self, buffer: usize, bytes: &[u8]) -> anyhow::Result<()> {
        self.queue.write_buffer(self.at(buffer)?, 0, bytes);
        Ok(())
    }

    async fn read(&mut self, buffer: usize, bytes: u64) -> anyhow::Result<Vec<u8>> {
        let mut all = Vec::with_capacity(bytes as usize);
        let mut done = 0;
        while done < bytes {
            let part = STAGING_BYTES.min(bytes - done);
            all.extend(self.run(&[], Some((buffer, done, part)))?);
            done += part;
        }
        Ok(all)
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

    async fn submit(&mut self, steps: &[Step], read: Option<(usize, u64)>) -> anyhow::Result<Vec<u8>> {
        self.run(steps, read.map(|(buffer, bytes)| (buffer, 0, bytes)))
    }

    async fn free(&mut self) -> anyhow::Result<()> {
        self.buffers.iter_mut().for_each(|buffer| *buffer = None);
        self.device.poll(wgpu::PollType::wait_indefinitely())?;
        Ok(())
    }
}

/// wgpu's native futures are done when they are first asked.
fn now<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Ok(value),
        std::task::Poll::Pending => anyhow::bail!("the driver does not answer"),
    }
}
