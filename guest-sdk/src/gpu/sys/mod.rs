//! The calls of `fabric:gpu` under one set of names: imports in a component, errors in native builds.

#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
pub(super) use wasm::*;

#[cfg(not(target_family = "wasm"))]
mod host;
#[cfg(not(target_family = "wasm"))]
pub(super) use host::*;
