//! A node: receives batches from its lane, runs each task in a new sandbox, commits results under their keys, and
//! reports completions. Synchronous invocations also run here, at first inline in the caller's task.
//!
//! Jobs as a whole, retries and placement are the scheduler's concern, not the node's.

mod api;
mod commit;
mod function_logs;
mod guest_threads;
mod held_attempts;
mod http;
mod inline_then_pool;
mod input;
mod invoke;
mod killers;
mod lane;
mod last_words;
mod metrics;
mod offer;
mod policies;
mod presence;
mod record_shipper;
mod running;
mod storage;
mod volume_walk;
mod work;

pub use api::{HttpBody, Invoke, Invoked, NodeHandle, Occupancy, Options, Uploaded, remembered_bytes};
pub use last_words::report_death;
pub use metrics::NodeMetrics;
pub use offer::Offer;
pub use offer::machine_memory;
pub use policies::Policies;
pub use storage::{StorageOptions, Volumes};

/// Reading of committed results.
pub mod results {
    pub use fabric_results::{OpenResult, ResultStore as Reader};
}
