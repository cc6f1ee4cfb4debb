//! What `bindgen!` makes of `wit/gpu`. Everything typed against it is in `gpu::imports`.
#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]

wasmtime::component::bindgen!({
    path: "../wit/gpu",
    world: "gpu-guest",
    imports: { default: async | trappable },
    with: {
        "fabric:gpu/compute.buffer": super::Buffer,
        "fabric:gpu/compute.pipeline": super::Pipeline,
    },
    require_store_data_send: true,
});
