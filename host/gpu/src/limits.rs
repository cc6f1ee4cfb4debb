//! Every number that bounds a guest: what a shader may be, what a submit may hold, what one session may use.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc, time::Duration};

/// Offsets, sizes and lengths are multiples of this, in bytes (WebGPU's `COPY_BUFFER_ALIGNMENT`).
pub const ALIGNMENT: u64 = 4;

/// Offsets of bindings are multiples of this, in bytes: the largest alignment that WebGPU lets an adapter ask for.
pub const BINDING_ALIGNMENT: u64 = 256;

/// Most bytes that go to or from the worker in one message. Longer writes and reads are split.
pub const CHUNK_BYTES: u64 = 4 << 20;

/// What a node allows, the same for all its sessions. The adapter's own limits lower it further.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Length of the WGSL and of the names given with it, in bytes. Default 64 KiB; above 512 KiB it has no effect.
    pub shader_bytes: u64,
    /// Constants given to one pipeline. Default 64.
    pub constants: u64,
    /// Nesting in the source, brackets and chained operators together, and nested blocks after parsing. Default 128.
    pub nesting: u64,
    /// Operations of the entry point with every function expanded at every call; composites count by their scalars.
    /// Default 16,384: an unrolled matrix kernel has about 2,000.
    pub operations: u64,
    /// Workgroup memory of the entry point, in bytes. Default 16 KiB, WebGPU's own.
    pub workgroup_memory_bytes: u64,
    /// Private and function variables of the entry point and all it calls, in bytes an invocation. Default 16 KiB.
    pub private_memory_bytes: u64,
    /// Invocations in a workgroup. Default 256, WebGPU's own.
    pub workgroup_invocations: u64,
    /// Width of a workgroup in x and y. Default 256; z is held to 64.
    pub workgroup_width: u64,
    /// Storage buffers of a pipeline. Default 8, WebGPU's own.
    pub bindings: u64,
    /// Workgroups in each dimension of a dispatch. Default 65,535, WebGPU's own.
    pub workgroups_per_dimension: u64,
    /// Dispatches, copies and clears of one submit. Default 256.
    pub passes_per_submit: u64,
    /// Bytes copied and cleared by one submit. Default 1 GiB.
    pub copy_bytes: u64,
    /// Bytes read back by one submit. Default [`CHUNK_BYTES`]; `read` itself splits.
    pub read_bytes: u64,
    /// Size of one buffer, in bytes. Default 1 GiB.
    pub buffer_bytes: u64,
    /// Live buffers of a session. Default 1,024.
    pub buffers: u64,
    /// Live pipelines of a session. Default 64.
    pub pipelines: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            shader_bytes: 64 << 10,
            constants: 64,
            nesting: 128,
            operations: 16_384,
            workgroup_memory_bytes: 16 << 10,
            private_memory_bytes: 16 << 10,
            workgroup_invocations: 256,
            workgroup_width: 256,
            bindings: 8,
            workgroups_per_dimension: 65_535,
            passes_per_submit: 256,
            copy_bytes: 1 << 30,
            read_bytes: CHUNK_BYTES,
            buffer_bytes: 1 << 30,
            buffers: 1024,
            pipelines: 64,
        }
    }
}

/// What one session, an instance's use of the GPU, may use. Its buffers' memory is set aside when the session opens.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Sum over the live buffers, in bytes. Default 64 MiB.
    pub total_bytes: u64,
    /// Deadline of one submit, from the moment the worker has it. Default 2 s. A software driver compiles a pipeline when it
    /// first runs, which took 1.6 s for the SDK's matrix product on lavapipe.
    pub submit_deadline: Duration,
    /// Device time of all submits together, and the time that checking and compiling shaders takes. Default 60 s. The call
    /// that uses the rest up is let end.
    pub device_time: Duration,
    /// Told of each submit and compilation that passed its deadline. Default nobody.
    pub on_deadline: OnDeadline,
}

/// Told of a deadline that a session's work passed, also when nobody waits for the work any more.
#[derive(Clone, Default)]
pub struct OnDeadline(Option<Arc<dyn Fn() + Send + Sync>>);

impl OnDeadline {
    /// Calls `f`, from the task that owns the worker: it must be quick and must not block.
    pub fn new(f: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(f)))
    }

    pub(crate) fn tell(&self) {
        if let Some(f) = &self.0 {
            f();
        }
    }
}

impl fmt::Debug for OnDeadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnDeadline(told)" } else { "OnDeadline(nobody)" })
    }
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            total_bytes: 64 << 20,
            submit_deadline: Duration::from_secs(2),
            device_time: Duration::from_secs(60),
            on_deadline: OnDeadline::default(),
        }
    }
}
