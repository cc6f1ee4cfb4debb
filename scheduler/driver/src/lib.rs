//! The driver: carries out what the scheduler's core decides. It owns the jobs: plans their inputs, journals what
//! happens, sends batches to nodes, takes completions, and brings every unfinished job back after a restart.
//!
//! It decides nothing itself (that is `fabric-scheduler-core`) and runs no guest (that is `fabric-node`).
//!
//! What lasts is in three places. A node commits a result under its task key before it reports it. The journal then
//! notes which tasks have which results, a little later and in batches: a crash in between costs a look-up, never a
//! second run of a pure task. Accepting and ending a job wait for the journal.

mod again;
pub mod api;
mod assign;
mod audit;
mod clock;
mod cluster;
mod collector;
mod deaths;
mod events;
mod invocation;
mod live;
mod meta;
mod metrics;
mod owner;
mod partitions;
mod prepare;
mod reconcile;
mod record;
mod recover;
mod retention;
mod room;
mod slot;
mod tasks;
mod wishes;
mod write_output;
mod writing;

pub use api::{DEFAULT_MAX_TASKS, Driver, MOST_TASKS, Options, Parts, Submission, TaskFilter, Work};
pub use fabric_scheduler_core::{Config, Weights};
pub use retention::Retention;
pub use room::DEFAULT_OPEN_JOBS;
pub use wishes::NodeMode;
