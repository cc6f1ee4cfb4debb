//! The node's side: the worker's supervision, and sessions for guests.

mod check;
mod gpu;
mod meter;
mod owner;
mod process;
mod room;
mod session;

pub use gpu::{Gpu, Unavailable};
pub use session::{Outcome, Session};
