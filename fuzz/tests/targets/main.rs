//! The fuzz targets, one file each. The crate's documentation describes longer runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod debug_info;
mod json_bodies;
mod keyed_records;
mod lane_messages;
mod manifests;
mod modules;
mod names;
mod objects;
mod ranges;
mod schemas;
mod shaders;
mod yaml_specs;
