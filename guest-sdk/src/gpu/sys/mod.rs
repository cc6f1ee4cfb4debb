//! The calls of `fabric:gpu` behind one set of names: the real imports in a component, a refusal on the host.

#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
pub(super) use wasm::*;

#[cfg(not(target_family = "wasm"))]
mod host;
#[cfg(not(target_family = "wasm"))]
pub(super) use host::*;
