//! The threads that guests' batches run on. They have a lower priority than the threads that serve connections, so
//! that a node full of work still answers.

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// How much nicer guest threads are than the rest; Linux gives them about a third of the share of a competing thread.
const NICE: i32 = 5;

/// The runtime of guest threads. It ends, without waiting, when it is dropped.
pub struct GuestThreads(Option<Runtime>);

impl GuestThreads {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// When the threads can't be made.
    pub fn start(threads: u32) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1) as usize)
            .thread_name("fabric-guest")
            .enable_all()
            .on_thread_start(|| {
                // On Linux a nice value belongs to the calling thread. Without it all still works, less politely.
                let _ = rustix::process::nice(NICE);
            })
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// To start guests on it.
    #[must_use]
    pub fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
