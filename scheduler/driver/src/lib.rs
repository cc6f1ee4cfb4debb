//! The driver: carries out the decisions of the scheduler's core. It owns the jobs: it plans their inputs, appends
//! their events to the journal, sends batches to nodes, receives completions, and resumes every unfinished job after a
//! restart.
//!
//! The driver makes no scheduling decisions (see `fabric-scheduler-core`) and runs no guests (see `fabric-node`).
//!
//! A node commits a result under its task key before it reports the completion. The journal records the results of
//! tasks shortly afterwards, in batches: a crash in between costs a lookup, not a second run of a pure task. Accepting
//! and ending a job wait for the journal.

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
mod job_state;
mod journal_writer;
mod journaled_job;
mod meta;
mod metrics;
mod operator_settings;
mod orphans;
mod owner;
mod partitions;
mod prepare;
mod record;
mod recover;
mod retention;
mod room;
mod tasks;
mod write_output;

pub use api::{DEFAULT_MAX_TASKS, Driver, MOST_TASKS, Options, Parts, Submission, TaskFilter, Work};
pub use fabric_scheduler_core::{Config, Weights};
pub use operator_settings::NodeMode;
pub use retention::Retention;
pub use room::DEFAULT_OPEN_JOBS;
