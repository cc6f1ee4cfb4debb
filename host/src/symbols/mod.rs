//! Names and source lines of a module's code, for backtraces.
//!
//! Debug information is a tenant's to write, and reading it can take any amount of time, memory and stack. So the compile
//! worker reads it once ([`read`]), within its limits, and makes a [`table`] of a known size. The server only searches it.

#[cfg(test)]
mod tests;

mod lines;
mod modules;
mod names;
pub(crate) mod table;

use table::Draft;

/// What is left of the work that debug information may cost.
pub(crate) struct Budget {
    steps: u64,
    /// CPU time of this process at which reading stops, in nanoseconds.
    until_ns: u64,
    unchecked: u64,
}

/// Debug information took more work than it may.
#[derive(Debug)]
pub(crate) struct Exhausted;

/// Steps between looks at the clock.
const CLOCK_EVERY: u64 = 4096;

impl Budget {
    /// A budget that ends after so many steps, and after so many seconds of CPU time from now.
    pub(crate) fn new(steps: u64, cpu_seconds: u64) -> Self {
        Self { steps, until_ns: cpu_ns().saturating_add(cpu_seconds.saturating_mul(1_000_000_000)), unchecked: 0 }
    }

    /// Takes `steps` away.
    ///
    /// # Errors
    /// [`Exhausted`] when fewer are left or the time is over.
    fn spend(&mut self, steps: u64) -> Result<(), Exhausted> {
        self.steps = self.steps.checked_sub(steps).ok_or(Exhausted)?;
        self.unchecked = self.unchecked.saturating_add(steps);
        if self.unchecked < CLOCK_EVERY { Ok(()) } else { self.check_clock() }
    }

    /// Looks at the clock now: for a step whose cost is not known before.
    fn check_clock(&mut self) -> Result<(), Exhausted> {
        self.unchecked = 0;
        if cpu_ns() < self.until_ns { Ok(()) } else { Err(Exhausted) }
    }
}

fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.unsigned_abs())
}

/// The names of a valid module's functions, without source lines.
pub(crate) fn names(module: &[u8]) -> Vec<u8> {
    let mut draft = Draft::default();
    for module in &modules::read(module) {
        names::add(module, &mut draft);
    }
    draft.encode()
}

/// Names and source lines of a valid module; as many as `budget` pays for.
pub(crate) fn read(module: &[u8], budget: &mut Budget) -> Vec<u8> {
    let mut draft = Draft::default();
    let modules = modules::read(module);
    for module in &modules {
        names::add(module, &mut draft);
    }
    for module in &modules {
        if lines::add(module, &mut draft, budget).is_err() {
            break;
        }
    }
    draft.encode()
}

/// Renames the custom sections that the engine would read names and debug information from, so that neither reaches the
/// machine code's own tables. Every byte keeps its place.
pub(crate) fn hide(mut module: Vec<u8>) -> Vec<u8> {
    for at in modules::debug_section_names(&module) {
        if let Some(first) = module.get_mut(at) {
            *first = b'_';
        }
    }
    module
}
