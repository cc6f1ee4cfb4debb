//! Compute on the node's GPU: WGSL over buffers of numbers.
//!
//! A function requests the GPU in `fabric.toml`:
//! ```toml
//! [resources]
//! gpu = "preferred"    # or "required": only nodes with a GPU run it
//! ```
//! Without a GPU, every call returns [`Error::Denied`]: on a node without one, and in native builds such as tests. A
//! function with `gpu = "preferred"` therefore needs an implementation for the CPU too:
//! ```
//! use fabric::gpu;
//!
//! fn squares(values: &[f32]) -> fabric::Result<Vec<f32>> {
//!     match gpu::info() {
//!         Ok(_) => Ok(squares_on_gpu(values)?),
//!         Err(gpu::Error::Denied(_)) => Ok(values.iter().map(|x| x * x).collect()),
//!         Err(error) => Err(error.into()),
//!     }
//! }
//!
//! fn squares_on_gpu(values: &[f32]) -> Result<Vec<f32>, gpu::Error> {
//!     let square = gpu::Map::<f32>::compile("fn f(x: f32) -> f32 { return x * x; }")?;
//!     let input = gpu::Buffer::from_slice(values)?;
//!     let output = gpu::Buffer::new(values.len())?;
//!     square.run(&input, &output)?;
//!     output.read()
//! }
//!
//! assert_eq!(squares(&[2.0, 3.0])?, [4.0, 9.0]);
//! # Ok::<(), fabric::Error>(())
//! ```
//! Numbers are stored in [`Buffer`]s. The built-in passes ([`Map`], [`Reduce`], [`Scan`], [`Histogram`], [`Matmul`],
//! [`Saxpy`]) operate on them. Custom WGSL is compiled into a [`Pipeline`] and runs in a [`Submit`]. Everything sent to
//! the device is validated first: a refused call has no effect.
//!
//! This module keeps no state and has no automatic fallback: the function decides what to do without a GPU. A function
//! that does not use the module does not import `fabric:gpu`.

mod buffer;
mod element;
mod error;
mod info;
mod passes;
mod pipeline;
mod submit;
mod sys;
mod workgroups;

pub use buffer::{Buffer, Slice};
pub use element::Element;
pub use error::{Error, Result};
pub use info::{DeviceLimits, Info, Kind};
pub use passes::{Histogram, Map, Matmul, Op, Reduce, Saxpy, Scan, Shape};
pub use pipeline::{Access, BindingLayout, Pipeline};
pub use submit::{Bind, Bound, Stats, Submit, SubmitReport};
pub use workgroups::{MAX_WORKGROUPS, Workgroups};

/// Returns the adapter of this node and the limits of this call.
///
/// # Errors
/// [`Error::Denied`] if this call has no GPU: use an implementation without one. [`Error::Busy`] is retryable.
pub fn info() -> Result<Info> {
    sys::info()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied<T>(result: Result<T>) -> bool {
        matches!(result, Err(Error::Denied(why)) if why.contains("developer's machine"))
    }

    #[test]
    fn the_developers_machine_denies_all_of_it() {
        assert!(denied(info()));
        assert!(denied(Buffer::<f32>::new(1)));
        assert!(denied(Buffer::from_slice(&[1_u32])));
        assert!(denied(Pipeline::compile("", "main", &[])));
        assert!(denied(Submit::new().run()));
        assert!(denied(Map::<i32>::compile("fn f(x: i32) -> i32 { return x; }")));
        assert!(denied(Reduce::<f32>::compile(Op::Sum)));
        assert!(denied(Scan::<u32>::compile()));
        assert!(denied(Histogram::compile(16)));
        assert!(denied(Matmul::compile()));
        assert!(denied(Saxpy::compile()));
    }
}
