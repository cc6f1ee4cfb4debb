//! Simulated fleets.

mod scale;
mod seeds;
