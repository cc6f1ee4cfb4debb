//! End-to-end tests of the `fabric` binary, one module per subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

mod cluster;
mod command_line;
mod data_sets;
mod dead_letters;
mod deploy;
mod dev;
mod faults;
mod fleet;
mod gpu;
mod isolation;
mod limits;
mod main_job;
mod names;
mod nodes;
mod oci;
mod operating;
mod placement;
mod python_runner;
mod readiness;
mod rolling;
mod running;
mod survive;
mod telemetry;
mod walls_disk;
mod walls_http;
mod walls_limits;
mod walls_modules;
mod walls_open_jobs;
mod walls_poison;
mod walls_work;
