//! Bindings that `bindgen!` generates from `wit/gpu`. `gpu::imports` uses them.
#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]

wasmtime::component::bindgen!({
    path: "../wit/gpu",
    world: "gpu-guest",
    imports: { default: async | trappable },
    with: {
        "fabric:gpu/compute.buffer": super::GuestBuffer,
        "fabric:gpu/compute.pipeline": super::GuestPipeline,
    },
    require_store_data_send: true,
});
