//! What is known of the node's GPU.

/// The adapter of this node, and how much of it this call may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name, such as `NVIDIA L4`.
    pub name: String,
    /// Hardware or software.
    pub kind: Kind,
    /// Its driver and the driver's version.
    pub driver: String,
    /// Whether WGSL may `enable f16`.
    pub f16: bool,
    /// Smallest and largest subgroup, where WGSL has subgroup operations.
    pub subgroup_size: Option<(u32, u32)>,
    /// Whether long loops run to their end. Where they do not, a loop may stop after 65,535 rounds without a word: give
    /// an invocation fewer, and have more invocations or dispatches.
    pub long_loops: bool,
    /// What this call may ask for.
    pub limits: Limits,
}

/// What does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A GPU.
    Hardware,
    /// The processor, through a software driver.
    Software,
}

/// What one call may ask for. More is [`Error::Limit`](super::Error::Limit) with the limit's name, in dashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of one buffer, in bytes.
    pub buffer_bytes: u64,
    /// Sum over the buffers that are there, in bytes. `limits.gpu-memory-bytes` of the manifest.
    pub total_bytes: u64,
    /// Length of a WGSL source, in bytes.
    pub shader_bytes: u64,
    /// Operations of an entry point with every call expanded.
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
    /// How long one submit may take, in milliseconds. `limits.gpu-submit-ms` of the manifest.
    pub submit_deadline_ms: u64,
    /// What is left of this call's device time, in milliseconds. `limits.gpu-ms` of the manifest.
    pub device_time_left_ms: u64,
}
