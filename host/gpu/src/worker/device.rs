//! The adapter and device of a worker.

use super::probe;
use crate::{AdapterInfo, AdapterKind, AdapterLimits, Error, limits::CHUNK_BYTES, shader::Extensions};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Two timestamps of 8 bytes each.
const CLOCK_BYTES: u64 = 16;

/// Percentage of the driver's memory budget above which buffers are refused, so that the device is not lost.
const BUDGET_PERCENT: u8 = 95;

pub(super) struct Device {
    gpu: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) info: AdapterInfo,
    /// Staging buffer of reads: the timestamps first, then bytes. Guests can't bind it.
    pub(super) staging: wgpu::Buffer,
    clock: Option<Clock>,
    lost: Arc<AtomicBool>,
}

/// Two device timestamps around a submit.
struct Clock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    /// Nanoseconds of one tick.
    period: f64,
}

impl Device {
    /// Opens the adapter with a name that contains `wanted`, or by default the best one: hardware before software.
    ///
    /// # Errors
    /// The reason why there is no device.
    pub(super) fn open(wanted: Option<&str>, memory_bytes: u64, limits: &AdapterLimits) -> Result<Self, String> {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::VULKAN;
        descriptor.flags = wgpu::InstanceFlags::empty();
        descriptor.memory_budget_thresholds.for_resource_creation = Some(BUDGET_PERCENT);
        let instance = wgpu::Instance::new(descriptor);
        let adapters = ready(instance.enumerate_adapters(wgpu::Backends::VULKAN)).unwrap_or_default();
        let adapter = choose(adapters, wanted)?;
        let about = adapter.get_info();
        let features = adapter.features() & wanted_features();
        let limits = lowered(limits, &adapter.limits());
        let required = wgpu::DeviceDescriptor {
            label: None,
            required_features: features,
            required_limits: device_limits(&limits, &adapter.limits()),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        };
        let opened = ready(adapter.request_device(&required)).ok_or("the driver does not answer")?;
        let (gpu, queue) = opened.map_err(|e| format!("`{}` can't be opened: {e}", about.name))?;
        let lost = Arc::new(AtomicBool::new(false));
        let flag = lost.clone();
        gpu.set_device_lost_callback(move |_, _| flag.store(true, Ordering::Relaxed));
        let clocked = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS;
        let clock = features.contains(clocked).then(|| Clock::new(&gpu, &queue));
        let staging = gpu.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: CLOCK_BYTES + CHUNK_BYTES,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let subgroups = features.contains(wgpu::Features::SUBGROUP);
        let info = AdapterInfo {
            kind: if about.device_type == wgpu::DeviceType::Cpu {
                AdapterKind::Software
            } else {
                AdapterKind::Hardware
            },
            driver: format!("{} {}", about.driver, about.driver_info).trim().to_owned(),
            f16: features.contains(wgpu::Features::SHADER_F16),
            subgroup_size: subgroups.then_some((about.subgroup_min_size, about.subgroup_max_size)),
            timestamps: clock.is_some(),
            name: about.name,
            memory_bytes,
            limits,
            loop_probe: crate::LoopProbe::Complete,
        };
        let mut device = Self { gpu, queue, info, staging, clock, lost };
        device.info.loop_probe = probe::loops(&device).map_err(|e| format!("the adapter fails its test: {e}"))?;
        Ok(device)
    }

    /// Calls the device and returns its errors. Without error scopes, wgpu would end the process.
    pub(super) fn checked<T>(&self, call: impl FnOnce(&wgpu::Device) -> T) -> Result<T, Error> {
        let validation = self.gpu.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = self.gpu.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.gpu.push_error_scope(wgpu::ErrorFilter::Internal);
        let value = call(&self.gpu);
        let internal = ready(internal.pop()).flatten();
        let memory = ready(memory.pop()).flatten();
        let validation = ready(validation.pop()).flatten();
        if memory.is_some() {
            return Err(Error::OutOfMemory);
        }
        match internal.or(validation) {
            None => Ok(value),
            // naga's errors were reported by the checker, so this is an error of wgpu.
            Some(error) => Err(Error::Invalid(format!("the device refuses it: {error}"))),
        }
    }

    /// Waits until all submitted work is done.
    pub(super) fn wait(&self) -> Result<(), Error> {
        match self.gpu.poll(wgpu::PollType::wait_indefinitely()) {
            Ok(_) if !self.is_lost() => Ok(()),
            Ok(_) => Err(Error::DeviceLost("the driver lost the device".into())),
            Err(error) => Err(Error::DeviceLost(error.to_string())),
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Returns the offset of the bytes in the staging buffer.
    pub(super) fn clock_bytes(&self) -> u64 {
        if self.clock.is_some() { CLOCK_BYTES } else { 0 }
    }

    pub(super) fn stamp(&self, encoder: &mut wgpu::CommandEncoder, at: u32) {
        if let Some(clock) = &self.clock {
            encoder.write_timestamp(&clock.queries, at);
        }
    }

    pub(super) fn resolve_clock(&self, encoder: &mut wgpu::CommandEncoder) {
        if let Some(clock) = &self.clock {
            encoder.resolve_query_set(&clock.queries, 0..2, &clock.resolved, 0);
            encoder.copy_buffer_to_buffer(&clock.resolved, 0, &self.staging, 0, CLOCK_BYTES);
        }
    }

    /// Returns the nanoseconds between the two timestamps in the mapped staging buffer, or `None` without a clock.
    pub(super) fn read_clock(&self) -> Option<u64> {
        let clock = self.clock.as_ref()?;
        let view = self.staging.get_mapped_range(0..CLOCK_BYTES).ok()?;
        let (first, last) = view.split_first_chunk::<8>()?;
        let (start, end) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last.first_chunk::<8>()?));
        Some((end.saturating_sub(start) as f64 * clock.period) as u64)
    }
}

impl Clock {
    fn new(gpu: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let queries =
            gpu.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count: 2 });
        let resolved = gpu.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: CLOCK_BYTES,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Self { queries, resolved, period: f64::from(queue.get_timestamp_period()) }
    }
}

impl AdapterInfo {
    /// Returns the adapter's WGSL extensions.
    pub(crate) fn extensions(&self) -> Extensions {
        Extensions { f16: self.f16, subgroups: self.subgroup_size.is_some() }
    }
}

fn wanted_features() -> wgpu::Features {
    wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS
        | wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP
}

fn choose(adapters: Vec<wgpu::Adapter>, wanted: Option<&str>) -> Result<wgpu::Adapter, String> {
    let names: Vec<_> = adapters.iter().map(|a| a.get_info().name).collect();
    if names.is_empty() {
        return Err("no Vulkan driver was found; install the GPU's driver, or a software one: \
                    apt-get install mesa-vulkan-drivers"
            .into());
    }
    let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    let matches = |adapter: &wgpu::Adapter| {
        wanted.is_none_or(|part| adapter.get_info().name.to_lowercase().contains(&part.to_lowercase()))
    };
    let best = adapters.into_iter().filter(matches).min_by_key(rank);
    best.ok_or_else(|| {
        format!("no adapter has `{}` in its name, there are: {}", wanted.unwrap_or(""), names.join(", "))
    })
}

/// Returns the node's limits, lowered to those of the adapter.
fn lowered(limits: &AdapterLimits, adapter: &wgpu::Limits) -> AdapterLimits {
    let least = |ours: u64, theirs: u32| ours.min(u64::from(theirs));
    let width = adapter.max_compute_workgroup_size_x.min(adapter.max_compute_workgroup_size_y);
    AdapterLimits {
        buffer_bytes: limits.buffer_bytes.min(adapter.max_buffer_size).min(adapter.max_storage_buffer_binding_size),
        bindings: least(limits.bindings, adapter.max_storage_buffers_per_shader_stage),
        workgroup_memory_bytes: least(limits.workgroup_memory_bytes, adapter.max_compute_workgroup_storage_size),
        workgroup_invocations: least(limits.workgroup_invocations, adapter.max_compute_invocations_per_workgroup),
        workgroup_width: least(limits.workgroup_width, width),
        workgroups_per_dimension: least(limits.workgroups_per_dimension, adapter.max_compute_workgroups_per_dimension),
        ..limits.clone()
    }
}

/// Returns the limits for opening the device: WebGPU's defaults, lowered to those of the adapter, and the node's
/// limits.
fn device_limits(ours: &AdapterLimits, adapter: &wgpu::Limits) -> wgpu::Limits {
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    wgpu::Limits {
        max_buffer_size: ours.buffer_bytes.max(CLOCK_BYTES + CHUNK_BYTES),
        max_storage_buffer_binding_size: ours.buffer_bytes,
        max_storage_buffers_per_shader_stage: narrow(ours.bindings),
        max_compute_workgroup_storage_size: narrow(ours.workgroup_memory_bytes),
        max_compute_invocations_per_workgroup: narrow(ours.workgroup_invocations),
        max_compute_workgroup_size_x: narrow(ours.workgroup_width),
        max_compute_workgroup_size_y: narrow(ours.workgroup_width),
        max_compute_workgroups_per_dimension: narrow(ours.workgroups_per_dimension),
        ..wgpu::Limits::default().or_worse_values_from(adapter)
    }
}

/// Returns the value of a future that completes on the first poll. wgpu's native futures do.
fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
