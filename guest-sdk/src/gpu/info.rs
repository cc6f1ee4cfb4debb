//! Description of the node's GPU.

/// The adapter of this node, and the limits of this call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Name of the adapter, such as `NVIDIA L4`.
    pub name: String,
    /// Hardware or software.
    pub kind: Kind,
    /// Name and version of the driver.
    pub driver: String,
    /// True if WGSL may `enable f16`.
    pub f16: bool,
    /// Smallest and largest subgroup size; `None` if WGSL has no subgroup operations.
    pub subgroup_size: Option<(u32, u32)>,
    /// True if long loops run to completion. If false, a loop may end after 65,535 iterations without an error: give an
    /// invocation fewer iterations, and use more invocations or dispatches.
    pub long_loops: bool,
    /// Limits of this call.
    pub limits: DeviceLimits,
}

/// The kind of processor behind an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A GPU.
    Hardware,
    /// The CPU, through a software driver.
    Software,
}

/// Limits of one call. A request above a limit fails with [`Error::Limit`](super::Error::Limit) and the limit's name in
/// kebab case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceLimits {
    /// Size of one buffer, in bytes.
    pub buffer_bytes: u64,
    /// Sum of the sizes of the live buffers, in bytes. Set by `limits.gpu-memory-bytes` in the manifest.
    pub total_bytes: u64,
    /// Length of a WGSL source, in bytes.
    pub shader_bytes: u64,
    /// Operations of an entry point with every function call expanded.
    pub operations: u64,
    /// Workgroup memory of an entry point, in bytes.
    pub workgroup_memory_bytes: u64,
    /// Invocations of a workgroup: the product of its three sizes.
    pub workgroup_invocations: u64,
    /// Workgroups of a dispatch, in each dimension.
    pub workgroups_per_dimension: u64,
    /// Storage buffers of a pipeline.
    pub bindings: u64,
    /// Steps of a submit.
    pub passes_per_submit: u64,
    /// Bytes copied and cleared by a submit.
    pub copy_bytes: u64,
    /// Bytes read by a submit. [`Buffer::read`](super::Buffer::read) takes any length.
    pub read_bytes: u64,
    /// Deadline of one submit, in milliseconds. Set by `limits.gpu-submit-ms` in the manifest.
    pub submit_deadline_ms: u64,
    /// Device time left to this call, in milliseconds. Set by `limits.gpu-ms` in the manifest.
    pub device_time_left_ms: u64,
}
