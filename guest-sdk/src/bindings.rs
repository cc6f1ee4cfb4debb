//! Bindings that `wit-bindgen` generates: for `wit/task`, the imports once and one world per kind of export; for
//! `wit/gpu`, one world.
//!
//! Each export world reuses the types and imports of [`imports`], so a crate may use any set of the attribute macros.
//! `pub_export_macro` omits the worlds' exports from the component until the matching `export_*!` macro is used; see
//! `README.md`, "Exports of a component".
#![allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]

pub mod imports {
    wit_bindgen::generate!({
        path: "../wit/task",
        world: "imports",
        pub_export_macro: true,
        generate_unused_types: true,
    });
}

macro_rules! export_world {
    ($module:ident, $world:literal, $export:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../wit/task",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $export,
                with: {
                    "fabric:task/types@0.1.1": crate::bindings::imports::fabric::task::types,
                    "fabric:task/input@0.1.1": crate::bindings::imports::fabric::task::input,
                    "fabric:task/output@0.1.1": crate::bindings::imports::fabric::task::output,
                    "fabric:task/emit@0.1.1": crate::bindings::imports::fabric::task::emit,
                    "fabric:task/params@0.1.1": crate::bindings::imports::fabric::task::params,
                    "fabric:task/log@0.1.1": crate::bindings::imports::fabric::task::log,
                    "fabric:task/progress@0.1.1": crate::bindings::imports::fabric::task::progress,
                },
            });
        }
    };
}

export_world!(map_task, "map-task", "export_mapper");
export_world!(reduce_task, "reduce-task", "export_reducer");
export_world!(handler_task, "handler-task", "export_handler");

pub mod described {
    wit_bindgen::generate!({
        path: "../wit/task",
        world: "described",
        pub_export_macro: true,
        export_macro_name: "export_describe",
    });
}

pub mod gpu {
    wit_bindgen::generate!({
        path: "../wit/gpu",
        world: "gpu-guest",
    });
}
