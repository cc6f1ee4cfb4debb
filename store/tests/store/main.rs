//! The object store and the splitters, over every backend.

mod conformance;
mod csv;
mod large;
mod parquet;
mod partitions;
mod planted;
mod weed;
