//! Cache of compiled pipelines, keyed by the inputs of compilation.

use super::device::Device;
use crate::{
    Error,
    command::{BindingAccess, Reflection},
    shader::Source,
};
use std::{borrow::Cow, sync::Arc};

/// Capacity of the cache. The least used pipeline is evicted first.
const KEPT: u64 = 256;

/// A pipeline and its bind group layout. It holds only code and no tenant's data, so sessions may share it.
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// The cache. The node computes its keys from source, entry point, constants, adapter, driver and naga's version.
pub(super) struct Pipelines(moka::sync::Cache<[u8; 32], Arc<Pipeline>>);

impl Default for Pipelines {
    fn default() -> Self {
        Self(moka::sync::Cache::new(KEPT))
    }
}

impl Pipelines {
    pub(super) fn get(
        &self,
        device: &Device,
        key: [u8; 32],
        source: &Source,
        reflection: &Reflection,
    ) -> Result<Arc<Pipeline>, Error> {
        if let Some(pipeline) = self.0.get(&key) {
            return Ok(pipeline);
        }
        let pipeline = Arc::new(compile(device, source, reflection)?);
        self.0.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}

/// Compiles a pipeline with all of wgpu's run-time checks: bounds checks on every access, and zeroed workgroup memory.
fn compile(device: &Device, source: &Source, reflection: &Reflection) -> Result<Pipeline, Error> {
    let constants: Vec<(&str, f64)> = source.constants.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let entries: Vec<_> = reflection
        .bindings
        .iter()
        .map(|binding| wgpu::BindGroupLayoutEntry {
            binding: binding.binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: binding.access == BindingAccess::Read },
                has_dynamic_offset: false,
                min_binding_size: wgpu::BufferSize::new(binding.min_bytes),
            },
            count: None,
        })
        .collect();
    device.checked(|gpu| {
        let module = gpu.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(Cow::Borrowed(&source.wgsl)),
        });
        let layout = gpu.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = gpu.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = gpu.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(&source.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: true,
            },
            cache: None,
        });
        Pipeline { pipeline, layout }
    })
}
