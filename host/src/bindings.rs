//! Bindings that `bindgen!` generates from `wit/task`. `task_imports` and `entry::task` use them.
#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]

wasmtime::component::bindgen!({
    path: "../wit/task",
    world: "handler-task",
    imports: {
        "fabric:task/input.next-part": async | trappable,
        "fabric:task/input.read": async | trappable,
        "fabric:task/input.read-keyed": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
});
