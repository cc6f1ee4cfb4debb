//! GPU passes: WGSL compute of guests, on one adapter that all of a node's guests share.
//!
//! ```text
//! Session ── ledger, shader::check (pure) ── Gpu ── owner task ═ socket ═ worker process ── wgpu ── Vulkan
//! ```
//!
//! A guest's every byte is checked before the device sees it: numbers and ranges in this process ([`Ledger`]), WGSL
//! in a process of its own ([`shader`]). A second process, one for each GPU, owns the device ([`worker_main`]); it is
//! killed when a submit passes its deadline, since nothing else stops a shader, and started again ([`Gpu`]).
//!
//! # What keeps tenants apart
//! A session can name only its own buffers. Shaders are compiled with bounds checks on every access, and workgroup
//! memory starts as zeros. Buffers are zero when they are made and zeroed again before they are freed. One request runs
//! at a time. Memory is set aside when a session opens. A loss is everybody's, though: it is reported as retryable.

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

pub use command::{Access, Binding, BindingLayout, BufferId, Command, PipelineId, Range, Reflection, Stats};
pub use error::Error;
pub use info::{Info, Kind, LoopProbe};
pub use ledger::Ledger;
pub use limits::{ALIGNMENT, BINDING_ALIGNMENT, CHUNK_BYTES, Grant, Limits, OnDeadline};
pub use node::{Gpu, Outcome, Session, Unavailable};
pub use options::{DRIVER_VARIABLES, Options, WorkerCommand};
pub use shader::Source;
pub use worker::worker_main;
