//! The pure core of the scheduler: a state machine that turns events into actions.
//!
//! [`Core::step`] takes an event and the current time, and returns actions. The core has no I/O, clock, threads or
//! randomness, so that the simulation runs the same code as production; jitter is a hash of ids. The core models jobs,
//! stages, task indices, attempts, nodes and slots. It does *not* handle keys, bytes, partitions or modules: the driver
//! adds those when it carries out an action.
//!
//! ```
//! use fabric_scheduler_core::{Core, Event, SchedulableJob, NodeSpec, Time, Action};
//! use fabric_types::id::{JobId, NodeId, TenantId};
//! let mut core = Core::default();
//! let mut actions = Vec::new();
//! let node = NodeId::new("n-1")?;
//! core.step(Event::NodeUp { node, spec: NodeSpec::new(2, 1 << 30) }, Time(0), &mut actions);
//! let plan = SchedulableJob::new(JobId::from_parts(0, 1), TenantId::new("acme")?, 1);
//! core.step(Event::Submit(plan), Time(1), &mut actions);
//! assert!(actions.iter().any(|a| matches!(a, Action::Dispatch { .. })));
//! # Ok::<(), fabric_types::id::InvalidId>(())
//! ```

mod action;
mod config;
mod core;
mod dispatch;
mod event;
mod hash;
mod invariants;
mod job;
mod lease;
mod lifecycle;
mod membership;
mod node;
pub mod placement;
pub mod plan;
mod preempt;
mod queue;
pub mod retry;
pub mod speculate;
mod suspect;
mod task;
mod time;
mod view;
mod wait_reason;

pub use fabric_types::quota::Quota as TenantQuota;

pub use crate::{
    action::{Action, JobOutcome},
    config::{Config, Weights},
    core::{Core, CoreStats},
    event::{Event, NodeSpec, RestoredTask, SchedulableJob},
    placement::Requirement,
    time::Time,
    view::{JobView, NodeView, TaskView},
};

#[cfg(test)]
mod tests;
