//! Progress messages and durations of stages, on stderr.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

/// Writes one or more lines to stderr.
pub(crate) fn say(text: &str) {
    // A closed stderr can't be reported.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Runs a stage and reports its duration.
pub(crate) fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    say(&format!("xtask: {name} …"));
    let start = Instant::now();
    let done = work();
    let how = if done.is_ok() { "done" } else { "failed" };
    say(&format!("xtask: {name}: {how} in {:.1} s", start.elapsed().as_secs_f64()));
    done
}
