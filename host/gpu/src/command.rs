//! Commands of a submit. All values come from a guest and are validated in [`crate::ledger`].

use serde::{Deserialize, Serialize};

/// Id of a buffer, unique within a session and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BufferId(pub u64);

/// Id of a pipeline, unique within a session and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PipelineId(pub u64);

/// The buffer range bound to one `@binding` of group 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Binding number in the WGSL.
    pub binding: u32,
    /// The buffer.
    pub buffer: BufferId,
    /// Start of the range, in bytes; a multiple of [`BINDING_ALIGNMENT`](crate::BINDING_ALIGNMENT).
    pub offset: u64,
    /// Length of the range, in bytes; a multiple of 4. `None` is the rest of the buffer.
    pub bytes: Option<u64>,
}

/// A range of a buffer, in bytes. Offset and length are multiples of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteRange {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// One step of a submit. Each step observes the writes of the steps before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuCommand {
    /// Runs a pipeline.
    Dispatch {
        /// The pipeline.
        pipeline: PipelineId,
        /// A buffer for each entry of the pipeline's layout.
        bindings: Vec<Binding>,
        /// Workgroups in x, y and z.
        workgroups: [u32; 3],
    },
    /// Copies between two different buffers.
    Copy {
        /// The range to copy.
        source: ByteRange,
        /// Buffer to copy to.
        target: BufferId,
        /// First byte to overwrite; a multiple of 4.
        target_offset: u64,
    },
    /// Sets a range to zero.
    Clear(ByteRange),
}

/// Access of a shader to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BindingAccess {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// One binding of a pipeline, as declared in the WGSL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingShape {
    /// Binding number in the WGSL.
    pub binding: u32,
    /// Access of the shader.
    pub access: BindingAccess,
    /// Smallest size to bind, in bytes: the type's size. A runtime-sized array counts as one element.
    pub min_bytes: u64,
}

/// Requirements of a pipeline, read from the WGSL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reflection {
    /// Storage buffers that the entry point uses, sorted by number.
    pub bindings: Vec<BindingShape>,
    /// Invocations of a workgroup in x, y and z.
    pub workgroup_size: [u32; 3],
    /// Workgroup memory, in bytes.
    pub workgroup_memory_bytes: u64,
}

/// Cost of a submit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitStats {
    /// Time on the device, in nanoseconds.
    pub device_ns: u64,
    /// Time in the queue and in transfer, in nanoseconds.
    pub queue_ns: u64,
}
