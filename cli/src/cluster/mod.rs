//! A fleet on one machine: a NATS server and several `fabric serve`, started, watched, started again when they die, and
//! stopped together. `folder` is what is on disk, `child` one process that is kept running, `nats` the NATS server,
//! `plan` what is to run, `supervisor` all of them.

pub mod child;
pub mod folder;
pub mod nats;
pub mod plan;
pub mod supervisor;
