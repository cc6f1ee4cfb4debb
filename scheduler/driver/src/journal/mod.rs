//! The journal of each job: its records, pending appends, and reading it back.

mod packed_partitions;
pub mod rebuild;
mod record;
pub mod recovery;
mod replay;
mod writer;

pub use record::{JobRecord, PARTITIONS_PER_RECORD};
pub use recovery::JobName;
pub use writer::JournalWriter;
