//! Seeded discrete-event simulation around the scheduler's core: the very `Core` that serves, with a world made of
//! nodes, messages and clocks that fail in every way they can.
//!
//! One seed and one [`Scenario`] give one [`Report`], always. It is not a benchmark of the network or of sandboxes:
//! work is a number of microseconds on a node of speed 1.

pub mod scale;
mod scenario;
mod world;

pub use scenario::Scenario;
pub use world::{Report, run};
