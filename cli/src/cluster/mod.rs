//! A fleet on one machine: a NATS server and several `fabric serve` processes, started, watched, restarted when they
//! end, and stopped together. `folder` is the layout on disk, `child` one supervised process, `nats` the NATS server,
//! `plan` the processes to run, `supervisor` all of them.

pub mod child;
pub mod folder;
pub mod nats;
pub mod plan;
pub mod supervisor;
