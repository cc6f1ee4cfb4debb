//! The sandbox, run against well-behaved and hostile guests.

mod calls;
mod faults;
mod gpu;
mod isolation;
mod limits;
mod support;
