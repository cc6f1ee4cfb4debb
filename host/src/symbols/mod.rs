//! Function names and source lines of a module, for backtraces.
//!
//! Tenants control debug information, and reading it can take any amount of time, memory and stack. The compile worker
//! therefore reads it once ([`read`]), within its limits, and builds a [`table`] of bounded size. The server only
//! searches the table.

#[cfg(test)]
mod tests;

mod lines;
mod modules;
mod names;
pub(crate) mod table;

use table::Draft;

/// The remaining budget for reading debug information.
pub(crate) struct Budget {
    steps: u64,
    /// CPU time of this process at which reading stops, in nanoseconds.
    until_ns: u64,
    unchecked: u64,
}

/// The error for debug information that exceeds its budget.
#[derive(Debug)]
pub(crate) struct Exhausted;

/// Number of steps between two checks of the clock.
const CLOCK_EVERY: u64 = 4096;

impl Budget {
    /// Creates a budget of `steps`, and of `cpu_seconds` of CPU time from now on.
    pub(crate) fn new(steps: u64, cpu_seconds: u64) -> Self {
        Self { steps, until_ns: cpu_ns().saturating_add(cpu_seconds.saturating_mul(1_000_000_000)), unchecked: 0 }
    }

    /// Deducts `steps`.
    ///
    /// # Errors
    /// [`Exhausted`] if fewer steps are left or the CPU time is used up.
    fn spend(&mut self, steps: u64) -> Result<(), Exhausted> {
        self.steps = self.steps.checked_sub(steps).ok_or(Exhausted)?;
        self.unchecked = self.unchecked.saturating_add(steps);
        if self.unchecked < CLOCK_EVERY { Ok(()) } else { self.check_clock() }
    }

    /// Checks the clock now, for a step of unknown cost.
    fn check_clock(&mut self) -> Result<(), Exhausted> {
        self.unchecked = 0;
        if cpu_ns() < self.until_ns { Ok(()) } else { Err(Exhausted) }
    }
}

fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.unsigned_abs())
}

/// Returns a table of the function names in a valid module, without source lines.
pub(crate) fn names(module: &[u8]) -> Vec<u8> {
    let mut draft = Draft::default();
    for module in &modules::read(module) {
        names::add(module, &mut draft);
    }
    draft.encode()
}

/// Returns a table of the names and source lines in a valid module, as far as `budget` allows.
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

/// Renames the custom sections that hold names and debug information, so that the engine does not add them to the
/// machine code. No byte changes its position.
pub(crate) fn hide(mut module: Vec<u8>) -> Vec<u8> {
    for at in modules::debug_section_names(&module) {
        if let Some(first) = module.get_mut(at) {
            *first = b'_';
        }
    }
    module
}
