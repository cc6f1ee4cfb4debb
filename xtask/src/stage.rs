//! What is going on and how long it took, on stderr.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

/// One line or several for the person who waits.
pub(crate) fn say(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Runs a stage and says how long it took.
pub(crate) fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(&format!("xtask: {name} …"));
    let start = Instant::now();
    let done = work();
    let how = if done.is_ok() { "done" } else { "failed" };
    say(&format!("xtask: {name}: {how} in {:.1} s", start.elapsed().as_secs_f64()));
    done
}
