//! Limits of guests: for shaders, submits and sessions.

use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc, time::Duration};

/// Alignment of offsets, sizes and lengths, in bytes (WebGPU's `COPY_BUFFER_ALIGNMENT`).
pub const ALIGNMENT: u64 = 4;

/// Alignment of binding offsets, in bytes: the largest alignment that WebGPU allows an adapter to require.
pub const BINDING_ALIGNMENT: u64 = 256;

/// Largest payload of one message to or from the worker, in bytes. Longer writes and reads are split.
pub const CHUNK_BYTES: u64 = 4 << 20;

/// Limits of a node, the same for all its sessions. They are lowered to the adapter's limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterLimits {
    /// Length of the WGSL and of the names passed with it, in bytes. Default 64 KiB; values above 512 KiB have no
    /// effect.
    pub shader_bytes: u64,
    /// Constants passed to one pipeline. Default 64.
    pub constants: u64,
    /// Nesting depth: in the source, of brackets and chained operators together; after parsing, of blocks. Default 128.
    pub nesting: u64,
    /// Operations of the entry point with every function call expanded. Composites count by their scalars. Default
    /// 16,384; an unrolled matrix kernel has about 2,000.
    pub operations: u64,
    /// Workgroup memory of the entry point, in bytes. Default 16 KiB, WebGPU's default.
    pub workgroup_memory_bytes: u64,
    /// Private and function variables of the entry point and the functions it calls, in bytes per invocation. Default
    /// 16 KiB.
    pub private_memory_bytes: u64,
    /// Invocations in a workgroup. Default 256, WebGPU's default.
    pub workgroup_invocations: u64,
    /// Size of a workgroup in x and in y. Default 256. The size in z is limited to 64.
    pub workgroup_width: u64,
    /// Storage buffers of a pipeline. Default 8, WebGPU's default.
    pub bindings: u64,
    /// Workgroups in each dimension of a dispatch. Default 65,535, WebGPU's default.
    pub workgroups_per_dimension: u64,
    /// Dispatches, copies and clears of one submit. Default 256.
    pub passes_per_submit: u64,
    /// Bytes copied and cleared by one submit. Default 1 GiB.
    pub copy_bytes: u64,
    /// Bytes read back by one submit. Default [`CHUNK_BYTES`]. `Session::read` splits longer reads.
    pub read_bytes: u64,
    /// Size of one buffer, in bytes. Default 1 GiB.
    pub buffer_bytes: u64,
    /// Live buffers of a session. Default 1,024.
    pub buffers: u64,
    /// Live pipelines of a session. Default 64.
    pub pipelines: u64,
}

impl Default for AdapterLimits {
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

/// Limits of one session, the use of the GPU by one instance. The memory of its buffers is reserved when the session
/// opens.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Sum of the sizes of the live buffers, in bytes. Default 64 MiB.
    pub total_bytes: u64,
    /// Deadline of one submit, from its start on the worker. Default 2 s. A software driver compiles a pipeline on its
    /// first run: 1.6 s for the SDK's matrix product on lavapipe.
    pub submit_deadline: Duration,
    /// Total device time of all submits, plus the time of checking and compiling shaders. Default 60 s. The call that
    /// exhausts it runs to completion.
    pub device_time: Duration,
    /// Callback for each submit and compilation that exceeds its deadline. Default none.
    pub on_deadline: OnDeadline,
}

/// A callback for work that exceeds its deadline. It is also called for work that no caller awaits any longer.
#[derive(Clone, Default)]
pub struct OnDeadline(Option<Arc<dyn Fn() + Send + Sync>>);

impl OnDeadline {
    /// Creates a callback to `f`. The task that owns the worker calls it, so `f` must be fast and must not block.
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
        f.write_str(if self.0.is_some() { "OnDeadline(set)" } else { "OnDeadline(unset)" })
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
