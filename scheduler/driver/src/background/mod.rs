//! Tasks beside the owner: the collector of activity records, the scan for orphaned jobs, and retention.

mod collector;
pub mod orphans;
pub mod retention;

pub use collector::Collector;
