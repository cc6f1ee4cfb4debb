//! GPU compute for guests: WGSL on one adapter, shared by all guests of a node.
//!
//! ```text
//! Session ── ledger, shader::check (pure) ── Gpu ── owner task ═ socket ═ worker process ── wgpu ── Vulkan
//! ```
//!
//! All data from a guest is validated before the device receives it: numbers and ranges in this process ([`Ledger`]),
//! WGSL in a separate checker process ([`shader`]). A worker process, one for each GPU, owns the device
//! ([`worker_main`]). If a submit exceeds its deadline, the worker is killed, since nothing else stops a shader, and
//! restarted ([`Gpu`]).
//!
//! # Isolation between tenants
//! A session can access only its own buffers. Shaders are compiled with bounds checks on every access, and workgroup
//! memory is zeroed at the start. Buffers are zeroed at creation and again before they are freed. Requests run one at a
//! time. Memory is reserved when a session opens. The loss of the device, however, affects all sessions; it is reported
//! as a retryable error. `tests/gpu/isolation.rs` and `tests/gpu/hostile.rs` test this.

mod command;
mod error;
mod info;
mod ledger;
mod limits;
mod node;
pub(crate) mod options;
mod protocol;
pub mod shader;
mod worker;

pub use command::{
    Binding, BindingAccess, BindingShape, BufferId, ByteRange, GpuCommand, PipelineId, Reflection, SubmitStats,
};
pub use error::Error;
pub use info::{AdapterInfo, AdapterKind, LoopProbe};
pub use ledger::Ledger;
pub use limits::{ALIGNMENT, AdapterLimits, BINDING_ALIGNMENT, CHUNK_BYTES, Grant, OnDeadline};
pub use node::{Gpu, Session, SubmitOutcome, Unavailable};
pub use options::{DRIVER_VARIABLES, GpuWorkerCommand, Options};
pub use shader::Source;
pub use worker::worker_main;
