//! The threads on which guests run. They have a lower priority than the threads that serve connections, so that a fully
//! loaded node still answers.

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// Nice value of guest threads relative to other threads. With it, Linux gives them about a third of the share of a
/// competing thread.
const NICE: i32 = 5;

/// The runtime of guest threads. Dropping it shuts it down without waiting.
pub struct GuestThreads(Option<Runtime>);

impl GuestThreads {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn start(threads: u32) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1) as usize)
            .thread_name("fabric-guest")
            .enable_all()
            .on_thread_start(|| {
                // On Linux, a nice value belongs to the calling thread. A failure only affects the priority.
                let _ = rustix::process::nice(NICE);
            })
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Returns a handle for spawning guests.
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
