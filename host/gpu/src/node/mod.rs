//! The node's side: supervision of the worker, and sessions of guests.

mod check;
mod gpu;
mod meter;
mod owner;
mod process;
mod room;
mod session;

pub use gpu::{Gpu, Unavailable};
pub use session::{Session, SubmitOutcome};
