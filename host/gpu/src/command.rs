//! What a submit is made of. Everything here comes from a guest and is checked in [`crate::ledger`].

use serde::{Deserialize, Serialize};

/// A buffer of a session. Never used twice in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BufferId(pub u64);

/// A pipeline of a session. Never used twice in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PipelineId(pub u64);

/// What stands behind one `@binding` of group 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The number in the WGSL.
    pub binding: u32,
    /// The buffer.
    pub buffer: BufferId,
    /// Where in the buffer it starts, in bytes; a multiple of [`BINDING_ALIGNMENT`](crate::BINDING_ALIGNMENT).
    pub offset: u64,
    /// How many bytes are seen; a multiple of 4. `None` is the rest of the buffer.
    pub bytes: Option<u64>,
}

/// A range of a buffer, in bytes; both are multiples of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// One step of a submit. Each sees what the steps before it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Runs a pipeline.
    Dispatch {
        /// The pipeline.
        pipeline: PipelineId,
        /// A buffer for each entry of its layout.
        bindings: Vec<Binding>,
        /// Workgroups in x, y and z.
        workgroups: [u32; 3],
    },
    /// Copies between two different buffers.
    Copy {
        /// From here.
        source: Range,
        /// To this buffer.
        target: BufferId,
        /// At this byte; a multiple of 4.
        target_offset: u64,
    },
    /// Sets a range to zero.
    Clear(Range),
}

/// How a shader uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// One binding of a pipeline, as the WGSL declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingLayout {
    /// The number in the WGSL.
    pub binding: u32,
    /// How it is used.
    pub access: Access,
    /// What must be bound at least, in bytes: the type's size, with one element of a run-time sized array.
    pub min_bytes: u64,
}

/// What a pipeline needs, read from the WGSL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reflection {
    /// The storage buffers that the entry point uses, by number.
    pub bindings: Vec<BindingLayout>,
    /// Invocations of a workgroup in x, y and z.
    pub workgroup_size: [u32; 3],
    /// Workgroup memory, in bytes.
    pub workgroup_memory_bytes: u64,
}

/// What a submit cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Time on the device, in nanoseconds.
    pub device_ns: u64,
    /// Time that the submit waited for its turn and travelled, in nanoseconds.
    pub queue_ns: u64,
}
