//! A seeded discrete-event simulation around the scheduler's core: the production `Core`, in a world of nodes, messages
//! and clocks that fail in many ways.
//!
//! The same seed and [`Scenario`] always give the same [`FaultReport`]. The simulation is not a benchmark of the
//! network or of sandboxes: work is a number of microseconds on a node of speed 1.

pub mod scale;
mod scenario;
mod world;

pub use scenario::Scenario;
pub use world::{FaultReport, run};
