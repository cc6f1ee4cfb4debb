//! A node: takes batches off its lane, runs each task in a fresh sandbox, commits results under their keys, and
//! reports. Synchronous invocations run here too, at first inline in the caller's own task.
//!
//! It knows nothing of jobs as a whole, of retries or of placement: that is the scheduler's.

mod api;
mod commit;
mod function_logs;
mod graduate;
mod guest_threads;
mod held;
mod http;
mod input;
mod invoke;
mod killers;
mod lane;
mod last_words;
mod metrics;
mod offer;
mod policies;
mod posting;
mod presence;
mod running;
mod storage;
mod volume_walk;
mod work;

pub use api::{HttpBody, Invoke, Invoked, Node, Options, Room, Uploaded, remembered_bytes};
pub use last_words::report_death;
pub use metrics::Metrics;
pub use offer::Offer;
pub use offer::machine_memory;
pub use policies::Policies;
pub use storage::{StorageOptions, Volumes};

/// Reading committed results.
pub mod results {
    pub use fabric_results::{OpenResult, ResultStore as Reader};
}
