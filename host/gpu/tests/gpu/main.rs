//! End-to-end tests of sessions on a software adapter: this process, the socket, the worker, wgpu, Vulkan.
//!
//! Needs lavapipe: `apt-get install mesa-vulkan-drivers`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod confined;
mod hostile;
mod isolation;
mod loss;
mod passes;
mod start;
mod work;
