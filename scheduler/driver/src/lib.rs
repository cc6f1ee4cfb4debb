//! The driver: carries out the decisions of the scheduler's core. It owns the jobs: it plans their inputs, appends
//! their events to the journal, sends batches to nodes, receives completions, and resumes every unfinished job after a
//! restart.
//!
//! The driver makes no scheduling decisions (see `fabric-scheduler-core`) and runs no guests (see `fabric-node`).
//!
//! A node commits a result under its task key before it reports the completion. The journal records the results of
//! tasks shortly afterwards, in batches: a crash in between costs a lookup, not a second run of a pure task. Accepting
//! and ending a job wait for the journal.
//!
//! A module uses only modules before it in this list: `clock`, `metrics`, `job` (the state of one job), `journal` (its
//! records), `settings` (of operators), `options`, `command` (requests to the owner), `owner` (the task that changes
//! jobs), `handle` (the interface for the gateway), `background` (tasks beside the owner), `start`.
//! `tests/driver/layers.rs` checks this.

mod background;
mod clock;
mod command;
mod handle;
mod job;
mod journal;
mod metrics;
mod options;
mod owner;
mod settings;
mod start;

pub use fabric_scheduler_core::{Config, Weights};
pub use handle::{Driver, Submission, Work};
pub use job::{TaskFilter, memory::DEFAULT_OPEN_JOBS};
pub use metrics::DriverMetrics;
pub use options::{DEFAULT_MAX_TASKS, Fingerprint, MAX_CONFIGURABLE_TASKS, Options, Retention};
pub use settings::NodeMode;
