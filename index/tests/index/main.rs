//! The index over real files.

mod activity_records;
mod queries;
