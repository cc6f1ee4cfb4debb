//! Tests of the driver over the embedded backend in memory, under paused time, with scripted nodes: no sandbox and no
//! processes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod acceptance;
mod jobs;
mod journal_gate;
mod layers;
mod nodes;
mod ownership;
mod support;
